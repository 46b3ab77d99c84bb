import { invariant } from '@strata/shared/errors.ts'

/** Lets work begin while what is under way stays within a number of bytes; first come, first served. */
export class ByteBudget {
  readonly #bytesMax: number
  #used = 0
  readonly #waiting: { readonly bytes: number; readonly start: () => void }[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Runs `work` when there is room for `bytes`. What is larger than everything runs alone. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await this.take(bytes)
    try {
      return await work()
    } finally {
      this.give(bytes)
    }
  }

  /** Waits for room. Whoever takes gives back the same. */
  async take(bytes: number): Promise<void> {
    invariant(bytes >= 0, 'bytes are taken, not given')
    if (this.#waiting.length === 0 && this.#fits(bytes)) this.#used += bytes
    else {
      await new Promise<void>((start) => {
        this.#waiting.push({ bytes, start })
      })
    }
  }

  give(bytes: number): void {
    this.#used -= bytes
    this.#startWaiting()
  }

  #startWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#used += next.bytes
      this.#waiting.shift()
      next.start()
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#bytesMax
  }
}
