import type { Clock } from '../../clock.ts'
import { invariant } from '../../errors.ts'
import { bandwidthBurstMs } from '../../limits.ts'
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
import { byteCount } from '../object-errors.ts'

/**
 * Keeps the average rate of object bytes below a limit. A request goes at once or waits as a whole: the link is used
 * at its full speed while a request runs, and pauses lie between requests.
 */
export interface BandwidthOptions {
  readonly clock: Clock
  /** Limit for what is put; none if left out. */
  readonly upBytesPerSecond?: number | undefined
  /** Limit for what is read; none if left out. */
  readonly downBytesPerSecond?: number | undefined
  /** Once aborted, nothing waits: whoever stops a run has little left to move. */
  readonly signal?: AbortSignal | undefined
}

export function withBandwidth(store: ObjectStore, options: BandwidthOptions): ObjectStore {
  return new LimitedStore(store, options)
}

/**
 * A bucket that fills with `bytesPerSecond` and holds `bandwidthBurstMs` of it. Taking more than it holds leaves a debt
 * that later takers wait out, so one large object is not refused and the average still holds.
 */
export class TokenBucket {
  readonly #clock: Clock
  readonly #signal: AbortSignal | undefined
  readonly #bytesPerMs: number
  readonly #bytesMax: number
  #bytes: number
  #filledAtMs: number

  constructor(bytesPerSecond: number, clock: Clock, signal?: AbortSignal) {
    invariant(bytesPerSecond > 0 && Number.isFinite(bytesPerSecond), `a rate of ${String(bytesPerSecond)} bytes/s`)
    this.#clock = clock
    this.#signal = signal
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#bytesMax = this.#bytesPerMs * bandwidthBurstMs
    this.#bytes = this.#bytesMax
    this.#filledAtMs = clock.monotonicMs()
  }

  /** Takes `bytes` out and resolves once the bucket has had time to give them. */
  async take(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#bytes = Math.min(this.#bytesMax, this.#bytes + (nowMs - this.#filledAtMs) * this.#bytesPerMs)
    this.#filledAtMs = nowMs
    this.#bytes -= bytes
    if (this.#bytes < 0) await this.#wait(Math.ceil(-this.#bytes / this.#bytesPerMs))
  }

  async #wait(ms: number): Promise<void> {
    if (this.#signal?.aborted === true) return
    await this.#clock.sleep(ms, this.#signal).catch((error: unknown) => {
      if (this.#signal?.aborted !== true) throw error
    })
  }
}

class LimitedStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #up: TokenBucket | undefined
  readonly #down: TokenBucket | undefined

  constructor(store: ObjectStore, options: BandwidthOptions) {
    const bucket = (rate: number | undefined): TokenBucket | undefined =>
      rate === undefined ? undefined : new TokenBucket(rate, options.clock, options.signal)
    this.#store = store
    this.#up = bucket(options.upBytesPerSecond)
    this.#down = bucket(options.downBytesPerSecond)
  }

  get description(): string {
    return this.#store.description
  }

  get copying(): CopyRules | undefined {
    return this.#store.copying
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    await this.#up?.take(byteCount(parts))
    await this.#store.put(name, parts, options)
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    await this.#up?.take(byteCount(parts))
    await this.#store.compose(name, ranges, parts)
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    if (part !== undefined && 'length' in part) {
      await this.#down?.take(part.length)
      return await this.#store.get(name, part)
    }
    // Its size is known only afterwards: whoever comes next waits for it.
    const bytes = await this.#store.get(name, part)
    await this.#down?.take(bytes.byteLength)
    return bytes
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    return await this.#store.head(name)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#store.list(prefix, options)
  }

  listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    return this.#store.listDirectories(prefix, options)
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    await this.#store.setTags(name, tags)
  }

  async tags(name: string): Promise<ObjectTags> {
    return await this.#store.tags(name)
  }

  get listTagged(): ObjectStore['listTagged'] {
    return this.#store.listTagged
  }

  async lockability(): Promise<Lockability> {
    return await this.#store.lockability()
  }

  async lock(name: string, lock: ObjectLock): Promise<void> {
    await this.#store.lock(name, lock)
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    return await this.#store.lockOf(name)
  }

  async setLegalHold(name: string, on: boolean): Promise<void> {
    await this.#store.setLegalHold(name, on)
  }

  async delete(name: string): Promise<void> {
    await this.#store.delete(name)
  }

  async now(): Promise<number> {
    return await this.#store.now()
  }

  async close(): Promise<void> {
    await this.#store.close()
  }
}
