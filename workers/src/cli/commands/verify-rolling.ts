import { StrataError } from '@strata/shared/errors.ts'
import { chainPrefix } from '@strata/shared/format/names.ts'
import { hasNumber, numbersIn, type NumberRanges } from '@strata/shared/format/number-ranges.ts'
import { verifyEveryDaysDefault } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { asId, type ChainId } from '@strata/shared/types.ts'
import { PiecePool } from '../../maintain/scrub/piece-pool.ts'
import type { SetScrub } from '../../maintain/scrub/scrub-set.ts'
import { isScrubbed, scrubTenant, verifyEveryDays, type UnscrubbedSet } from '../../maintain/scrub/scrub-tenant.ts'
import type { VerifiedDamage } from '../../maintain/verify/verify-points.ts'
import { blockRange } from '../../read/record-opener.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount, formatDuration, formatInstant, formatRate } from '../output/bytes.ts'
import { damageLines } from '../output/damage.ts'
import { factLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

/** `strata verify --rolling`: reads what is due, with the keyring alone. */
export async function verifyRolling(context: Context, tenant: string | undefined): Promise<ExitCode> {
  const { clock } = context
  const startedMs = clock.monotonicMs()
  const metrics = createStoreMetrics()
  return await withStore(
    context,
    async (store) => {
      const { repository } = await openGivenTenant(context, store, tenant)
      const everyDays = (await verifyEveryDays(repository)) ?? verifyEveryDaysDefault
      const results = await scrubAll(context, repository, everyDays)
      const durationMs = Math.round(clock.monotonicMs() - startedMs)
      return report(context, repository, results, { everyDays, durationMs, requests: metrics.totals() })
    },
    { metrics },
  )
}

async function scrubAll(
  { reporter, signal }: Context,
  repository: Repository,
  everyDays: number,
): Promise<(SetScrub | UnscrubbedSet)[]> {
  const results: (SetScrub | UnscrubbedSet)[] = []
  const progress = reporter.progress('verify')
  let doneBytes = 0
  await using pool = new PiecePool()
  try {
    const onProgress = (checkedBytes: number): void => {
      const detail = `${formatCount(results.length, 'set')} done`
      progress.update({ doneBytes: doneBytes + checkedBytes, totalBytes: 0, detail })
    }
    for await (const result of scrubTenant({ repository, everyDays, pool, signal, onProgress })) {
      results.push(result)
      if (isScrubbed(result)) doneBytes += result.checkedBytes
    }
    return results
  } finally {
    progress.end()
  }
}

interface RunFacts {
  readonly everyDays: number
  readonly durationMs: number
  readonly requests: StoreTotals
}

function report(
  { reporter }: Context,
  repository: Repository,
  results: readonly (SetScrub | UnscrubbedSet)[],
  { everyDays, durationMs, requests }: RunFacts,
): ExitCode {
  const sets = results.filter(isScrubbed)
  const failed = results.filter((result): result is UnscrubbedSet => !isScrubbed(result))
  // Nothing at all is no success: somebody relies on there being something.
  if (results.length === 0) throw new StrataError('E_POINT_UNKNOWN', 'there is no point to verify')
  const checkedBytes = sum(sets.map((set) => set.checkedBytes))
  const checkedObjects = sum(sets.map((set) => set.checkedObjects))
  const dueBytes = sum(sets.map((set) => set.dueBytes))
  const damage = sets.flatMap((set) => damageOf(repository, set))
  const history = sets.flatMap((set) => set.history)
  const ended = sets.flatMap((set) => endedOf(repository, set))
  const damageTruncated = sets.some((set) => set.damageTruncated || set.damage.some(({ truncated }) => truncated))
  const isDamaged = sets.some((set) => set.damage.length > 0) || history.length > 0
  const coveredUntil = earliest(sets.map((set) => set.coveredUntil))
  const oldestUncheckedAt = earliest(sets.map((set) => instant(set.oldestUncheckedMs)))
  const document = {
    state: isDamaged ? 'damaged' : 'intact',
    everyDays,
    checkedBytes,
    checkedObjects,
    dueBytes,
    coveredUntil,
    oldestUncheckedAt,
    late: sets.some((set) => set.isLate),
    sets: sets.map(setDocument),
    damage,
    damageTruncated,
    ended,
    history,
    problems: failed.map(({ set, error }) => ({ set, code: error.code, message: error.message })),
    durationMs,
    requests,
  }
  const blocks = sum(damage.map((range) => range.blocks))
  const bytes = sum(damage.map((range) => range.lengthBytes))
  reporter.result(document, [
    ...damageLines({ blocks, bytes, ranges: damage, truncated: damageTruncated }),
    '',
    ...factLines([
      ['checked', `${formatBytes(checkedBytes)} in ${formatCount(checkedObjects, 'object')}`],
      [
        'time',
        `${formatDuration(durationMs)}, ${formatRate(checkedBytes, durationMs)}, ${formatCount(requests.requests, 'request')}`,
      ],
      ['everything', `once in ${formatCount(everyDays, 'day')}; the longest unread since ${shown(oldestUncheckedAt)}`],
      ['result', isDamaged ? summary(sets, history.length) : `nothing damaged in ${formatCount(sets.length, 'set')}`],
    ]),
  ])
  for (const { pack, how } of ended) reporter.note(`no damage any more (${how}): ${pack}`)
  for (const { code, message } of history) reporter.warning(`${code}: ${message}`)
  if (isDamaged) reporter.warning(`E_POINT_DAMAGED: ${summary(sets, history.length)}`)
  for (const set of sets.filter(({ isLate }) => isLate)) reporter.warning(`${lateCode}: ${lateText(set, everyDays)}`)
  for (const { set, error } of failed) reporter.warning(`${error.code}: set ${set}: ${error.message}`)
  const [problem] = failed
  if (problem !== undefined && !isDamaged) throw problem.error
  return isDamaged ? exitCodes.damage : exitCodes.success
}

function setDocument(set: SetScrub): object {
  return {
    set: set.setName,
    setId: set.set,
    checkedBytes: set.checkedBytes,
    checkedObjects: set.checkedObjects,
    dueBytes: set.dueBytes,
    coveredUntil: set.coveredUntil,
    oldestUncheckedAt: instant(set.oldestUncheckedMs),
    late: set.isLate,
  }
}

/** As `verify` tells of damage, block range by block range. */
function damageOf(repository: Repository, set: SetScrub): (VerifiedDamage & { set: string; foundAt: string })[] {
  return set.damage.flatMap(({ chain, object, offset, length, code, message, foundAt, hits }) =>
    hits.flatMap(({ disk: index, block, blocks, points }) => {
      const disk = diskOf(set, points, index)
      if (disk === undefined) return []
      return [
        {
          set: set.setName ?? set.set,
          ...blockRange(disk, block, blocks),
          pack: packOf(repository, set, chain, object),
          packOffsetBytes: offset,
          packLengthBytes: length,
          code: code as ErrorCode,
          message,
          points: idsOf(set, points),
          foundAt,
        },
      ]
    }),
  )
}

function diskOf({ points }: SetScrub, hit: NumberRanges, index: number) {
  const last = hit.at(-1)?.[1] ?? 0
  return points.get(last)?.disks[index]
}

function endedOf(repository: Repository, set: SetScrub) {
  return set.ended.map(({ chain, object, offset, length, code, foundAt, endedAt, how, points }) => ({
    set: set.setName ?? set.set,
    pack: packOf(repository, set, chain, object),
    packOffsetBytes: offset,
    packLengthBytes: length,
    code,
    foundAt,
    endedAt,
    how,
    points: idsOf(set, points),
  }))
}

function packOf(repository: Repository, { set }: SetScrub, chain: string, object: string): string {
  return chainPrefix({ ...repository.placeOf(set), chain: asId<ChainId>(chain) }) + object
}

function idsOf({ points }: SetScrub, numbers: NumberRanges): string[] {
  return [...points].flatMap(([sequence, { id }]) => (hasNumber(numbers, sequence) ? [id] : []))
}

function summary(sets: readonly SetScrub[], gaps: number): string {
  const damaged = sum(sets.map(({ damage }) => new Set(damage.flatMap(({ points }) => [...numbersIn(points)])).size))
  const problems = gaps === 0 ? '' : `; ${formatCount(gaps, 'problem')} of history`
  return `${formatCount(damaged, 'point')} damaged${problems}`
}

const lateCode = 'W_VERIFY_LATE'

function lateText({ setName, set, oldestUncheckedMs }: SetScrub, everyDays: number): string {
  const since = formatInstant(instant(oldestUncheckedMs))
  return `set '${setName ?? set}': something was last read before ${since}, and everything is to be read in ${formatCount(everyDays, 'day')}`
}

function shown(at: string | null): string {
  return at === null ? '?' : formatInstant(at)
}

function earliest(instants: readonly string[]): string | null {
  return instants.reduce<string | null>((first, at) => (first === null || at < first ? at : first), null)
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
