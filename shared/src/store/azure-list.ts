import type { BlobItem, ContainerClient } from '@azure/storage-blob'
import { StrataError } from '../errors.ts'
import { listPageObjectsMax, storeRequestsInFlightMax } from '../limits.ts'
import { isDirectoryName, isObjectName } from './object-names.ts'
import type { ObjectInfo } from './object-store.ts'
import { classOfAzure } from '../format/storage-class.ts'

/**
 * The listings of a container. Azure's cannot start after a name: the pages before it are fetched and thrown away. Where
 * that matters, callers list by a longer prefix.
 */
export interface AzureListingParts {
  readonly container: ContainerClient
  /** What every blob of the store begins with. */
  readonly keyPrefix: string
  /** The store's. */
  readonly description: string
  /** Does one request. */
  readonly request: (prefix: string, doing: string, send: (signal: AbortSignal) => Promise<Page>) => Promise<Page>
}

/** What both kinds of listing answer. */
interface Page {
  readonly continuationToken?: string
  readonly segment: { readonly blobItems: readonly BlobItem[]; readonly blobPrefixes?: readonly { name: string }[] }
}

type Kind = 'objects' | 'directories'

interface Listing {
  readonly kind: Kind
  readonly prefix: string
  readonly startAfter: string
}

export class AzureListing {
  readonly #parts: AzureListingParts
  /**
   * Where listings have failed: the page that comes after a name. Whoever lists on from there (the retry decorator)
   * need not fetch all pages before it again.
   */
  readonly #resumePoints = new Map<string, string>()

  constructor(parts: AzureListingParts) {
    this.#parts = parts
  }

  async *objects(prefix: string, startAfter: string): AsyncGenerator<ObjectInfo> {
    yield* this.#listing({ kind: 'objects', prefix, startAfter }, (page) => this.#infosOf(page))
  }

  async *directories(prefix: string, startAfter: string): AsyncGenerator<string> {
    const directories = this.#listing({ kind: 'directories', prefix, startAfter }, (page) => this.#directoriesOf(page))
    for await (const { name } of directories) yield name
  }

  async *#listing<Item extends { readonly name: string }>(
    listing: Listing,
    itemsOf: (page: Page) => Item[],
  ): AsyncGenerator<Item> {
    const { prefix, startAfter } = listing
    let last = ''
    for (let marker = this.#takeResumePoint(listing), more = true; more;) {
      const page = await this.#page(listing, marker).catch((error: unknown) => {
        this.#keepResumePoint({ ...listing, startAfter: last > startAfter ? last : startAfter }, marker)
        throw error
      })
      for (const item of itemsOf(page)) {
        if (item.name <= last) throw this.#orderError(prefix)
        last = item.name
        if (item.name > startAfter) yield item
      }
      const next = page.continuationToken
      more = next !== undefined && next !== ''
      if (more && next === marker) {
        throw this.#protocolError(`listing ${prefix}: a page leads back to itself`)
      }
      marker = next
    }
  }

  async #page({ kind, prefix }: Listing, marker: string | undefined): Promise<Page> {
    const { container, keyPrefix, request } = this.#parts
    return await request(prefix, `listing ${prefix}`, async (abortSignal) => {
      const options = { prefix: keyPrefix + prefix, abortSignal }
      const pages = kind === 'objects' ? container.listBlobsFlat(options) : container.listBlobsByHierarchy('/', options)
      const settings = {
        maxPageSize: listPageObjectsMax,
        ...(marker === undefined ? {} : { continuationToken: marker }),
      }
      // One page for each call: the idle limit is for a request, not for as long as the caller takes between pages.
      for await (const page of pages.byPage(settings)) return page
      throw this.#protocolError(`listing ${prefix}: no page came`)
    })
  }

  #infosOf(page: Page): ObjectInfo[] {
    const infos: ObjectInfo[] = []
    for (const { name: key, properties } of page.segment.blobItems) {
      const name = this.#nameOf(key)
      if (name !== undefined && isObjectName(name)) {
        infos.push(objectInfo(name, properties))
      }
    }
    return infos
  }

  #directoriesOf(page: Page): { name: string }[] {
    const directories: { name: string }[] = []
    for (const { name: key } of page.segment.blobPrefixes ?? []) {
      const name = this.#nameOf(key)
      if (name !== undefined && isDirectoryName(name)) directories.push({ name })
    }
    return directories
  }

  /** undefined for what is none of this store's. */
  #nameOf(key: string): string | undefined {
    const { keyPrefix } = this.#parts
    return key.startsWith(keyPrefix) ? key.slice(keyPrefix.length) : undefined
  }

  #takeResumePoint(listing: Listing): string | undefined {
    const key = resumeKey(listing)
    const marker = this.#resumePoints.get(key)
    this.#resumePoints.delete(key)
    return marker
  }

  #keepResumePoint(listing: Listing, marker: string | undefined): void {
    if (marker === undefined) return
    if (this.#resumePoints.size >= storeRequestsInFlightMax) this.#resumePoints.clear()
    this.#resumePoints.set(resumeKey(listing), marker)
  }

  #orderError(prefix: string): StrataError {
    return new StrataError(
      'E_STORE_PROTOCOL',
      `listing ${prefix}: names are not in ascending order (${this.#parts.description})`,
      {
        hint: 'Use a storage account without a hierarchical namespace: only those list in the order of the names.',
      },
    )
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `${what} (${this.#parts.description})`)
  }
}

/** Names have no space in them. */
function resumeKey({ kind, prefix, startAfter }: Listing): string {
  return `${kind} ${prefix} ${startAfter}`
}

/** What a server says of a blob. */
interface AzureObject {
  readonly contentLength?: number | undefined
  readonly lastModified?: Date | undefined
  readonly accessTier?: string | undefined
}

export function objectInfo(name: string, { contentLength = 0, lastModified, accessTier }: AzureObject): ObjectInfo {
  const storageClass = classOfAzure(accessTier)
  return {
    name,
    sizeBytes: contentLength,
    modifiedMs: lastModified?.getTime() ?? 0,
    ...(storageClass === undefined ? {} : { storageClass }),
  }
}
