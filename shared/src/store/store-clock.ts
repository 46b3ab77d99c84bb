import type { Clock } from '../clock.ts'
import { storeClockLifeMs } from '../limits.ts'

/**
 * The store's clock as an offset to our monotonic one, so that asking the time seldom costs a request and a jump of our
 * own clock changes nothing.
 */
export class StoreClock {
  readonly #clock: Clock
  #offsetMs = 0
  #observedAtMs: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The store has just said that it is `storeMs` (ms since 1970). */
  observe(storeMs: number): void {
    if (this.current() !== undefined) return
    this.#observedAtMs = this.#clock.monotonicMs()
    this.#offsetMs = storeMs - this.#observedAtMs
  }

  /** The store's time in ms since 1970, or undefined when nothing recent is known. */
  current(): number | undefined {
    const nowMs = this.#clock.monotonicMs()
    if (this.#observedAtMs === undefined || nowMs - this.#observedAtMs > storeClockLifeMs) return undefined
    return Math.round(nowMs + this.#offsetMs)
  }
}
