import type { BlobItem, ContainerClient } from '@azure/storage-blob'
import { listPageObjectsMax } from '../limits.ts'
import { objectInfo } from './azure-list.ts'
import type { FirstVersion, VersionListing } from './first-versions.ts'
import { isDirectoryName } from './object-names.ts'
import type { StoreRequester } from './store-requests.ts'

/** The versions in a container. */
export interface AzureVersionListingPlace {
  readonly container: ContainerClient
  readonly keyPrefix: string
  readonly request: StoreRequester
}

interface Page {
  readonly continuationToken?: string
  readonly segment: { readonly blobItems: readonly BlobItem[]; readonly blobPrefixes?: readonly { name: string }[] }
}

export class AzureVersionListing implements VersionListing {
  readonly #place: AzureVersionListingPlace

  constructor(place: AzureVersionListingPlace) {
    this.#place = place
  }

  /** The versions of a name come one after the other, the oldest first; of what is deleted none is the current one. */
  async *first(prefix: string): AsyncGenerator<FirstVersion> {
    let first: FirstVersion | undefined
    for await (const { segment } of this.#pages(prefix, false)) {
      for (const { name: key, versionId, isCurrentVersion, properties } of segment.blobItems) {
        const name = key.slice(this.#place.keyPrefix.length)
        if (versionId === undefined) continue
        if (first?.info.name === name) {
          first = { ...first, isDeleted: first.isDeleted && isCurrentVersion !== true }
          continue
        }
        if (first !== undefined) yield first
        const info = objectInfo(name, properties)
        first = { info, version: versionId, isDeleted: isCurrentVersion !== true }
      }
    }
    if (first !== undefined) yield first
  }

  async *directories(prefix: string, startAfter: string): AsyncGenerator<string> {
    for await (const { segment } of this.#pages(prefix, true)) {
      for (const { name: key } of segment.blobPrefixes ?? []) {
        const name = key.slice(this.#place.keyPrefix.length)
        if (isDirectoryName(name) && name > startAfter) yield name
      }
    }
  }

  async *#pages(prefix: string, areDirectories: boolean): AsyncGenerator<Page> {
    const { container, keyPrefix, request } = this.#place
    let token: string | undefined
    do {
      const from = token
      const page = await request('list', prefix, `listing versions of ${prefix}`, undefined, async (abortSignal) => {
        const options = { prefix: keyPrefix + prefix, includeVersions: true, abortSignal }
        const settings = {
          maxPageSize: listPageObjectsMax,
          ...(from === undefined ? {} : { continuationToken: from }),
        }
        const pages = areDirectories
          ? container.listBlobsByHierarchy('/', options).byPage(settings)
          : container.listBlobsFlat(options).byPage(settings)
        const next: IteratorResult<Page, unknown> = await pages.next()
        return next.done === true ? undefined : next.value
      })
      if (page === undefined) return
      yield page
      token = page.continuationToken === '' ? undefined : page.continuationToken
    } while (token !== undefined)
  }
}
