import type { Clock } from '../clock.ts'
import { invariant } from '../errors.ts'
import { historyOf } from '../format/history.ts'
import { listPageObjectsMax } from '../limits.ts'
import { checkCompose, freeCopying } from './copy-rules.ts'
import { Shelf, type Held } from './memory-shelf.ts'
import {
  byteCount,
  existsError,
  missingError,
  nestedNameError,
  noLockError,
  tooLongError,
  truncatedError,
  wantedFrom,
} from './object-errors.ts'
import { checkDirectory, checkListPrefix, checkObjectName, compareNames, directoryBelow } from './object-names.ts'
import type {
  ByteRange,
  CopyRange,
  ListOptions,
  Lockability,
  ObjectInfo,
  ObjectLock,
  ObjectStore,
  PutOptions,
  TaggedObject,
  WholeObject,
} from './object-store.ts'
import { checkTags } from './object-tags.ts'
import type { ObjectTags } from './object-tags.ts'
import { observed } from './store-requests.ts'
import type { StoreObserver } from './store-requests.ts'

export interface MemoryStoreOptions {
  readonly clock: Clock
  readonly onRequest?: StoreObserver | undefined
  /** It keeps versions, and can lock them. */
  readonly locks?: boolean
}

/** Keeps objects in this process: for tests, and as the model that the other stores are compared with. */
export class MemoryStore implements ObjectStore {
  readonly description = 'memory:'
  readonly copying = freeCopying
  readonly #clock: Clock
  readonly #onRequest: StoreObserver | undefined
  readonly #locks: boolean
  readonly #objects = new Map<string, Shelf>()
  /** How many objects lie below each directory. */
  readonly #directories = new Map<string, number>()

  constructor(options: MemoryStoreOptions) {
    this.#clock = options.clock
    this.#onRequest = options.onRequest
    this.#locks = options.locks ?? false
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    checkObjectName(name)
    const request = async (): Promise<number> => {
      await Promise.resolve()
      const isFree = this.#objects.get(name)?.isFree ?? true
      if (options.ifAbsent === true && !isFree) throw existsError(this.description, name)
      invariant(options.lock === undefined || this.#locks, 'what is put with a lock is put where it can be locked')
      this.#keep(name, joined(parts), options.lock)
      return byteCount(parts)
    }
    await observed(this.#onRequest, 'put', name, request, (sent) => ({ sent }))
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    checkCompose(this.copying, this.description, { name, ranges, parts })
    const copies: Uint8Array[] = []
    for (const range of ranges) {
      const copy = async (): Promise<Uint8Array> => await Promise.resolve(this.#rangeOf(range.source, range))
      copies.push(await observed(this.#onRequest, 'copy', name, copy))
    }
    const request = async (): Promise<number> => {
      await Promise.resolve()
      this.#keep(name, joined([...copies, ...parts]))
      return byteCount(parts)
    }
    await observed(this.#onRequest, 'put', name, request, (sent) => ({ sent }))
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    checkObjectName(name)
    const { range, bytesMax } = wantedFrom(part)
    const request = async (): Promise<Uint8Array<ArrayBuffer>> => {
      await Promise.resolve()
      if (range !== undefined) return this.#rangeOf(name, range)
      const { bytes } = this.#held(name)
      if (bytes.byteLength > bytesMax) throw tooLongError(this.description, name, bytesMax, bytes.byteLength)
      return bytes.slice()
    }
    return await observed(this.#onRequest, 'get', name, request, (bytes) => ({ received: bytes.byteLength }))
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    checkObjectName(name)
    return await observed(this.#onRequest, 'head', name, async () => {
      await Promise.resolve()
      return this.#info(name)
    })
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const startAfter = options.startAfter ?? ''
    checkListPrefix(prefix)
    checkListPrefix(startAfter)
    const wanted = (name: string): boolean => name.startsWith(prefix) && name > startAfter
    const names = [...this.#listedNames()].filter(wanted).sort(compareNames)
    for await (const page of this.#pages(prefix, names, (name) => this.#info(name))) {
      for (const info of page) if (info !== undefined) yield info
    }
  }

  async *listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    const startAfter = options.startAfter ?? ''
    checkDirectory(prefix)
    checkListPrefix(startAfter)
    const directories = new Set<string>()
    for (const name of this.#listedNames()) {
      const directory = name.startsWith(prefix) ? directoryBelow(prefix, name) : undefined
      if (directory !== undefined && directory > startAfter) directories.add(directory)
    }
    for await (const page of this.#pages(prefix, [...directories].sort(compareNames), (directory) => directory))
      yield* page
  }

  /** Each page is one request, at whose time its items are made; there is at least one. */
  async *#pages<Item>(
    prefix: string,
    names: readonly string[],
    itemOf: (name: string) => Item,
  ): AsyncGenerator<Item[]> {
    let first = 0
    do {
      const page = names.slice(first, first + listPageObjectsMax)
      yield await observed(this.#onRequest, 'list', prefix, async () => {
        await Promise.resolve()
        return page.map(itemOf)
      })
      first += page.length
    } while (first < names.length)
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    checkObjectName(name)
    checkTags(tags)
    await observed(this.#onRequest, 'tag', name, async () => {
      await Promise.resolve()
      this.#change(name, { tagged: { tags: { ...tags }, taggedMs: this.#clock.nowMs() } })
    })
  }

  async tags(name: string): Promise<ObjectTags> {
    checkObjectName(name)
    return await observed(this.#onRequest, 'tag', name, async () => {
      await Promise.resolve()
      return { ...this.#held(name).tagged?.tags }
    })
  }

  readonly listTagged = (key: string, value: string, options: ListOptions = {}): AsyncIterable<TaggedObject> =>
    this.#withTag(key, value, options.startAfter ?? '')

  async *#withTag(key: string, value: string, startAfter: string): AsyncGenerator<TaggedObject> {
    checkTags({ [key]: value })
    for await (const { name } of this.list('', { startAfter })) {
      const tagged = this.#objects.get(name)?.held?.tagged
      if (tagged?.tags[key] === value) yield { name, taggedMs: tagged.taggedMs }
    }
  }

  async lockability(): Promise<Lockability> {
    return await Promise.resolve(this.#locks ? { canLock: true } : { canLock: false, why: noLocks })
  }

  async lock(name: string, lock: ObjectLock): Promise<void> {
    await this.#locking(name, () => {
      this.#requireLocks()
      const known = this.#held(name).lock
      invariant(known === undefined || known.untilMs <= lock.untilMs, 'a lock is never shortened')
      this.#change(name, { lock })
    })
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    return await this.#locking(name, () => this.#held(name).lock)
  }

  async setLegalHold(name: string, on: boolean): Promise<void> {
    await this.#locking(name, () => {
      this.#requireLocks()
      this.#change(name, { legalHold: on })
    })
  }

