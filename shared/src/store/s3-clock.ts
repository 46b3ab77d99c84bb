import type { S3Client } from '@aws-sdk/client-s3'
import type { Clock } from '../clock.ts'
import { StoreClock } from './store-clock.ts'

/** The time at the store: every answer says it, also one with an error. */
export class S3Clock {
  readonly #clock: Clock
  readonly #storeClock: StoreClock
  /** By answer: how far the clock that its request was signed by was ahead of the store's. */
  readonly #aheadMs = new WeakMap<object, number>()

  constructor(client: S3Client, clock: Clock) {
    this.#clock = clock
    this.#storeClock = new StoreClock(clock)
    this.#watchDates(client)
  }

  current(): number | undefined {
    return this.#storeClock.current()
  }

  /** The SDK corrects the time that it signs by with every answer: what counts is how it signed this request. */
  aheadMsOf(error: unknown): number | undefined {
    const { $response } = error as { $response?: object }
    return $response === undefined ? undefined : this.#aheadMs.get($response)
  }

  #watchDates(client: S3Client): void {
    client.middlewareStack.add(
      (next) => async (args) => {
        const offsetMs = client.config.systemClockOffset
        const result = await next(args)
        const response = result.response as { headers?: Readonly<Record<string, string | undefined>> }
        const dateMs = Date.parse(response.headers?.['date'] ?? '')
        if (Number.isFinite(dateMs)) {
          this.#storeClock.observe(dateMs)
          this.#aheadMs.set(response, this.#clock.nowMs() + offsetMs - dateMs)
        }
        return result
      },
      { step: 'deserialize', priority: 'low', name: 'strataStoreClock' },
    )
  }
}
