import { StrataError } from '@strata/shared/errors.ts'
import { readBytesInFlightMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { PlannedRead } from '@strata/shared/repository/range-plan.ts'
import type { KeyId } from '@strata/shared/types.ts'
import { ByteBudget } from './byte-budget.ts'
import type { Damage } from './damage.ts'
import { blockRange, RecordOpener, type LostRecord, type RecordSource, type WantedRecord } from './record-opener.ts'
import type { ReadAnswer, WriteFailure } from './read-task.ts'
import { ZeroRanges } from './zero-ranges.ts'

/**
 * Reads records of one disk: joins their ranges into few reads, fetches several at the same time, and has threads open
 * and check them and write the blocks to a target. Memory is bounded by `readBytesInFlightMax` and one window of
 * records, whatever the size of the disk and the number of packs.
 */

/** One window: what is planned together. */
export interface ReadWork {
  readonly records: readonly WantedRecord[]
  /** Parts of the target that must become zeros, for `writeZeros`. */
  readonly zeros: readonly Float64Array[]
}

export interface RecordTarget {
  readonly fd: number
  readonly sizeBytes: number
  /** Holds other bytes already, so blocks without a record, and lost ones, must be made zero. */
  readonly needsZeros: boolean
  failure(failure: WriteFailure): StrataError
}

export interface RecordReaderOptions extends RecordSource {
  readonly target: RecordTarget | null
  readonly signal: AbortSignal | undefined
  /** Begin nothing new once it says so. */
  readonly isStopped?: () => boolean
  /** With the data key that the record names, where that is what did not open it. */
  readonly onDamage: (damage: Damage, keyId?: KeyId) => void
  readonly onProgress?: (progress: ReadTotals) => void
}

export interface ReadTotals {
  readonly checkedBlocks: number
  readonly checkedBytes: number
  readonly writtenBytes: number
}

type PlannedWork = { readonly read: PlannedRead<WantedRecord> } | { readonly zeros: Float64Array }

export class RecordReader {
  readonly #options: RecordReaderOptions
  readonly #opener: RecordOpener
  readonly #budget = new ByteBudget(readBytesInFlightMax)
  #checkedBlocks = 0
  #checkedBytes = 0
  #writtenBytes = 0

  constructor(options: RecordReaderOptions) {
    const { target } = options
    this.#options = options
    this.#opener = new RecordOpener({
      ...options,
      targetOf: () => (target === null ? null : { fd: target.fd, sizeBytes: target.sizeBytes }),
      onOpened: (answer) => {
        this.#count(answer)
      },
      onLost: (lost) => this.#lose(lost),
    })
  }

  get totals(): ReadTotals {
    return { checkedBlocks: this.#checkedBlocks, checkedBytes: this.#checkedBytes, writtenBytes: this.#writtenBytes }
  }

  /** Damage goes to `onDamage`; what it rejects with ended the run. Nothing is under way any more when it settles. */
  async run(windows: AsyncIterable<ReadWork>): Promise<void> {
    const done = mapConcurrently(this.#plan(windows), storeRequestsInFlightMax, (work) =>
      'zeros' in work ? this.#writeZeros(work.zeros) : this.#readPlanned(work.read),
    )
    for await (const _ of done) this.#options.onProgress?.(this.totals)
  }

  async *#plan(windows: AsyncIterable<ReadWork>): AsyncGenerator<PlannedWork> {
    for await (const { records, zeros } of windows) {
      for (const ranges of zeros) {
        if (this.#stops()) return
        yield { zeros: ranges }
      }
      for (const read of await this.#opener.plan(records)) {
        if (this.#stops()) return
        yield { read }
      }
    }
  }

  #stops(): boolean {
    if (this.#options.signal?.aborted === true) {
      throw new StrataError('E_INTERRUPTED', 'reading was interrupted', { cause: this.#options.signal.reason })
    }
    return this.#options.isStopped?.() === true
  }

  #readPlanned(read: PlannedRead<WantedRecord>): Promise<void> {
    return this.#budget.run(read.length, () => this.#opener.read(read))
  }

  #count({ writeFailure, checkedBlocks, checkedBytes, writtenBytes }: ReadAnswer): void {
    const { target } = this.#options
    if (writeFailure !== null && target !== null) throw target.failure(writeFailure)
    this.#checkedBlocks += checkedBlocks
    this.#checkedBytes += checkedBytes
    this.#writtenBytes += writtenBytes
  }

  async #lose(lost: readonly LostRecord[]): Promise<void> {
    const { disk, target, onDamage } = this.#options
    for (const { damage, keyId } of lost) onDamage(damage, keyId)
    if (target?.needsZeros !== true) return
    const zeros = new ZeroRanges(target.sizeBytes)
    for (const { block } of lost) {
      const { offsetBytes, lengthBytes } = blockRange(disk, block, 1)
      zeros.add(offsetBytes, lengthBytes)
    }
    for (const ranges of zeros.take()) await this.#writeZeros(ranges)
  }

  async #writeZeros(ranges: Float64Array): Promise<void> {
    const { pool, target } = this.#options
    if (target === null) return
    const answer = await pool.zero({ fd: target.fd, ranges })
    if (answer.writeFailure !== null) throw target.failure(answer.writeFailure)
    this.#writtenBytes += answer.writtenBytes
  }
}
