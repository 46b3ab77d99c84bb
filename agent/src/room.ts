import { invariant } from '@strata/shared/errors.ts'

/** So many at once: the others wait their turn, first come first served, or fail when the run is stopped. */
export class Room {
  readonly #placesMax: number
  readonly #stop: AbortSignal
  readonly #waiting: (() => void)[] = []
  #used = 0
  #peak = 0

  constructor(placesMax: number, stop: AbortSignal) {
    this.#placesMax = placesMax
    this.#stop = stop
  }

  /** The most places that were ever in use. */
  get peak(): number {
    return this.#peak
  }

  /** Takes a place, when one is free. Throws the reason of the stop. */
  async take(): Promise<void> {
    this.#stop.throwIfAborted()
    if (this.#used < this.#placesMax) {
      this.#used += 1
      this.#peak = Math.max(this.#peak, this.#used)
      return
    }
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        reject(this.#stop.reason as Error)
      }
      this.#stop.addEventListener('abort', giveUp, { once: true })
      this.#waiting.push(() => {
        this.#stop.removeEventListener('abort', giveUp)
        resolve()
      })
    })
  }

  /** Frees a place; who waits longest gets it. */
  give(): void {
    invariant(this.#used > 0, 'a place is given back once')
    const next = this.#waiting.shift()
    if (next === undefined) this.#used -= 1
    else next()
  }
}
