import { StrataError } from '../errors.ts'
import { historyOf } from '../format/history.ts'
import { RecentlyUsed } from '../format/recently-used.ts'
import { storeVersionsKnownMax } from '../limits.ts'
import { missingError } from './object-errors.ts'
import { isObjectName } from './object-names.ts'
import type { ObjectInfo } from './object-store.ts'

/** The first version of an object, as a listing of versions has it. */
export interface FirstVersion {
  readonly info: ObjectInfo
  readonly version: string
  /** It is not there for whoever does not look at versions. */
  readonly isDeleted: boolean
}

/** What a cloud store has of versions. */
export interface VersionListing {
  /** By ascending name; names up to `startAfter` may be among them. */
  first(prefix: string, startAfter: string): AsyncIterable<FirstVersion>
  /** Those that have any version in them, after `startAfter`. */
  directories(prefix: string, startAfter: string): AsyncGenerator<string>
}

/**
 * Which version of an object counts, in a store that keeps them all (format/history.ts). The first one is found by listing
 * the versions of a name: one request for each object that is read, unless a listing has told it before. It never changes,
 * so it is remembered.
 *
 * Create-if-absent follows from it as well: of any number of puts the one whose version is the first has created the
 * object. That holds also where a server does not heed `If-None-Match` as soon as there are versions (Ceph RGW 16).
 */
export class FirstVersions {
  readonly #listing: VersionListing
  readonly #description: string
  readonly #known = new RecentlyUsed<string, string>(storeVersionsKnownMax)

  /** @param description the store's */
  constructor(listing: VersionListing, description: string) {
    this.#listing = listing
    this.#description = description
  }

  /** The version that counts; undefined: the newest, as the server has it. None: E_OBJECT_MISSING. */
  async versionOf(name: string): Promise<string | undefined> {
    const history = historyOf(name)
    if (history === 'replaced') return undefined
    const known = this.#known.peek(name)
    if (known !== undefined) return known
    const first = await this.#first(name)
    if (first === undefined || (history === 'created' && first.isDeleted)) throw missingError(this.#description, name)
    return first.version
  }

  /** Whether a put that made `version` has created the object. */
  async hasCreated(name: string, version: string | undefined): Promise<boolean> {
    if (version !== undefined) return (await this.#first(name))?.version === version
    throw new StrataError('E_STORE_PROTOCOL', `writing ${name} in ${this.#description}: the answer names no version`)
  }

  forget(name: string): void {
    this.#known.delete(name)
  }

  /** undefined: whoever lists these names wants to see what is there now. */
  objects(prefix: string, startAfter: string): AsyncGenerator<ObjectInfo> | undefined {
    const history = historyOf(prefix)
    return history === 'kept' || history === 'data' ? this.#objects(prefix, startAfter, history) : undefined
  }

  async *#objects(prefix: string, startAfter: string, history: 'kept' | 'data'): AsyncGenerator<ObjectInfo> {
    for await (const { info, version, isDeleted } of this.#listing.first(prefix, startAfter)) {
      if (info.name <= startAfter || !isObjectName(info.name)) continue
      this.#remember(info.name, version)
      if (history === 'kept' || !isDeleted) yield info
    }
  }

  /** As `objects` has it. */
  directories(prefix: string, startAfter: string): AsyncGenerator<string> | undefined {
    return historyOf(prefix) === 'kept' ? this.#listing.directories(prefix, startAfter) : undefined
  }

  async #first(name: string): Promise<FirstVersion | undefined> {
    for await (const first of this.#listing.first(name, '')) {
      // Others that begin like it come after it.
      if (first.info.name !== name) return undefined
      this.#remember(name, first.version)
      return first
    }
    return undefined
  }

  #remember(name: string, version: string): void {
    const history = historyOf(name)
    if (history === 'kept' || history === 'data') this.#known.set(name, version)
  }
}
