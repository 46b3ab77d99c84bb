import { invariant } from '@strata/shared/errors.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { pageBytes } from './digest-file.ts'
import type { DigestSink } from './digest-reference.ts'

/** Puts digests together to pages, in the order of their blocks. */
export class PageFiller implements DigestSink {
  readonly #blocks: number
  readonly #take: (page: number, digests: Uint8Array) => void
  readonly #page = new Uint8Array(pageBytes)
  #taken = 0

  /**
   * @param blocks of the disk: with the last of them comes the last page
   * @param take gets each page when it is whole, with zeros after the last block; good until it returns
   */
  constructor(blocks: number, take: (page: number, digests: Uint8Array) => void) {
    this.#blocks = blocks
    this.#take = take
  }

  get isComplete(): boolean {
    return this.#taken === this.#blocks
  }

  push(digests: Uint8Array): void {
    for (let at = 0; at < digests.length;) {
      const used = (this.#taken % pageEntriesMax) * digestBytes
      const part = digests.subarray(at, at + pageBytes - used)
      this.#page.set(part, used)
      at += part.length
      this.#advance(part.length / digestBytes)
    }
  }

  pushZeros(count: number): void {
    for (let left = count; left > 0;) {
      const part = Math.min(left, pageEntriesMax - (this.#taken % pageEntriesMax))
      // The page's memory is zeros wherever nothing was put in.
      left -= part
      this.#advance(part)
    }
  }

  #advance(blocks: number): void {
    this.#taken += blocks
    invariant(this.#taken <= this.#blocks, 'no more digests than blocks')
    if (this.#taken % pageEntriesMax !== 0 && !this.isComplete) return
    this.#take(Math.ceil(this.#taken / pageEntriesMax) - 1, this.#page)
    this.#page.fill(0)
  }
}
