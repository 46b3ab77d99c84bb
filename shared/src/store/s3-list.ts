import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import type { ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import { StrataError } from '../errors.ts'
import { listPageObjectsMax } from '../limits.ts'
import { isDirectoryName, isObjectName } from './object-names.ts'
import type { ObjectInfo } from './object-store.ts'
import { classOfS3 } from '../format/storage-class.ts'

/** The listings of a bucket. */
export interface S3ListingParts {
  readonly client: S3Client
  readonly bucket: string
  /** What every key of the store begins with. */
  readonly keyPrefix: string
  /** The store's. */
  readonly description: string
  /** Does one request. */
  readonly request: (prefix: string, doing: string, send: (signal: AbortSignal) => Promise<Page>) => Promise<Page>
}

type Page = ListObjectsV2CommandOutput

interface Listing {
  readonly prefix: string
  readonly startAfter: string
  /** What ends a name, so that all that goes on after it is one entry. */
  readonly delimiter?: string
}

export class S3Listing {
  readonly #parts: S3ListingParts

  constructor(parts: S3ListingParts) {
    this.#parts = parts
  }

  async *objects(prefix: string, startAfter: string): AsyncGenerator<ObjectInfo> {
    yield* this.#listing({ prefix, startAfter }, startAfter, (page) => this.#infosOf(page))
  }

  async *directories(prefix: string, startAfter: string): AsyncGenerator<string> {
    const isBelow = startAfter.endsWith('/') && startAfter.startsWith(prefix) && startAfter !== prefix
    // After all that lies in that directory: '0' is the character after '/'.
    const after = isBelow ? `${startAfter.slice(0, -1)}0` : startAfter
    const listing = { prefix, startAfter: after, delimiter: '/' }
    for await (const { name } of this.#listing(listing, '', (page) => this.#directoriesOf(page))) {
      // One that holds a name to start after is listed, as what lies behind that name is in it.
      if (name > startAfter) yield name
    }
  }

  async *#listing<Item extends { readonly name: string }>(
    listing: Listing,
    before: string,
    itemsOf: (page: Page) => Item[],
  ): AsyncGenerator<Item> {
    const { prefix } = listing
    let last = before
    for (let token: string | undefined, more = true; more;) {
      const page = await this.#page(listing, token)
      // The SDK takes any XML or HTML for an empty listing.
      if (page.IsTruncated === undefined) throw this.#protocolError(`listing ${prefix}: the answer is no listing`)
      for (const item of itemsOf(page)) {
        if (item.name <= last) throw this.#protocolError(`listing ${prefix}: names are not in ascending order`)
        last = item.name
        yield item
      }
      const next = page.NextContinuationToken
      more = page.IsTruncated
      if (more && (next === undefined || next === token)) {
        throw this.#protocolError(`listing ${prefix}: a page says that there are more, but not where`)
      }
      token = next
    }
  }

  async #page({ prefix, startAfter, delimiter }: Listing, token: string | undefined): Promise<Page> {
    const { client, bucket, keyPrefix, request } = this.#parts
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: keyPrefix + prefix,
      MaxKeys: listPageObjectsMax,
      // Keys put by others may hold what XML cannot.
      EncodingType: 'url',
      ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
      ...(startAfter === '' ? {} : { StartAfter: keyPrefix + startAfter }),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    })
    return await request(
      prefix,
      `listing ${prefix}`,
      async (abortSignal) => await client.send(command, { abortSignal }),
    )
  }

  #infosOf(page: Page): ObjectInfo[] {
    const infos: ObjectInfo[] = []
    for (const object of page.Contents ?? []) {
      const name = storeNameOf(object.Key, this.#parts.keyPrefix)
      if (name !== undefined && isObjectName(name)) infos.push(objectInfo(name, object))
    }
    return infos
  }

  #directoriesOf(page: Page): { name: string }[] {
    const directories: { name: string }[] = []
    for (const { Prefix } of page.CommonPrefixes ?? []) {
      const name = storeNameOf(Prefix, this.#parts.keyPrefix)
      if (name !== undefined && isDirectoryName(name)) directories.push({ name })
    }
    return directories
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `${what} (${this.#parts.description})`)
  }
}

/**
 * The name of a key as a listing has it; undefined for what is none of this store's. Not every server encodes everything
 * that it was asked to.
 */
export function storeNameOf(key: string | undefined, keyPrefix: string): string | undefined {
  const decoded = [decodeKey(key ?? ''), key].find((one) => one?.startsWith(keyPrefix) === true)
  return decoded?.slice(keyPrefix.length)
}

/** What a server says of an object. */
interface S3Object {
  readonly Size?: number | undefined
  readonly LastModified?: Date | undefined
  readonly StorageClass?: string | undefined
}

export function objectInfo(name: string, { Size = 0, LastModified, StorageClass }: S3Object): ObjectInfo {
  const storageClass = classOfS3(StorageClass)
  return {
    name,
    sizeBytes: Size,
    modifiedMs: LastModified?.getTime() ?? 0,
    ...(storageClass === undefined ? {} : { storageClass }),
  }
}

/** undefined for what only somebody else can have put there. */
function decodeKey(key: string): string | undefined {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '))
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}
