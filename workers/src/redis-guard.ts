import type { Redis } from 'ioredis'
import { StrataError } from '@strata/shared/errors.ts'
import { redisBeatIntervalMs, redisLostMsMax } from '@strata/shared/limits.ts'
import { giveBackClaim, renewClaim } from './queue-claim.ts'
import type { QueuePlace } from './queue-place.ts'
import { connect, describe, isRefusal, patient, redisError } from './redis-connection.ts'

export interface GuardOptions {
  /** Resolves when Redis is known to be gone. */
  readonly died?: Promise<StrataError> | undefined
  readonly lostMsMax?: number
  readonly beatIntervalMs?: number
}

/**
 * Notices when Redis stays away, is there and does not answer (a process that was stopped, a machine that was paused,
 * packets that go nowhere), or answers and does not take anything (full, a replica, without its disk), so that nobody
 * waits for ever on a queue that is gone. It renews the claim on the service's queues again and again, and what counts
 * is when that was done last. A Redis that comes back after that is taken again: what was waited for is lost, what comes
 * next is not.
 */
export class RedisGuard {
  readonly #client: Redis
  readonly #place: QueuePlace
  readonly #lostMsMax: number
  readonly #beatIntervalMs: number
  #lost = Promise.withResolvers<never>()
  #isLost = false
  /** Whoever started Redis knows that it has ended, and starts no other. */
  #hasDied = false
  #beats: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  #isAsked = false
  /** What Redis said to the last beat, when it was no. */
  #refusal: Error | undefined

  /** Resolves when the claim is made: whatever is in Redis under this prefix is removed some day, even after a kill. */
  static async begin(place: QueuePlace, options: GuardOptions = {}): Promise<RedisGuard> {
    const guard = new RedisGuard(place, options)
    try {
      await guard.whileConnected(renewClaim(guard.#client, place.prefix))
    } catch (error) {
      guard.close()
      throw error instanceof StrataError ? error : redisError(place.address, error)
    }
    guard.#answered()
    guard.#beats = setInterval(() => {
      void guard.#beat()
    }, guard.#beatIntervalMs)
    return guard
  }

  private constructor(place: QueuePlace, options: GuardOptions) {
    this.#client = connect(place.address, patient)
    this.#place = place
    this.#lostMsMax = options.lostMsMax ?? redisLostMsMax
    this.#beatIntervalMs = options.beatIntervalMs ?? redisBeatIntervalMs
    this.#lost.promise.catch(() => undefined)
    void options.died?.then((error) => {
      this.#hasDied = true
      this.#lose(error)
    })
    this.#answered()
  }

  /** `work`, unless Redis is lost before: then E_REDIS_LOST. */
  async whileConnected<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined)
    return Promise.race([work, this.#lost.promise])
  }

  /** Leaves a mark in Redis; true: there was none. */
  async mark(prefix: string): Promise<boolean> {
    return (await this.whileConnected(this.#client.set(`${prefix}:mark`, '', 'NX'))) !== null
  }

  /** True: nobody has taken it in the last `lifeMs`, and now this process has. */
  async take(key: string, lifeMs: number): Promise<boolean> {
    return (await this.whileConnected(this.#client.set(key, '', 'PX', lifeMs, 'NX'))) !== null
  }

  async giveUp(key: string): Promise<void> {
    await this.whileConnected(this.#client.del(key))
  }

  /** Once the queues are gone. */
  async giveBack(): Promise<void> {
    clearInterval(this.#beats)
    await this.whileConnected(giveBackClaim(this.#client, this.#place.prefix))
  }

  close(): void {
    clearInterval(this.#beats)
    clearTimeout(this.#deadline)
    this.#client.disconnect()
  }

  /** One question at a time: while Redis is away it waits for it. */
  async #beat(): Promise<void> {
    if (this.#isAsked) return
    this.#isAsked = true
    try {
      await renewClaim(this.#client, this.#place.prefix)
      this.#answered()
    } catch (error) {
      // Otherwise the connection was ended, by us.
      if (isRefusal(error)) this.#refusal = error
    } finally {
      this.#isAsked = false
    }
  }

  #lose(error: StrataError): void {
    this.#isLost = true
    this.#lost.reject(error)
  }

  #answered(): void {
    if (this.#isLost && !this.#hasDied) {
      this.#isLost = false
      this.#lost = Promise.withResolvers<never>()
      this.#lost.promise.catch(() => undefined)
    }
    this.#refusal = undefined
    this.#waitUntilLast(this.#lostMsMax - this.#beatIntervalMs, () => {
      // This process may itself have been stopped meanwhile: an answer that lies there already is heard before that.
      this.#waitUntilLast(this.#beatIntervalMs, () => {
        this.#lose(this.#lostError())
      })
    })
  }

  #waitUntilLast(ms: number, then: () => void): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(then, ms)
  }

  #lostError(): StrataError {
    const [where, seconds] = [describe(this.#place.address), Math.round(this.#lostMsMax / 1000)]
    const refusal = this.#refusal
    if (refusal !== undefined && this.#client.status === 'ready') {
      const what = `Redis at ${where} has refused to take anything for ${String(seconds)} s: ${refusal.message}`
      return new StrataError('E_REDIS_REFUSES', what, { cause: refusal })
    }
    const what = this.#client.status === 'ready' ? 'has not answered' : 'has been away'
    return new StrataError('E_REDIS_LOST', `Redis at ${where} ${what} for ${String(seconds)} s`)
  }
}
