import { realpath, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Clock, RandomBytes } from '../clock.ts'
import { invariant, StrataError } from '../errors.ts'
import { cachedBytesMax } from '../limits.ts'
import { dropCache } from '../system/page-cache.ts'
import { checkCompose, wholeSource } from './copy-rules.ts'
import { composedOf, directoryCopying } from './directory-compose.ts'
import { syncIfThere } from './directory-durable.ts'
import { directoryError, directoryWriteError, isSystemError } from './directory-errors.ts'
import { contentOf, makeDirectoriesDurably, readUpTo } from './directory-files.ts'
import { removeLeftOvers } from './directory-left-overs.ts'
import { directoriesIn, objectInfo, walkDirectory } from './directory-list.ts'
import type { DirectoryWalk } from './directory-list.ts'
import { DirectoryPlace, missingStoreError } from './directory-place.ts'
import type { OpenObject } from './directory-place.ts'
import { DirectoryTags } from './directory-tags.ts'
import { DirectoryWriter, isDirectory, removeIfThere } from './directory-writer.ts'
import { byteCount, noLockError, tooLongError, truncatedError, wantedFrom } from './object-errors.ts'
import type { Wanted } from './object-errors.ts'
import { checkDirectory, checkListPrefix, checkObjectName } from './object-names.ts'
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
import { StoreClock } from './store-clock.ts'
import { observed } from './store-requests.ts'
import type { StoreObserver, StoreRequestKind } from './store-requests.ts'

/**
 * Objects as files below one directory. Invariants: an object's path holds a whole object or nothing (see
 * directory-writer.ts), and no step goes through a symbolic link below the root (see directory-place.ts).
 */
export interface DirectoryStoreOptions {
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly onRequest?: StoreObserver | undefined
  /** Creates the directory if it is not there. */
  readonly create?: boolean | undefined
}

/** Opens the store in the directory `path`. E_STORE_MISSING where there is none, unless it may be created. */
export async function openDirectoryStore(path: string, options: DirectoryStoreOptions): Promise<ObjectStore> {
  const description = pathToFileURL(path).href
  if (options.create === true) {
    await makeDirectoriesDurably(path).catch((error: unknown) => {
      if (isSystemError(error, 'EEXIST', 'ENOTDIR')) throw notADirectoryError(description, error)
      throw directoryWriteError(error, `creating ${description}`)
    })
  }
  const root = await rootOf(path, description)
  const place = new DirectoryPlace(root, description)
  const store = new DirectoryStore(place, options)
  await removeLeftOvers(place, async () => await store.now())
  return store
}

async function rootOf(path: string, description: string): Promise<string> {
  try {
    const root = await realpath(path)
    if (!(await stat(root)).isDirectory()) throw notADirectoryError(description)
    return root
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw missingStoreError(description, error)
    if (isSystemError(error, 'ENOTDIR')) throw notADirectoryError(description, error)
    throw directoryError(error, `opening ${description}`)
  }
}

class DirectoryStore implements ObjectStore {
  readonly copying = directoryCopying
  readonly #place: DirectoryPlace
  readonly #writer: DirectoryWriter
  readonly #tags: DirectoryTags
  readonly #clock: StoreClock
  readonly #onRequest: StoreObserver | undefined

  constructor(place: DirectoryPlace, options: DirectoryStoreOptions) {
    this.#place = place
    this.#writer = new DirectoryWriter(place, options.randomBytes)
    this.#tags = new DirectoryTags(place, this.#writer)
    this.#clock = new StoreClock(options.clock)
    this.#onRequest = options.onRequest
  }

