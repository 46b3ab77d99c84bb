import { digestBytes, isAllZero } from '@strata/shared/format/digest.ts'
import { baseDigestPagesPerRequest, pageEntriesMax } from '@strata/shared/limits.ts'
import type { OpenedSession } from '@strata/shared/protocol/uplink.ts'

/** Digests of blocks that a disk is compared with, by pages of the map. */
export interface DigestReference {
  /** Digests of page `page`, at most 1,024 and fewer at the end of the reference's disk; null when all are zeros. */
  page(page: number): Promise<Uint8Array | null>
  /** The first page from `page` on that may hold anything but zeros; Infinity when none does. */
  pageWithData(page: number): Promise<number>
}

/** What a full is compared with: zeros, which is what its map begins with. */
export const noReference: DigestReference = {
  page: () => Promise.resolve(null),
  pageWithData: () => Promise.resolve(Infinity),
}

/** Takes digests in the order of the blocks. */
export interface DigestSink {
  push(digests: Uint8Array): void
  pushZeros(count: number): void
}

const pageBytes = pageEntriesMax * digestBytes

/**
 * The base's digests as the service has them, asked for many pages at a time; one request ahead of the scan, which
 * goes through the disk in order.
 */
export class MapReference implements DigestReference {
  readonly #session: OpenedSession
  readonly #disk: number
  /** Requests by number; a request is `baseDigestPagesPerRequest` pages. */
  readonly #requests = new Map<number, Promise<Uint8Array>>()
  /** Past this many requests the base's disk has ended. */
  #requestsEnd = Infinity

  constructor(session: OpenedSession, disk: number) {
    this.#session = session
    this.#disk = disk
  }

  async page(page: number): Promise<Uint8Array | null> {
    const request = Math.floor(page / baseDigestPagesPerRequest)
    const digests = await this.#request(request)
    const at = (page - request * baseDigestPagesPerRequest) * pageBytes
    const found = digests.subarray(at, at + pageBytes)
    return isAllZero(found) ? null : found
  }

  async pageWithData(page: number): Promise<number> {
    const request = Math.floor(page / baseDigestPagesPerRequest)
    const end = (request + 1) * baseDigestPagesPerRequest
    for (let at = page; at < end; at += 1) {
      if ((await this.page(at)) !== null) return at
    }
    // Nobody knows yet what comes next, so it may hold data.
    return end >= this.#requestsEnd * baseDigestPagesPerRequest ? Infinity : end
  }

  async #request(request: number): Promise<Uint8Array> {
    const wanted = this.#fetch(request)
    for (const old of this.#requests.keys()) if (old < request) this.#requests.delete(old)
    const digests = await wanted
    if (digests.length < baseDigestPagesPerRequest * pageBytes)
      this.#requestsEnd = Math.min(this.#requestsEnd, request + 1)
    else void this.#fetch(request + 1)
    return digests
  }

  #fetch(request: number): Promise<Uint8Array> {
    if (request >= this.#requestsEnd) return Promise.resolve(new Uint8Array())
    let fetching = this.#requests.get(request)
    if (fetching === undefined) {
      fetching = this.#session.baseDigests(this.#disk, request * baseDigestPagesPerRequest, baseDigestPagesPerRequest)
      // Who awaits it gets the failure; asked for ahead, it may be that nobody does.
      fetching.catch(() => undefined)
      this.#requests.set(request, fetching)
    }
    return fetching
  }
}
