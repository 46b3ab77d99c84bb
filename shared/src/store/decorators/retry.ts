import type { Clock, RandomBytes } from '../../clock.ts'
import { StrataError, hasCode } from '../../errors.ts'
import { storeAttemptsMin, storeOutageMsMax, storeRetryDelayMsMax, storeRetryFirstDelayMs } from '../../limits.ts'
import type {
  ByteRange,
  CopyRange,
  CopyRules,
  ListOptions,
  Lockability,
  ObjectInfo,
  ObjectLock,
  ObjectStore,
  PutOptions,
  WholeObject,
} from '../object-store.ts'
import type { ObjectTags } from '../object-tags.ts'
import { byteCount, existsError } from '../object-errors.ts'

/**
 * Tries again what failed with a transient error, after pauses that double and are drawn at random from zero to their
 * full length ("full jitter"), so that many writers do not come back at once.
 *
 * How long depends on what the store has shown. One that has never answered here is probably the wrong one: it is tried
 * `storeAttemptsMin` times, and named within seconds. One that has answered is away for a while (a router that starts
 * again, a storm of "slow down") and gets `storeOutageMsMax` without success. All calls share that time, so a run that
 * gives up does not wait for it again in every step of its cleaning up.
 *
 * Invariant: a create-if-absent that meets its own object, because an earlier attempt worked and only its answer was
 * lost, is a success. It is told from another writer's object by comparing the bytes (see ObjectStore).
 */
export interface RetryOptions {
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** Told before each pause. */
  readonly onRetry?: RetryObserver | undefined
  /** Once aborted, nobody waits for an outage to end: `storeAttemptsMin` attempts are all. */
  readonly signal?: AbortSignal | undefined
}

export type RetryObserver = (error: StrataError, attempt: number, delayMs: number) => void

/** For a log: what failed, and when it is tried again. */
export const retryNote = ({ code, message }: StrataError, attempt: number, delayMs: number): string =>
  `${code}: ${message}; attempt ${String(attempt + 1)} in ${String(delayMs)} ms`

export function withRetry(store: ObjectStore, options: RetryOptions): ObjectStore {
  return new RetryingStore(store, options)
}

class RetryingStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #options: RetryOptions
  readonly #outage: Outage

  constructor(store: ObjectStore, options: RetryOptions) {
    this.#store = store
    this.#options = options
    this.#outage = new Outage(options.clock)
  }

  get description(): string {
    return this.#store.description
  }

  get copying(): CopyRules | undefined {
    return this.#store.copying
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    const attempts = this.#attempts()
    await attempts.run(async () => {
      // What may have worked is looked for before it is sent again. (Also, a server that refuses a large object early
      // may cut the connection before we read the refusal: then this look tells us.)
      const mayBeThere = options.ifAbsent === true && attempts.failed > 0
      if (mayBeThere && (await this.#isThere(name, parts))) return
      try {
        await this.#store.put(name, parts, options)
      } catch (error) {
        // The server may also have taken up the earlier attempt only after that look.
        if (!mayBeThere || !hasCode(error, 'E_OBJECT_EXISTS') || !(await this.#isThere(name, parts))) throw error
      }
    })
  }

  /** As a whole: what it copies in one object is bounded, and costs nobody's link. */
  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    await this.#attempts().run(async () => {
      await this.#store.compose(name, ranges, parts)
    })
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#attempts().run(async () => await this.#store.get(name, part))
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    return await this.#attempts().run(async () => await this.#store.head(name))
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#listing(
      options,
      (from) => this.#store.list(prefix, from),
      ({ name }) => name,
    )
  }

  listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    return this.#listing(
      options,
      (from) => this.#store.listDirectories(prefix, from),
      (name) => name,
    )
  }

  /** A listing that fails goes on after the last name that it gave. */
  async *#listing<Item>(
    options: ListOptions,
    list: (from: ListOptions) => AsyncIterable<Item>,
    nameOf: (item: Item) => string,
  ): AsyncGenerator<Item> {
    let from = options
    let attempts = this.#attempts()
    for (;;) {
      try {
        for await (const item of list(from)) {
          // A long listing may meet many separate failures; only those without progress between them count together.
          if (attempts.failed > 0) attempts = this.#attempts()
          this.#outage.end()
          from = { startAfter: nameOf(item) }
          yield item
        }
        this.#outage.end()
        return
      } catch (error) {
        await attempts.pauseAfter(error)
      }
    }
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    await this.#attempts().run(async () => {
      await this.#store.setTags(name, tags)
    })
  }

  async tags(name: string): Promise<ObjectTags> {
    return await this.#attempts().run(async () => await this.#store.tags(name))
  }

  get listTagged(): ObjectStore['listTagged'] {
    const list = this.#store.listTagged
    if (list === undefined) return undefined
    return (key, value, options = {}) =>
      this.#listing(
        options,
        (from) => list(key, value, from),
        ({ name }) => name,
      )
  }

  async lockability(): Promise<Lockability> {
    return await this.#attempts().run(async () => await this.#store.lockability())
  }

  async lock(name: string, lock: ObjectLock): Promise<void> {
    await this.#attempts().run(async () => {
      await this.#store.lock(name, lock)
    })
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    return await this.#attempts().run(async () => await this.#store.lockOf(name))
  }

  async setLegalHold(name: string, on: boolean): Promise<void> {
    await this.#attempts().run(async () => {
      await this.#store.setLegalHold(name, on)
    })
  }

  async delete(name: string): Promise<void> {
    await this.#attempts().run(async () => {
      await this.#store.delete(name)
    })
  }

  async now(): Promise<number> {
    return await this.#attempts().run(async () => await this.#store.now())
  }

  async close(): Promise<void> {
    await this.#store.close()
  }

  #attempts(): Attempts {
    return new Attempts(this.#options, this.#outage)
  }

  /** Whether an object of exactly these bytes is there; throws E_OBJECT_EXISTS when it has other bytes. */
  async #isThere(name: string, parts: readonly Uint8Array[]): Promise<boolean> {
    const info = await this.#store.head(name)
    if (info === undefined) return false
    const bytes = byteCount(parts)
    // Another writer's object may be large: it is read only if it can be ours.
    const isOurs = info.sizeBytes === bytes && equalBytes(await this.#store.get(name, { bytesMax: bytes }), parts)
    if (!isOurs) throw existsError(this.description, name)
    return true
  }
}