  get description(): string {
    return this.#place.description
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    checkObjectName(name)
    invariant(options.lock === undefined, 'what is put with a lock is put where it can be locked')
    const request = async (): Promise<void> => {
      const isNew = options.ifAbsent === true
      await this.#writer.write(name, contentOf(parts), isNew)
      if (!isNew) await this.#tags.drop(name)
    }
    await this.#run('put', name, `writing ${name}`, directoryWriteError, request, () => ({ sent: byteCount(parts) }))
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    checkCompose(this.copying, this.description, { name, ranges, parts })
    const content = composedOf(this.#place, ranges, parts, async (source, copy) => {
      await this.#run('copy', name, `copying from ${source}`, directoryError, copy)
    })
    const whole = wholeSource({ name, ranges, parts })
    const request = async (): Promise<void> => {
      if (whole === undefined || !(await this.#link(name, whole))) await this.#writer.write(name, content, false)
      await this.#tags.drop(name)
    }
    await this.#run('put', name, `writing ${name}`, directoryWriteError, request, () => ({ sent: byteCount(parts) }))
  }

  async #link(name: string, { source }: CopyRange): Promise<boolean> {
    const request = async (): Promise<boolean> => await this.#writer.link(source, name)
    return await this.#run('copy', name, `copying from ${source}`, directoryError, request)
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    checkObjectName(name)
    const wanted = wantedFrom(part)
    const request = async (): Promise<Uint8Array<ArrayBuffer>> => {
      const object = await this.#place.openObject(name)
      try {
        return await this.#read(object, name, wanted)
      } finally {
        await object.file.close()
      }
    }
    return await this.#run('get', name, `reading ${name}`, directoryError, request, (bytes) => ({
      received: bytes.byteLength,
    }))
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    checkObjectName(name)
    return await this.#run('head', name, `looking at ${name}`, directoryError, async () => {
      const info = (await this.#place.hasDirectoryOf(name)) ? await objectInfo(this.#place.root, name) : undefined
      if (info === undefined) await this.#place.checkRoot()
      else await this.#writer.syncUpwards(name)
      return info
    })
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const startAfter = options.startAfter ?? ''
    checkListPrefix(prefix)
    checkListPrefix(startAfter)
    yield* this.#listing(prefix, startAfter, walkDirectory)
  }

  async *listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    const startAfter = options.startAfter ?? ''
    checkDirectory(prefix)
    checkListPrefix(startAfter)
    yield* this.#listing(prefix, startAfter, directoriesIn)
  }

  async *#listing<Item>(
    prefix: string,
    startAfter: string,
    walk: (walk: DirectoryWalk) => AsyncIterable<Item>,
  ): AsyncGenerator<Item> {
    const doing = `listing ${prefix}`
    const readOne = async <Result>(read: () => Promise<Result>): Promise<Result> =>
      await this.#run('list', prefix, doing, directoryError, read)
    try {
      await this.#place.checkRoot()
      if (!(await this.#place.hasDirectoryOf(`${prefix}x`))) return
      yield* walk({ root: this.#place.root, prefix, startAfter, readOne })
    } catch (error) {
      throw directoryError(error, `${doing} in ${this.description}`)
    }
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    checkObjectName(name)
    checkTags(tags)
    await this.#run('tag', name, `tagging ${name}`, directoryWriteError, async () => {
      await this.#tags.set(name, tags)
    })
  }

  async tags(name: string): Promise<ObjectTags> {
    checkObjectName(name)
    return await this.#run(
      'tag',
      name,
      `reading the tags of ${name}`,
      directoryError,
      async () => await this.#tags.get(name),
    )
  }

  readonly listTagged = (key: string, value: string, options: ListOptions = {}): AsyncIterable<TaggedObject> =>
    this.#withTag(key, value, options.startAfter ?? '')

  async *#withTag(key: string, value: string, startAfter: string): AsyncGenerator<TaggedObject> {
    checkTags({ [key]: value })
    checkListPrefix(startAfter)
    const doing = 'looking for tagged objects'
    const request = async <Result>(kind: 'list' | 'tag', work: () => Promise<Result>): Promise<Result> =>
      await this.#run(kind, '', doing, directoryError, work)
    try {
      yield* this.#tags.withTag(key, value, startAfter, request)
    } catch (error) {
      throw directoryError(error, `${doing} in ${this.description}`)
    }
  }

  async lockability(): Promise<Lockability> {
    return await Promise.resolve({ canLock: false, why: noLocks })
  }

  async lock(): Promise<void> {
    await Promise.reject(noLockError(this.description, noLocks))
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    checkObjectName(name)
    return await Promise.resolve<ObjectLock | undefined>(undefined)
  }

  async setLegalHold(): Promise<void> {
    await Promise.reject(noLockError(this.description, noLocks))
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    await this.#run('delete', name, `deleting ${name}`, directoryWriteError, async () => {
      await this.#remove(name)
      await this.#tags.drop(name)
    })
  }

  async #remove(name: string): Promise<void> {
    if (!(await this.#place.hasDirectoryOf(name))) {
      await this.#place.checkRoot()
      return
    }
    const path = this.#place.pathOf(name)
    try {
      await unlink(path)
    } catch (error) {
      // A directory is no object: EISDIR on Linux, EPERM elsewhere.
      const isNone = isSystemError(error, 'ENOENT', 'ENOTDIR', 'EISDIR') || (await isDirectory(path))
      if (!isNone) throw error
      return
    }
    await syncIfThere(dirname(path))
    await this.#place.removeEmptyUpwards(dirname(path))
  }

  async now(): Promise<number> {
    const known = this.#clock.current()
    if (known !== undefined) return known
    return await this.#run('head', '', 'asking the time', directoryWriteError, async () => {
      const temporary = await this.#writer.writeTemporary('clock', contentOf([Uint8Array.of(0)]))
      try {
        const { mtimeMs } = await stat(temporary)
        this.#clock.observe(mtimeMs)
        return Math.round(mtimeMs)
      } finally {
        await removeIfThere(temporary)
      }
    })
  }

  async close(): Promise<void> {
    // Nothing stays open between calls.
  }

  /** One request: counted, and its system errors given their codes. */
  async #run<Result>(
    kind: StoreRequestKind,
    name: string,
    doing: string,
    coded: (error: unknown, doing: string) => StrataError,
    request: () => Promise<Result>,
    bytes?: (result: Result) => { sent?: number; received?: number },
  ): Promise<Result> {
    try {
      return await observed(this.#onRequest, kind, name, request, bytes)
    } catch (error) {
      throw coded(error, `${doing} in ${this.description}`)
    }
  }

  async #read(
    { file, sizeBytes }: OpenObject,
    name: string,
    { range, bytesMax }: Wanted,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, length } = range ?? { offset: 0, length: sizeBytes }
    // Checked before the buffer is made: nobody's wrong length makes us allocate it.
    if (range === undefined && sizeBytes > bytesMax) throw tooLongError(this.description, name, bytesMax, sizeBytes)
    if (offset + length > sizeBytes) throw truncatedError(this.description, name, { offset, length }, sizeBytes)
    const bytes = await readUpTo(file, offset, length)
    if (bytes.byteLength < length) throw truncatedError(this.description, name, { offset, length })
    if (length > cachedBytesMax) await dropCache(file.fd, offset, length)
    return bytes
  }
}

const noLocks = 'whoever may write in a directory may delete there'

function notADirectoryError(description: string, cause?: unknown): StrataError {
  return new StrataError('E_STORE_MISSING', `${description} is not a directory`, { cause })
}
