import { zeroTaskBytesMax, zeroTaskRangesMax } from '@strata/shared/limits.ts'

/** Collects parts of a target that must become zeros, joins neighbours, and cuts them into tasks of bounded size. */
export class ZeroRanges {
  readonly #targetBytes: number
  #tasks: Float64Array[] = []
  #ranges: number[] = []
  #bytes = 0
  #start = 0
  #end = 0

  constructor(targetBytes: number) {
    this.#targetBytes = targetBytes
  }

  /** What lies behind the target's end is left out. */
  add(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#targetBytes)
    if (offset >= end) return
    if (offset !== this.#end) {
      this.#close()
      this.#start = offset
    }
    this.#end = end
  }

  /** All that was collected. */
  take(): Float64Array[] {
    this.#close()
    this.#closeTask()
    const tasks = this.#tasks
    this.#tasks = []
    return tasks
  }

  #close(): void {
    for (let at = this.#start; at < this.#end;) {
      const length = Math.min(this.#end - at, zeroTaskBytesMax - this.#bytes)
      this.#ranges.push(at, length)
      this.#bytes += length
      at += length
      if (this.#bytes >= zeroTaskBytesMax || this.#ranges.length >= 2 * zeroTaskRangesMax) this.#closeTask()
    }
    this.#start = this.#end
  }

  #closeTask(): void {
    if (this.#ranges.length > 0) this.#tasks.push(Float64Array.from(this.#ranges))
    this.#ranges = []
    this.#bytes = 0
  }
}
