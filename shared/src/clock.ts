import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/** Time and chance are passed in, so that tests can steer them. */
export interface Clock {
  /** ms since 1970 by this machine's clock; it may be wrong. */
  nowMs(): number
  /** ms that only ever grow, for durations. */
  monotonicMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export type RandomBytes = (count: number) => Uint8Array

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  },
}

export const systemRandomBytes: RandomBytes = (count) => new Uint8Array(randomBytes(count))