  async #locking<Result>(name: string, work: () => Result): Promise<Result> {
    checkObjectName(name)
    return await observed(this.#onRequest, 'lock', name, async () => {
      await Promise.resolve()
      return work()
    })
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    await observed(this.#onRequest, 'delete', name, async () => {
      await Promise.resolve()
      const shelf = this.#objects.get(name)
      if (shelf?.keepsVersions === false) this.#remove(name)
      else shelf?.delete()
    })
  }

  /** What whoever holds all credentials can do to an object: everything goes that no lock holds. */
  deleteVersions(name: string): void {
    const shelf = this.#objects.get(name)
    shelf?.deleteVersions(this.#clock.nowMs())
    if (shelf?.isFree === true) this.#remove(name)
  }

  async now(): Promise<number> {
    return await Promise.resolve(this.#clock.nowMs())
  }

  async close(): Promise<void> {
    // Nothing is open.
  }

  #info(name: string): ObjectInfo | undefined {
    const held = this.#objects.get(name)?.held
    if (held === undefined) return undefined
    return { name, sizeBytes: held.bytes.byteLength, modifiedMs: held.modifiedMs }
  }

  #held(name: string): Held {
    const held = this.#objects.get(name)?.held
    if (held === undefined) throw missingError(this.description, name)
    return held
  }

  #change(name: string, change: Partial<Held>): void {
    const held = this.#held(name)
    this.#objects.get(name)?.change(held, change)
  }

  *#listedNames(): Generator<string> {
    for (const [name, { listed }] of this.#objects) if (listed !== undefined) yield name
  }

  #requireLocks(): void {
    if (!this.#locks) throw noLockError(this.description, noLocks)
  }

  #rangeOf(name: string, range: ByteRange): Uint8Array<ArrayBuffer> {
    const { bytes } = this.#held(name)
    const end = range.offset + range.length
    if (end > bytes.byteLength) throw truncatedError(this.description, name, range, bytes.byteLength)
    return bytes.slice(range.offset, end)
  }

  #keep(name: string, bytes: Uint8Array<ArrayBuffer>, lock?: ObjectLock): void {
    this.#checkNoDirectory(name)
    let shelf = this.#objects.get(name)
    if (shelf === undefined) {
      this.#countInDirectories(name, 1)
      shelf = new Shelf(this.#locks ? historyOf(name) : undefined)
      this.#objects.set(name, shelf)
    }
    shelf.put({ bytes, modifiedMs: this.#clock.nowMs(), lock })
  }

  #remove(name: string): void {
    if (this.#objects.delete(name)) this.#countInDirectories(name, -1)
  }

  /** Refuses, as a file system would, a name that is another object's directory, or that has an object as its own. */
  #checkNoDirectory(name: string): void {
    for (const directory of directoriesOf(name)) {
      if (this.#objects.has(directory)) throw nestedNameError(name, directory)
    }
    if (this.#directories.has(name)) throw nestedNameError(`${name}/…`, name)
  }

  #countInDirectories(name: string, change: 1 | -1): void {
    for (const directory of directoriesOf(name)) {
      const count = (this.#directories.get(directory) ?? 0) + change
      if (count === 0) this.#directories.delete(directory)
      else this.#directories.set(directory, count)
    }
  }
}

const noLocks = 'this store keeps no versions'

function* directoriesOf(name: string): Generator<string> {
  for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) yield name.slice(0, slash)
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteCount(parts))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.byteLength
  }
  return bytes
}
