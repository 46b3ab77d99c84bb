import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { peekKeyId, recordBytesMax, recordOverheadBytes } from '@strata/shared/format/record.ts'
import { readBytesInFlightMax, readBytesMax, readGapBytesMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { planReads, type PlannedRead, type WantedRange } from '@strata/shared/repository/range-plan.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { KeyId } from '@strata/shared/types.ts'
import { ByteBudget } from './byte-budget.ts'
import { isDamage, type Damage } from './damage.ts'
import type { DataKeyRing } from './data-key-ring.ts'
import type { ReadPool } from './read-pool.ts'
import type { RecordRepairs } from './record-repairs.ts'
import type { DamagedRecord, TaskDataKey, WriteFailure } from './read-task.ts'
import { ZeroRanges } from './zero-ranges.ts'

/**
 * Reads records of one disk: joins their ranges into few reads, fetches several at the same time, and has threads open
 * and check them and write the blocks to a target. Memory is bounded by `readBytesInFlightMax` and one window of
 * records, whatever the size of the disk and the number of packs.
 */
export interface WantedRecord extends WantedRange {
  readonly block: number
  readonly digest: Uint8Array
  /** What was wrong with the place that the map names: this one stands for it. */
  readonly insteadOf?: Loss
}

/** A record that cannot be used, and why. */
interface Loss {
  readonly record: WantedRecord
  readonly error: Pick<StrataError, 'code' | 'message'>
  /** Of the data key that it names, where that is what did not open it. */
  readonly keyId?: KeyId | undefined
}

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

export interface ReadDisk {
  readonly name: string
  readonly sizeBytes: number
  readonly blockBytes: number
}

export interface RecordReaderOptions {
  readonly store: ObjectStore
  readonly pool: ReadPool
  readonly keys: DataKeyRing
  readonly repairs: RecordRepairs
  readonly disk: ReadDisk
  readonly blockDigestKey: Uint8Array
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
  readonly #budget = new ByteBudget(readBytesInFlightMax)
  #checkedBlocks = 0
  #checkedBytes = 0
  #writtenBytes = 0

  constructor(options: RecordReaderOptions) {
    this.#options = options
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
      const readable = records.filter(hasPossibleLength)
      const impossible = records.filter((record) => !hasPossibleLength(record))
      await this.#lose(impossible.map((record) => ({ record, error: impossibleLength(record) })))
      for (const read of planReads(readable, { readBytesMax, gapBytesMax: readGapBytesMax })) {
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
    return this.#budget.run(read.length, () => this.#read(read))
  }

  /** A range that cannot be had whole is tried in halves, so that only the records in the bad part are lost. */
  async #read(read: PlannedRead<WantedRecord>): Promise<void> {
    let range: Uint8Array<ArrayBuffer>
    try {
      range = await this.#options.store.get(read.object, { offset: read.offset, length: read.length })
    } catch (error) {
      if (!isDamage(error)) throw error
      if (read.wanted.length > 1 && !hasCode(error, 'E_OBJECT_MISSING', 'E_OBJECT_ARCHIVED')) {
        const middle = Math.ceil(read.wanted.length / 2)
        await this.#read(partOf(read, read.wanted.slice(0, middle)))
        await this.#read(partOf(read, read.wanted.slice(middle)))
        return
      }
      await this.#lose(read.wanted.map((record) => ({ record, error })))
      return
    }
    await this.#open(read, range)
  }

  async #open(read: PlannedRead<WantedRecord>, range: Uint8Array<ArrayBuffer>): Promise<void> {
    const { pool, disk, target, blockDigestKey } = this.#options
    // Neighbours on the disk are written together.
    const records = [...read.wanted].sort((a, b) => a.block - b.block)
    const { dataKeys, broken, keyIds } = await this.#keysFor(records, read, range)
    const answer = await pool.read({
      range: whole(range),
      blocks: Uint32Array.from(records, ({ block }) => block),
      offsets: Uint32Array.from(records, ({ offset }) => offset - read.offset),
      lengths: Uint32Array.from(records, ({ length }) => length),
      digests: joinDigests(records),
      blockBytes: disk.blockBytes,
      diskBytes: disk.sizeBytes,
      blockDigestKey,
      dataKeys,
      target: target === null ? null : { fd: target.fd, sizeBytes: target.sizeBytes },
    })
    if (answer.writeFailure !== null && target !== null) throw target.failure(answer.writeFailure)
    this.#checkedBlocks += answer.checkedBlocks
    this.#checkedBytes += answer.checkedBytes
    this.#writtenBytes += answer.writtenBytes
    await this.#loseDamaged(records, answer.damaged, broken, keyIds)
  }

  async #loseDamaged(
    records: readonly WantedRecord[],
    damaged: readonly DamagedRecord[],
    broken: ReadonlyMap<number, StrataError>,
    keyIds: ReadonlyMap<number, KeyId>,
  ): Promise<void> {
    const lost = damaged.flatMap(({ index, code, message }): Loss[] => {
      const record = records[index]
      if (record === undefined) return []
      const error = broken.get(record.block) ?? { code, message }
      return [{ record, error, keyId: error.code === 'E_SEAL_BROKEN' ? keyIds.get(record.block) : undefined }]
    })
    await this.#lose(lost)
  }

  /** The keys that the records name. A key that does not open is the reason why its records are lost. */
  async #keysFor(
    records: readonly WantedRecord[],
    read: PlannedRead<WantedRecord>,
    range: Uint8Array,
  ): Promise<{ dataKeys: TaskDataKey[]; broken: Map<number, StrataError>; keyIds: Map<number, KeyId> }> {
    const keyIds = new Map<number, KeyId>()
    const byKey = new Map<KeyId, WantedRecord[]>()
    for (const record of records) {
      const keyId = peekKeyId(range.subarray(record.offset - read.offset))
      keyIds.set(record.block, keyId)
      const known = byKey.get(keyId)
      if (known === undefined) byKey.set(keyId, [record])
      else known.push(record)
    }
    const dataKeys: TaskDataKey[] = []
    const broken = new Map<number, StrataError>()
    for (const [keyId, named] of byKey) {
      const opened = await this.#options.keys.key(keyId)
      if (opened === undefined) continue
      if ('key' in opened) dataKeys.push({ keyId, key: opened.key })
      else for (const { block } of named) broken.set(block, opened.error)
    }
    return { dataKeys, broken, keyIds }
  }

  /** A record that stands for another one is read in its place; where there is none, or that is no good either, it is lost. */
  async #lose(losses: readonly Loss[]): Promise<void> {
    const { disk, onDamage, repairs, keys } = this.#options
    const others: WantedRecord[] = []
    const lost: WantedRecord[] = []
    for (const loss of losses) {
      const { record } = loss
      const other = record.insteadOf === undefined ? await repairs.find(record) : undefined
      if (other !== undefined) {
        others.push({ ...record, ...other, insteadOf: loss })
        continue
      }
      lost.push(record)
      const { record: named, error, keyId } = record.insteadOf ?? loss
      const place = { pack: named.object, packOffsetBytes: named.offset, packLengthBytes: named.length }
      onDamage({ ...blockRange(disk, named.block, 1), ...place, code: error.code, message: error.message }, keyId)
    }
    await this.#zeroLost(lost)
    if (others.length === 0) return
    keys.add(await repairs.keys())
    for (const read of planReads(others, { readBytesMax, gapBytesMax: readGapBytesMax })) await this.#read(read)
  }

  async #zeroLost(records: readonly WantedRecord[]): Promise<void> {
    const { disk, target } = this.#options
    if (target?.needsZeros !== true || records.length === 0) return
    const zeros = new ZeroRanges(target.sizeBytes)
    for (const { block } of records) {
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

/** No wrong length makes us fetch, or allocate, more than a record can have. */
function hasPossibleLength({ length }: WantedRecord): boolean {
  return length >= recordOverheadBytes && length <= recordBytesMax
}

function impossibleLength({ length }: WantedRecord): StrataError {
  return new StrataError('E_FORMAT_DAMAGED', `a record cannot have ${String(length)} bytes`)
}

/** Where `blocks` blocks from `block` on lie on their disk. */
export function blockRange(
  disk: ReadDisk,
  block: number,
  blocks: number,
): Pick<Damage, 'disk' | 'block' | 'blocks' | 'offsetBytes' | 'lengthBytes'> {
  const offsetBytes = block * disk.blockBytes
  const lengthBytes = Math.min(blocks * disk.blockBytes, disk.sizeBytes - offsetBytes)
  return { disk: disk.name, block, blocks, offsetBytes, lengthBytes }
}

function partOf(read: PlannedRead<WantedRecord>, wanted: readonly WantedRecord[]): PlannedRead<WantedRecord> {
  const offset = Math.min(...wanted.map((record) => record.offset))
  const end = Math.max(...wanted.map((record) => record.offset + record.length))
  return { object: read.object, offset, length: end - offset, wanted }
}

/** The range in a buffer of its own, which can move to another thread. */
export function whole(range: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return range.length === range.buffer.byteLength ? range : range.slice()
}

function joinDigests(records: readonly WantedRecord[]): Uint8Array {
  const joined = new Uint8Array(records.length * digestBytes)
  records.forEach(({ digest }, index) => {
    joined.set(digest, index * digestBytes)
  })
  return joined
}