/** The time without success that all calls of a store see together. */
class Outage {
  readonly #clock: Clock
  #hasAnswered = false
  #sinceMs: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Something worked, or was refused for what it asked. */
  end(): void {
    this.#hasAnswered = true
    this.#sinceMs = undefined
  }

  /** A request to come later is an answer, but no success. */
  noteFailure({ code }: StrataError): void {
    if (code === 'E_STORE_BUSY') this.#hasAnswered = true
    this.#sinceMs ??= this.#clock.monotonicMs()
  }

  /** Whether waiting may help a call that has failed since `callMs` although others may have worked meanwhile. */
  mayEnd(callMs: number): boolean {
    const sinceMs = Math.min(this.#sinceMs ?? callMs, callMs)
    return this.#hasAnswered && this.#clock.monotonicMs() - sinceMs < storeOutageMsMax
  }
}

/** Counts the failures of one call and waits after each. */
class Attempts {
  failed = 0
  readonly #options: RetryOptions
  readonly #outage: Outage
  readonly #startedMs: number
  #failingSinceMs: number | undefined

  constructor(options: RetryOptions, outage: Outage) {
    this.#options = options
    this.#outage = outage
    this.#startedMs = options.clock.monotonicMs()
  }

  async run<Result>(attempt: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        const result = await attempt()
        this.#outage.end()
        return result
      } catch (error) {
        await this.pauseAfter(error)
      }
    }
  }

  /** Waits before the next attempt, or throws when there is none. */
  async pauseAfter(error: unknown): Promise<void> {
    if (!(error instanceof StrataError) || error.kind !== 'transient') {
      if (isAboutObject(error)) this.#outage.end()
      throw error
    }
    this.failed += 1
    this.#failingSinceMs ??= this.#options.clock.monotonicMs()
    this.#outage.noteFailure(error)
    if (!this.#mayGoOn(error, this.#failingSinceMs)) throw this.#finalError(error)
    const delayMs = retryDelayMs(this.failed, this.#options.randomBytes)
    this.#options.onRetry?.(error, this.failed, delayMs)
    await this.#pause(delayMs)
  }

  #mayGoOn({ code }: StrataError, failingSinceMs: number): boolean {
    if (this.failed < storeAttemptsMin) return true
    // The SDK corrects a wrong clock by the first answer, or never.
    if (code === 'E_STORE_CLOCK' || this.#options.signal?.aborted === true) return false
    return this.#outage.mayEnd(failingSinceMs)
  }

  async #pause(delayMs: number): Promise<void> {
    const { clock, signal } = this.#options
    const sleeping = signal?.aborted === false ? clock.sleep(delayMs, signal) : clock.sleep(delayMs)
    await sleeping.catch((error: unknown) => {
      // Woken by the signal: the next attempt may be the last one.
      if (signal?.aborted !== true) throw error
    })
  }

  #finalError(error: StrataError): StrataError {
    const seconds = ((this.#options.clock.monotonicMs() - this.#startedMs) / 1000).toFixed(1)
    return new StrataError(error.code, `${error.message} (tried ${String(this.failed)} times in ${seconds} s)`, {
      cause: error,
      hint: error.hint,
      details: { ...error.details, attempts: this.failed },
    })
  }
}

/** The store has looked for the object; what is refused without a request (a name, credentials) says nothing of it. */
function isAboutObject(error: unknown): boolean {
  return hasCode(error, 'E_OBJECT_MISSING', 'E_OBJECT_EXISTS', 'E_OBJECT_TRUNCATED', 'E_OBJECT_ARCHIVED')
}

/** @returns ms to wait after the `failed`th failure, counted from 1 */
export function retryDelayMs(failed: number, randomBytes: RandomBytes): number {
  const longestMs = Math.min(storeRetryDelayMsMax, storeRetryFirstDelayMs * 2 ** (failed - 1))
  return Math.round(longestMs * fraction(randomBytes))
}

/** Evenly spread in [0, 1). */
function fraction(randomBytes: RandomBytes): number {
  const bytes = randomBytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
}

function equalBytes(whole: Uint8Array, parts: readonly Uint8Array[]): boolean {
  if (whole.byteLength !== byteCount(parts)) return false
  let offset = 0
  for (const part of parts) {
    const piece = whole.subarray(offset, offset + part.byteLength)
    if (Buffer.compare(piece, part) !== 0) return false
    offset += part.byteLength
  }
  return true
}
