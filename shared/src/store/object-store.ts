import type { ObjectTags } from './object-tags.ts'
import type { ColderClass } from '../format/storage-class.ts'

/**
 * The one interface to object storage. Everything above it relies on these guarantees, and the conformance suite
 * (test/conformance) holds every implementation to them:
 *
 * - **Atomic.** An object is there whole or not at all, whatever dies in the middle of a put.
 * - **Durable.** When `put` resolves, the object survives a crash of every machine of ours. So does one that `put` has
 *   met (E_OBJECT_EXISTS) or that `head` has shown, also if its writer died before its own put resolved; what only
 *   `get` or `list` have shown may still be lost.
 * - **Read after write.** After `put` or `delete` resolves, every later `get`, `head` and `list` sees it.
 * - **Create-if-absent.** Of any number of simultaneous puts with `ifAbsent` exactly one succeeds; the others reject
 *   with E_OBJECT_EXISTS and change nothing. Strata needs no other conditional write.
 * - **Exact ranges.** A ranged get gives exactly the bytes asked for, or rejects with E_OBJECT_TRUNCATED. A range has at
 *   least one byte.
 * - **Names.** `[a-z0-9._-]` parts joined by `/`, no part `.` or `..`, at most 900 characters in all and 255 in a part;
 *   checked before any I/O (E_OBJECT_NAME). No object's name is another's directory: where there is `a/b` there is no
 *   `a`. Memory and directory refuse it with E_OBJECT_NAME; S3 and Azure would not notice.
 *   Listing is in ascending order of the names' bytes. Things in the store whose names are not of this form were put
 *   there by others: they are not listed.
 *
 * Errors are StrataErrors. `transient` ones (E_STORE_UNREACHABLE, E_STORE_BUSY, E_STORE_CLOCK) may be tried again: only
 * the implementation knows that, and only the retry decorator acts on it. Implementations never try twice themselves.
 *
 * After a transient error the outcome of a put or delete is unknown: it may have happened, and only the answer was
 * lost. That is harmless for a plain put, a compose, tags and a delete. A repeated put with `ifAbsent` may meet its own object; the retry
 * decorator then compares the bytes and counts equal ones as success. So what is put with `ifAbsent` must name its
 * writer (a session id, a random number), or two writers of equal bytes could both believe that they were first.
 *
 * **Stores that can lock** (`lockability`) keep every version of an object, and whoever holds all credentials can put newer
 * ones above it, and delete markers. There the name decides which version counts (format/history.ts): the first one for
 * all that is written once. For `kept` names a delete therefore changes nothing that is seen, and what was created if
 * absent is not created again after a delete. A lock holds the version that counts.
 */
export interface ObjectStore {
  /** For messages: a URL without credentials. */
  readonly description: string

  /** What the store can copy by itself; undefined where it can copy nothing. */
  readonly copying: CopyRules | undefined

  /** Writes a whole object. The parts are written one after the other as one object. */
  put(name: string, parts: readonly Uint8Array[], options?: PutOptions): Promise<void>

  /**
   * Writes a whole object: first the ranges, in order, which the store copies by itself and no byte of which passes this
   * process; then the parts. As atomic and durable as a put, and it replaces, so the name must be the caller's own.
   *
   * The sources must not be replaced meanwhile. A missing one: E_OBJECT_MISSING. A range that passes its end:
   * E_OBJECT_TRUNCATED. In an archive class: E_OBJECT_ARCHIVED. A store that turns out to have no such operation:
   * E_STORE_NO_COPY. Whatever fails, there is no object of it. Ranges that break the rules of `copying` are a bug, unless
   * one is the `whole` of an object and there is nothing else.
   */
  compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void>

  /**
   * Reads an object whole, or a range of it. Missing: E_OBJECT_MISSING. In an archive class of the store, where it can be
   * listed but not read: E_OBJECT_ARCHIVED. The result belongs to the caller.
   *
   * Whoever reads an object whole says how long it can be: a longer one is E_FORMAT_DAMAGED, as it is to whoever decodes
   * it, and costs neither its memory nor its transfer. Left out, there is no bound.
   */
  get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>>

  /** What the store knows of an object, or undefined when there is none. */
  head(name: string): Promise<ObjectInfo | undefined>

  /** All objects whose names start with `prefix`, in ascending order, fetched page by page as they are consumed. */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>

