import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import type { ListObjectVersionsCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { StrataError } from '../errors.ts'
import { listPageObjectsMax } from '../limits.ts'
import type { FirstVersion, VersionListing } from './first-versions.ts'
import { isDirectoryName } from './object-names.ts'
import { objectInfo, storeNameOf } from './s3-list.ts'
import { orNotPermitted } from './s3-locks.ts'
import type { StoreRequester } from './store-requests.ts'

/** The versions in a bucket. */
export interface S3VersionListingPlace {
  readonly client: S3Client
  readonly bucket: string
  readonly keyPrefix: string
  readonly description: string
  readonly request: StoreRequester
}

type Page = ListObjectVersionsCommandOutput

interface Listing {
  readonly prefix: string
  readonly startAfter: string
  readonly delimiter?: string
}

interface Marker {
  readonly key: string | undefined
  readonly version: string | undefined
}

/** Greater than whatever a name can go on with. */
const afterAllNames = '~'

export class S3VersionListing implements VersionListing {
  readonly #place: S3VersionListingPlace

  constructor(place: S3VersionListingPlace) {
    this.#place = place
  }

  /** The versions of a name come one after the other, the newest first: the first one is the last before another name. */
  async *first(prefix: string, startAfter: string): AsyncGenerator<FirstVersion> {
    let last: FirstVersion | undefined
    const deleted = new Set<string>()
    for await (const { Versions = [], DeleteMarkers = [] } of this.#pages({ prefix, startAfter })) {
      for (const { Key, IsLatest } of DeleteMarkers) if (IsLatest === true) deleted.add(this.#nameOf(Key) ?? '')
      for (const object of Versions) {
        const { VersionId } = object
        const name = this.#nameOf(object.Key)
        if (name === undefined || VersionId === undefined) continue
        if (last !== undefined && name !== last.info.name) {
          if (name < last.info.name) throw this.#protocolError(`names below ${prefix} are not in ascending order`)
          yield last
          deleted.delete(last.info.name)
        }
        last = { info: objectInfo(name, object), version: VersionId, isDeleted: deleted.has(name) }
      }
    }
    if (last !== undefined) yield last
  }

  async *directories(prefix: string, startAfter: string): AsyncGenerator<string> {
    const isBelow = startAfter.endsWith('/') && startAfter.startsWith(prefix) && startAfter !== prefix
    const after = isBelow ? startAfter + afterAllNames : startAfter
    for await (const { CommonPrefixes = [] } of this.#pages({ prefix, startAfter: after, delimiter: '/' })) {
      for (const { Prefix } of CommonPrefixes) {
        const name = this.#nameOf(Prefix)
        if (name !== undefined && isDirectoryName(name) && name > startAfter) yield name
      }
    }
  }

  async *#pages(listing: Listing): AsyncGenerator<Page> {
    const { startAfter } = listing
    let after: Marker = { key: startAfter === '' ? undefined : startAfter, version: undefined }
    for (;;) {
      const page = await this.#page(listing, after)
      // The SDK takes any XML or HTML for an empty listing.
      if (page.IsTruncated === undefined) throw this.#protocolError('the answer is no listing')
      yield page
      if (!page.IsTruncated) return
      const next = { key: this.#lastName(page), version: page.NextVersionIdMarker }
      if (next.key === undefined || (next.key === after.key && next.version === after.version)) {
        throw this.#protocolError('a page says that there are more, but not where')
      }
      after = next
    }
  }

  async #page({ prefix, delimiter }: Listing, { key, version }: Marker): Promise<Page> {
    const { client, bucket, keyPrefix, description, request } = this.#place
    const command = new ListObjectVersionsCommand({
      Bucket: bucket,
      Prefix: keyPrefix + prefix,
      MaxKeys: listPageObjectsMax,
      EncodingType: 'url',
      ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
      ...(key === undefined ? {} : { KeyMarker: keyPrefix + key }),
      ...(version === undefined ? {} : { VersionIdMarker: version }),
    })
    const doing = `listing versions of ${prefix}`
    return await request('list', prefix, doing, undefined, async (abortSignal) => {
      try {
        return await client.send(command, { abortSignal })
      } catch (error) {
        throw orNotPermitted(error, `${doing} in ${description}`, 'the permission s3:ListBucketVersions')
      }
    })
  }

  /** Where to go on. Servers do not agree on whether `NextKeyMarker` is encoded, so it is what the page ends with. */
  #lastName({ Versions = [], DeleteMarkers = [], CommonPrefixes = [] }: Page): string | undefined {
    const names = [...Versions, ...DeleteMarkers].map(({ Key }) => this.#nameOf(Key) ?? '')
    const directories = CommonPrefixes.map(({ Prefix }) => `${this.#nameOf(Prefix) ?? ''}${afterAllNames}`)
    return [...names, ...directories].reduce<string | undefined>((a = '', b) => (a > b ? a : b), undefined)
  }

  #nameOf(key: string | undefined): string | undefined {
    return storeNameOf(key, this.#place.keyPrefix)
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `listing versions: ${what} (${this.#place.description})`)
  }
}
