import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { peekKeyId, recordBytesMax, recordOverheadBytes } from '@strata/shared/format/record.ts'
import { readBytesMax, readGapBytesMax } from '@strata/shared/limits.ts'
import { planReads, type PlannedRead, type WantedRange } from '@strata/shared/repository/range-plan.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { KeyId } from '@strata/shared/types.ts'
import { isDamage, type Damage } from './damage.ts'
import type { DataKeyRing } from './data-key-ring.ts'
import type { ReadPool } from './read-pool.ts'
import type { RecordRepairs } from './record-repairs.ts'
import type { DamagedRecord, ReadAnswer, TaskDataKey, TaskTarget } from './read-task.ts'

/**
 * Fetches ranges of packs and has threads open the records in them: what bulk reads (record-reader.ts) and random ones
 * (block-reader.ts) have in common. What is damaged is read where a repair says, and else lost, and nothing beside it is.
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

export interface ReadDisk {
  readonly name: string
  readonly sizeBytes: number
  readonly blockBytes: number
}

/** What it takes to read records of one disk of a point. */
export interface RecordSource {
  readonly store: ObjectStore
  readonly pool: ReadPool
  readonly keys: DataKeyRing
  readonly repairs: RecordRepairs
  readonly disk: ReadDisk
  readonly blockDigestKey: Uint8Array
}

export interface RecordOpenerOptions extends RecordSource {
  /** Where the blocks of these records, by ascending block, are to go; null: nowhere, they are only checked. */
  readonly targetOf: (records: readonly WantedRecord[]) => TaskTarget | null
  /** What became of those of one range; a failure to write them is for the caller to throw. */
  readonly onOpened: (answer: ReadAnswer) => void
  /** Records that nothing stands for. `keyId`: of the data key that the record names, where that is what did not open it. */
  readonly onLost: (lost: readonly LostRecord[]) => Promise<void>
}

export interface LostRecord {
  readonly block: number
  readonly damage: Damage
  readonly keyId: KeyId | undefined
}

export class RecordOpener {
  readonly #options: RecordOpenerOptions

  constructor(options: RecordOpenerOptions) {
    this.#options = options
  }

  /** What to fetch for these records. Those that cannot be what the map says are lost at once. */
  async plan(records: readonly WantedRecord[]): Promise<PlannedRead<WantedRecord>[]> {
    const readable = records.filter(hasPossibleLength)
    const impossible = records.filter((record) => !hasPossibleLength(record))
    await this.#lose(impossible.map((record) => ({ record, error: impossibleLength(record) })))
    return planReads(readable, { readBytesMax, gapBytesMax: readGapBytesMax })
  }

  /** A range that cannot be had whole is tried in halves, so that only the records in the bad part are lost. */
  async read(read: PlannedRead<WantedRecord>): Promise<void> {
    let range: Uint8Array<ArrayBuffer>
    try {
      range = await this.#options.store.get(read.object, { offset: read.offset, length: read.length })
    } catch (error) {
      if (!isDamage(error)) throw error
      if (read.wanted.length > 1 && !hasCode(error, 'E_OBJECT_MISSING', 'E_OBJECT_ARCHIVED')) {
        const middle = Math.ceil(read.wanted.length / 2)
        await this.read(partOf(read, read.wanted.slice(0, middle)))
        await this.read(partOf(read, read.wanted.slice(middle)))
        return
      }
      await this.#lose(read.wanted.map((record) => ({ record, error })))
      return
    }
    await this.#open(read, range)
  }

  async #open(read: PlannedRead<WantedRecord>, range: Uint8Array<ArrayBuffer>): Promise<void> {
    const { pool, disk, targetOf, blockDigestKey, onOpened } = this.#options
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
      target: targetOf(records),
    })
    onOpened(answer)
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
    const { disk, onLost, repairs, keys } = this.#options
    const others: WantedRecord[] = []
    const lost: LostRecord[] = []
    for (const loss of losses) {
      const { record } = loss
      const other = record.insteadOf === undefined ? await repairs.find(record) : undefined
      if (other !== undefined) {
        others.push({ ...record, ...other, insteadOf: loss })
        continue
      }
      const { record: named, error, keyId } = record.insteadOf ?? loss
      const place = { pack: named.object, packOffsetBytes: named.offset, packLengthBytes: named.length }
      const damage = { ...blockRange(disk, named.block, 1), ...place, code: error.code, message: error.message }
      lost.push({ block: record.block, damage, keyId })
    }
    if (lost.length > 0) await onLost(lost)
    if (others.length === 0) return
    keys.add(await repairs.keys())
    for (const read of planReads(others, { readBytesMax, gapBytesMax: readGapBytesMax })) await this.read(read)
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
