import type { Clock } from '../clock.ts'

/** Time that passes when a test says so. */
export class MovedClock implements Clock {
  #nowMs: number

  constructor(beginMs: number = Date.UTC(2026, 5, 1)) {
    this.#nowMs = beginMs
  }

  nowMs = (): number => this.#nowMs
  monotonicMs = (): number => this.#nowMs
  sleep = (_: number, signal?: AbortSignal): Promise<void> =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(new Error('ended'))
      })
    })
  pass(ms: number): void {
    this.#nowMs += ms
  }
}
