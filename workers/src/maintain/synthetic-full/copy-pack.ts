import { equalBytes } from '@strata/shared/format/bytes.ts'
import { sealedHash, zeroDigest } from '@strata/shared/format/digest.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { attemptFromBytes, packKey, packName, type SessionPlace } from '@strata/shared/format/names.ts'
import { encodePackTail, packKinds, sealDataFooter, type FooterEntry, type Piece } from '@strata/shared/format/pack.ts'
import type { Place } from '@strata/shared/format/page.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { readBytesMax, readGapBytesMax, readsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { planReads } from '@strata/shared/repository/range-plan.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { LiveRecord, PackPlan } from './plan-packs.ts'
import type { KnownRecord, SourceEnds } from './source-ends.ts'

const attemptBytes = 8

/** What a new pack is of: the segment `number` of a session, for one of its disks. */
export interface NewPack {
  readonly place: SessionPlace
  readonly number: number
  readonly disk: number
  /** Blocks that an earlier segment of the session has, and that are zeros now. Ascending. */
  readonly zeroBlocks: readonly number[]
}

export interface CopiedPack {
  /** Of its bytes, those that the store has copied by itself. */
  readonly serverSideBytes: number
  /** The others: records that passed through here, and the pack's end. */
  readonly workerBytes: number
}

/**
 * Writes one pack of a synthetic full, when the packs that it names are in the new chain. Records keep their seal; hash and data key of each are those that the end of its
 * source pack has. What passes through here is compared with its hash.
 */
export async function copyPack(
  repository: Repository,
  sources: SourceEnds,
  pack: NewPack,
  plan: PackPlan,
): Promise<CopiedPack> {
  await sources.fetch(plan.records.map(({ place }) => place.pack))
  const layout = new Layout()
  for (const { pack: source, records } of plan.wholes) {
    const end = await sources.of(source)
    for (const record of records) layout.addElsewhere(record, end.record(record.place.offset, record.place.length))
  }
  for (const range of plan.ranges) {
    const end = await sources.of(range.pack)
    const shift = layout.size - range.offset
    for (const record of range.records) {
      const { offset, length } = record.place
      layout.add(record, offset + shift, end.record(offset, length))
    }
    layout.size += range.length
  }
  const serverSideBytes = layout.size
  const parts: Uint8Array[] = []
  const fetched = await fetchRecords(repository, sources, plan.fetched)
  for (const { record, known, bytes } of fetched) {
    if (layout.add(record, layout.size, known)) {
      parts.push(bytes)
      layout.size += bytes.length
    }
  }
  const attempt = attemptFromBytes(repository.random(attemptBytes))
  const name = packName(pack.place, 'data', { session: pack.place.session, number: pack.number, attempt })
  const footer = {
    disk: pack.disk,
    segment: pack.number,
    dataKeys: layout.dataKeys,
    entries: entriesOf(plan.records, layout, pack.zeroBlocks),
  }
  const seal = sealDataFooter(name, footer, repository.indexKeys, repository.nonce())
  parts.push(encodePackTail(packKinds.data, layout.size, layout.pieces, seal))
  const ranges = plan.ranges.map((range) => ({
    source: sources.nameOf(range.pack),
    offset: range.offset,
    length: range.length,
  }))
  if (ranges.length === 0) await repository.store.put(name, parts, { ifAbsent: true })
  else await repository.store.compose(name, ranges, parts)
  return { serverSideBytes, workerBytes: parts.reduce((sum, part) => sum + part.length, 0) }
}

/** What an entry says of its record. */
type EntryRecord =
  | { readonly state: 'record'; readonly piece: number; readonly key: number }
  | { readonly state: 'elsewhere'; readonly place: Place; readonly key: number }

/** Where the records come to lie, and what they are sealed under. */
class Layout {
  size = 0
  readonly pieces: Piece[] = []
  readonly dataKeys: WrappedDataKey[] = []
  readonly #keyIndexOf = new Map<string, number>()
  readonly #records = new Map<string, EntryRecord>()

  /** False: another block has brought the same record already. */
  add({ place }: LiveRecord, offset: number, { hash, key }: KnownRecord): boolean {
    const source = sourceOf(place)
    if (this.#records.has(source)) return false
    this.#records.set(source, { state: 'record', piece: this.pieces.length, key: this.#keyIndex(key) })
    this.pieces.push({ offset, length: place.length, hash })
    return true
  }

  /** It stays at its place in its pack, whatever chain that is in. */
  addElsewhere({ place }: LiveRecord, { key }: KnownRecord): void {
    this.#records.set(sourceOf(place), { state: 'elsewhere', place, key: this.#keyIndex(key) })
  }

  find({ place }: LiveRecord): EntryRecord {
    const found = this.#records.get(sourceOf(place))
    if (found === undefined) throw new StrataError('E_BUG', 'every record of the plan was laid out')
    return found
  }

  #keyIndex(key: WrappedDataKey): number {
    const known = this.#keyIndexOf.get(key.keyId)
    if (known !== undefined) return known
    this.#keyIndexOf.set(key.keyId, this.dataKeys.length)
    return this.dataKeys.push(key) - 1
  }
}

function sourceOf({ pack, offset }: Place): string {
  return `${packKey(pack)}:${String(offset)}`
}

function entriesOf(records: readonly LiveRecord[], layout: Layout, zeroBlocks: readonly number[]): FooterEntry[] {
  const stored = records.map((record): FooterEntry => {
    return { block: record.block, digest: record.digest, ...layout.find(record) }
  })
  const zeros = zeroBlocks.map((block): FooterEntry => ({ state: 'zero', block, digest: zeroDigest }))
  return zeros.length === 0 ? stored : [...stored, ...zeros].sort((a, b) => a.block - b.block)
}

interface FetchedRecord {
  readonly record: LiveRecord
  readonly known: KnownRecord
  readonly bytes: Uint8Array
}

/** In the order of the blocks. A record that is not what its pack's end says: E_FORMAT_DAMAGED. */
async function fetchRecords(
  { store }: Repository,
  sources: SourceEnds,
  records: readonly LiveRecord[],
): Promise<FetchedRecord[]> {
  const wanted = await Promise.all(
    records.map(async (record) => {
      const { pack, offset, length } = record.place
      const known = (await sources.of(pack)).record(offset, length)
      return { object: sources.nameOf(pack), offset, length, record, known }
    }),
  )
  const reads = planReads(wanted, { readBytesMax, gapBytesMax: readGapBytesMax })
  const fetched: FetchedRecord[] = []
  const read = mapConcurrently(reads, readsInFlightMax, async (one) => ({
    one,
    bytes: await store.get(one.object, one),
  }))
  for await (const { one, bytes } of read) {
    for (const { object, offset, length, record, known } of one.wanted) {
      const part = bytes.subarray(offset - one.offset, offset - one.offset + length)
      if (!equalBytes(sealedHash(part), known.hash)) {
        const message = `${object}: the record of block ${String(record.block)}, at ${String(offset)}, is not what was stored`
        throw new StrataError('E_FORMAT_DAMAGED', message)
      }
      fetched.push({ record, known, bytes: part })
    }
  }
  return fetched.sort((a, b) => a.record.block - b.record.block)
}
