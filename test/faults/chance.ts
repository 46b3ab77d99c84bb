import { createHash } from 'node:crypto'

/** Chance that is the same for the same seed. Each `part` has dice of its own: one more throw in one changes no other. */
export class Chance {
  readonly #seed: string
  #thrown = 0

  constructor(seed: string) {
    this.#seed = seed
  }

  part(name: string): Chance {
    return new Chance(`${this.#seed}/${name}`)
  }

  bytes(count: number): Buffer {
    this.#thrown += 1
    return createHash('shake256', { outputLength: count })
      .update(`${this.#seed} ${String(this.#thrown)}`)
      .digest()
  }

  /** From `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return least + (this.bytes(6).readUIntBE(0, 6) % (most - least + 1))
  }

  /** True in so many of a hundred cases. */
  percent(count: number): boolean {
    return this.whole(1, 100) <= count
  }

  one<Thing>(things: readonly [Thing, ...Thing[]]): Thing {
    return things[this.whole(0, things.length - 1)] ?? things[0]
  }
}