  /**
   * The directories directly below `prefix`, which is empty or ends in a slash: `a/b/` and `a/c/` where `prefix` is `a/`
   * and there are `a/b/1`, `a/b/2/3` and `a/c/4`. In ascending order, each once, fetched page by page as they are
   * consumed, at the cost of what lies directly below `prefix` and not of all that lies deeper. Every directory with an
   * object in it is listed; one that has none (any more), or only things of others, may be listed too.
   */
  listDirectories(prefix: string, options?: ListOptions): AsyncIterable<string>

  /**
   * Gives an object these tags in the place of all that it had: what the rules of a bucket go by. At most 10, of words of
   * `[a-z0-9-]` with at most 64 characters (anything else is a bug). They go with the object, whether it is replaced or
   * deleted. Missing: E_OBJECT_MISSING.
   */
  setTags(name: string, tags: ObjectTags): Promise<void>

  /** Missing: E_OBJECT_MISSING. */
  tags(name: string): Promise<ObjectTags>

  /**
   * The objects with a tag, in ascending order: only where there are no rules that delete what is tagged, so that somebody
   * must do it. Elsewhere undefined.
   */
  readonly listTagged: ((key: string, value: string, options?: ListOptions) => AsyncIterable<TaggedObject>) | undefined

  /** Whether this store can lock what is put here, or why not. At most one request, as long as the store is open. */
  lockability(): Promise<Lockability>

  /**
   * From now on nobody can delete or change the object until then. A lock is never shortened: one that ends later, or is
   * stricter, is a bug of the caller's, and the store may refuse it (E_STORE_DENIED). Missing: E_OBJECT_MISSING.
   */
  lock(name: string, lock: ObjectLock): Promise<void>

  /** undefined: it has none. Missing: E_OBJECT_MISSING. */
  lockOf(name: string): Promise<ObjectLock | undefined>

  /** Beside its lock, and without an end: the object stays until the hold is taken away. Missing: E_OBJECT_MISSING. */
  setLegalHold(name: string, on: boolean): Promise<void>

  /** Removes an object; removing what is not there is no error. */
  delete(name: string): Promise<void>

  /** The store's own clock, in ms since 1970: decisions that delete or lock use it, never ours. */
  now(): Promise<number>

  /** Ends connections. Using the store afterwards is a bug. */
  close(): Promise<void>
}

export interface PutOptions {
  readonly ifAbsent?: boolean
  /** In the same step. In a store that cannot lock it is a bug. */
  readonly lock?: ObjectLock | undefined
}

/**
 * `governance`: who has a permission of its own for it may shorten or remove the lock. `compliance`: nobody can, until it
 * ends.
 */
export type LockMode = 'governance' | 'compliance'

export interface ObjectLock {
  readonly mode: LockMode
  /** By the store's clock, in ms since 1970. */
  readonly untilMs: number
}

export type Lockability =
  | { readonly canLock: true }
  /** `why`: in words, with what is missing. */
  | { readonly canLock: false; readonly why: string }

export interface ByteRange {
  readonly offset: number
  /** At least 1. */
  readonly length: number
}

/** Bytes of another object of the same store. */
export interface CopyRange extends ByteRange {
  readonly source: string
  /**
   * The range is all of another object, as `head` has told. Where a compose is of this range alone, the store may do what costs
   * it least, and need not look whether the length is still right. No rule of `copying` holds for it.
   */
  readonly whole?: boolean
}

export interface CopyRules {
  /** Shorter ranges cannot be copied. */
  readonly rangeBytesMin: number
  readonly rangeBytesMax: number
  /** In one object. */
  readonly rangesMax: number
  /** So many dead bytes between two ranges cost less than what it takes to leave them out: one more request, or call. */
  readonly gapBytesMax: number
  /**
   * Where a range lies at the same place in source and target, modulo this, the store may share its bytes instead of
   * copying them. Left out: it makes no difference.
   */
  readonly sharedBytes?: number
}

export interface WholeObject {
  readonly bytesMax: number
}

export interface ListOptions {
  /** Only names greater than this one. */
  readonly startAfter?: string
}

export interface TaggedObject {
  readonly name: string
  /** When it got the tags that it has, by the store's clock. */
  readonly taggedMs: number
}

export interface ObjectInfo {
  readonly name: string
  readonly sizeBytes: number
  /** By the store's clock. */
  readonly modifiedMs: number
  /** Left out: the standard class. */
  readonly storageClass?: ColderClass
  /** What the store itself has compared the bytes with and kept. Only from `head` of an S3 store that was asked for it. */
  readonly sha256?: Uint8Array
}
