import { invariant } from '@strata/shared/errors.ts'
import { packKey, type PackReference } from '@strata/shared/format/names.ts'
import type { Place } from '@strata/shared/format/page.ts'
import { copiedDeadShareMax, copiedThroughWorkerBytesMax, sharedDeadShareMax } from '@strata/shared/limits.ts'
import type { CopyRules } from '@strata/shared/store/object-store.ts'

/**
 * How the blocks of one pack of a synthetic full come into it: in ranges that the store copies, or through the worker.
 * Pure.
 */

/** A block that the new chain needs, and where its record lies. */
export interface LiveRecord {
  readonly block: number
  readonly digest: Uint8Array
  readonly place: Place
}

/** A part of a source pack: live records, and what lies dead between them. */
export interface CopiedRange {
  readonly pack: PackReference
  readonly offset: number
  readonly length: number
  /** By ascending offset. */
  readonly records: readonly LiveRecord[]
}

/** A source pack of which nearly all lives: a copy of it lies in the new chain, too. */
export interface WholePack {
  readonly pack: PackReference
  readonly sizeBytes: number
  readonly records: readonly LiveRecord[]
}

export interface PackPlan {
  readonly wholes: readonly WholePack[]
  /** In the order of their first blocks. */
  readonly ranges: readonly CopiedRange[]
  /** Records that pass through the worker, in the order of their blocks. */
  readonly fetched: readonly LiveRecord[]
  /** All of these, by ascending block. */
  readonly records: readonly LiveRecord[]
}

/**
 * One pack for the records, or several where too much of them would pass through the worker.
 * @param records by ascending block
 * @param rules what the store can copy; undefined: nothing
 * @param wholes packs that are copied whole, with all records that are in them
 */
export function planPacks(
  records: readonly LiveRecord[],
  rules: CopyRules | undefined,
  wholes: readonly WholePack[] = [],
): PackPlan[] {
  const isInWhole = new Set(wholes.flatMap((whole) => whole.records))
  const [first, ...others] = planOthers(
    records.filter((record) => !isInWhole.has(record)),
    rules,
  )
  invariant(first !== undefined, 'there is a plan for nothing, too')
  return [{ ...first, wholes, records: byBlock([...first.records, ...isInWhole]) }, ...others]
}

function planOthers(records: readonly LiveRecord[], rules: CopyRules | undefined): PackPlan[] {
  const plan = planPack(records, rules)
  const fetchedBytes = plan.fetched.reduce((sum, { place }) => sum + place.length, 0)
  if (fetchedBytes <= copiedThroughWorkerBytesMax || records.length < 2) return [plan]
  const middle = Math.ceil(records.length / 2)
  return [...planOthers(records.slice(0, middle), rules), ...planOthers(records.slice(middle), rules)]
}

function planPack(records: readonly LiveRecord[], rules: CopyRules | undefined): PackPlan {
  if (rules === undefined) return { wholes: [], ranges: [], fetched: records, records }
  const ranges: CopiedRange[] = []
  const fetched: LiveRecord[] = []
  for (const ofPack of bySourcePack(records)) {
    for (const run of runsOf(ofPack, rules)) {
      if (run.length >= rules.rangeBytesMin && ranges.length < rules.rangesMax) ranges.push(run)
      else fetched.push(...run.records)
    }
  }
  return { wholes: [], ranges: [...shareable(ranges, rules)], fetched: byBlock(fetched), records }
}

function byBlock(records: LiveRecord[]): LiveRecord[] {
  return records.sort((a, b) => a.block - b.block)
}

/** Ranges that lie where the store may share them: each begins a little earlier, with bytes that nobody needs. */
function* shareable(
  ranges: readonly CopiedRange[],
  { sharedBytes = 1, rangeBytesMax }: CopyRules,
): Generator<CopiedRange> {
  let target = 0
  for (const range of ranges) {
    const { offset, length } = range
    const earlier = (((offset - target) % sharedBytes) + sharedBytes) % sharedBytes
    const isCheap = earlier <= length * sharedDeadShareMax && earlier <= offset && length + earlier <= rangeBytesMax
    const moved = isCheap ? { ...range, offset: offset - earlier, length: length + earlier } : range
    target += moved.length
    yield moved
  }
}

/** In the order in which the packs come first; those of each by ascending offset. */
export function bySourcePack(records: readonly LiveRecord[]): LiveRecord[][] {
  const groups = Map.groupBy(records, ({ place }) => packKey(place.pack))
  return Array.from(groups.values(), (group) => group.sort((a, b) => a.place.offset - b.place.offset))
}

/** A stretch of a pack in which everything lives, or little is dead. */
interface Run {
  records: LiveRecord[]
  readonly offset: number
  end: number
  deadBytes: number
}

/** @param records of one pack, by ascending offset; one record may stand for several blocks */
function* runsOf(records: readonly LiveRecord[], rules: CopyRules): Generator<CopiedRange> {
  // Only where short ranges cannot be copied something is gained by it.
  const deadShareMax = rules.rangeBytesMin > 1 ? copiedDeadShareMax : 0
  const join = (run: Run, next: Run): boolean => {
    const gap = next.offset - run.end
    const deadBytes = run.deadBytes + gap
    const liveBytes = next.end - run.offset - deadBytes
    const isCheap = gap <= rules.gapBytesMax || deadBytes <= liveBytes * deadShareMax
    return isCheap && next.end - run.offset <= rules.rangeBytesMax
  }
  let run: Run | undefined
  for (const next of stretchesOf(records, rules)) {
    if (run !== undefined && join(run, next)) {
      run.deadBytes += next.offset - run.end
      run.records = run.records.concat(next.records)
      run.end = next.end
      continue
    }
    if (run !== undefined) yield rangeOf(run)
    run = next
  }
  if (run !== undefined) yield rangeOf(run)
}

/** Records that lie back to back. */
function* stretchesOf(records: readonly LiveRecord[], { rangeBytesMax }: CopyRules): Generator<Run> {
  let run: Run | undefined
  for (const record of records) {
    const { offset, length } = record.place
    const end = offset + length
    if (run !== undefined && offset <= run.end && end - run.offset <= rangeBytesMax) {
      run.records.push(record)
      run.end = Math.max(run.end, end)
      continue
    }
    if (run !== undefined) yield run
    run = { records: [record], offset, end, deadBytes: 0 }
  }
  if (run !== undefined) yield run
}

function rangeOf({ records, offset, end }: Run): CopiedRange {
  const [first] = records
  invariant(first !== undefined, 'a range has records')
  return { pack: first.place.pack, offset, length: end - offset, records }
}
