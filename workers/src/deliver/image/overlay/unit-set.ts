import { invariant } from '@strata/shared/errors.ts'

/** What the sets of units are kept and stored in: so many bytes of bits, of 128 MiB of disk each. */
export const unitChunkBytes = 4096
const unitsPerChunk = 8 * unitChunkBytes

export interface UnitRun {
  readonly from: number
  /** Behind the last one. */
  readonly to: number
  readonly isIn: boolean
}

/** The units of a disk that an overlay has, as bits. Only parts of the disk that have any take memory. */
export class UnitSet {
  readonly #chunks = new Map<number, Uint8Array>()
  readonly #changed = new Set<number>()

  add(from: number, to: number): void {
    for (let unit = from; unit < to; unit += 1) {
      const number = Math.floor(unit / unitsPerChunk)
      let chunk = this.#chunks.get(number)
      if (chunk === undefined) {
        chunk = new Uint8Array(unitChunkBytes)
        this.#chunks.set(number, chunk)
      }
      const bit = unit % unitsPerChunk
      const byte = bit >>> 3
      const mask = 1 << (bit & 7)
      if (((chunk[byte] ?? 0) & mask) !== 0) continue
      chunk[byte] = (chunk[byte] ?? 0) | mask
      this.#changed.add(number)
    }
  }

  has(unit: number): boolean {
    const chunk = this.#chunks.get(Math.floor(unit / unitsPerChunk))
    const bit = unit % unitsPerChunk
    return chunk !== undefined && ((chunk[bit >>> 3] ?? 0) & (1 << (bit & 7))) !== 0
  }

  /** From `from` to `to`, by turns in the set and not. */
  *runs(from: number, to: number): Generator<UnitRun> {
    for (let start = from; start < to;) {
      const isIn = this.has(start)
      let end = start + 1
      while (end < to && this.has(end) === isIn) {
        // What has none is passed as a whole.
        end = this.#chunks.has(Math.floor(end / unitsPerChunk))
          ? end + 1
          : (Math.floor(end / unitsPerChunk) + 1) * unitsPerChunk
      }
      yield { from: start, to: Math.min(end, to), isIn }
      start = end
    }
  }

  /** Chunks that have changed since the last time, by their place among all, and as they are now. */
  takeChanged(): (readonly [number, Uint8Array])[] {
    const changed = [...this.#changed].map((number) => {
      const chunk = this.#chunks.get(number)
      invariant(chunk !== undefined, 'what has changed is there')
      return [number, chunk.slice()] as const
    })
    this.#changed.clear()
    return changed
  }

  /** They are to be taken again: they could not be stored. */
  giveBack(chunks: readonly (readonly [number, Uint8Array])[]): void {
    for (const [number] of chunks) this.#changed.add(number)
  }

  /** As it was stored. */
  load(number: number, bytes: Uint8Array): void {
    if (bytes.some((byte) => byte !== 0)) this.#chunks.set(number, Uint8Array.from(bytes))
  }
}
