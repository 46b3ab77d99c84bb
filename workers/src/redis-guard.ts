import type { Redis } from 'ioredis'
import { StrataError } from '@strata/shared/errors.ts'
import { redisBeatIntervalMs, redisLostMsMax } from '@strata/shared/limits.ts'
import { connect, describe, patient, type RedisAddress } from './redis-connection.ts'

export interface GuardOptions {
  /** Resolves when Redis is known to be gone. */
  readonly died?: Promise<StrataError> | undefined
  readonly lostMsMax?: number
  readonly beatIntervalMs?: number
}

/**
 * Notices when Redis stays away, or is there and does not answer (a process that was stopped, a machine that was paused,
 * packets that go nowhere), so that nobody waits for ever on a queue that is gone: it asks again and again, and what
 * counts is when it was answered last.
 */
export class RedisGuard {
  readonly #client: Redis
  readonly #place: string
  readonly #lostMsMax: number
  readonly #beatIntervalMs: number
  readonly #beats: NodeJS.Timeout
  readonly #lost: Promise<never>
  readonly #lose: (error: StrataError) => void
  #deadline: NodeJS.Timeout | undefined
  #isAsked = false

  constructor(address: RedisAddress, options: GuardOptions = {}) {
    this.#client = connect(address, patient)
    this.#place = describe(address)
    this.#lostMsMax = options.lostMsMax ?? redisLostMsMax
    this.#beatIntervalMs = options.beatIntervalMs ?? redisBeatIntervalMs
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => undefined)
    this.#lost = promise
    this.#lose = reject
    void options.died?.then(reject)
    this.#beats = setInterval(() => {
      void this.#beat()
    }, this.#beatIntervalMs)
    this.#answered()
    void this.#beat()
  }

  /** `work`, unless Redis is lost before: then E_REDIS_LOST. */
  async whileConnected<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined)
    return Promise.race([work, this.#lost])
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
      await this.#client.ping()
      this.#answered()
    } catch {
      // The connection was ended, by us; any answer is none.
    } finally {
      this.#isAsked = false
    }
  }

  #answered(): void {
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
    const what = this.#client.status === 'ready' ? 'has not answered' : 'has been away'
    return new StrataError(
      'E_REDIS_LOST',
      `Redis at ${this.#place} ${what} for ${String(Math.round(this.#lostMsMax / 1000))} s`,
    )
  }
}
