import { numbersIn, type NumberRanges } from '@strata/shared/format/number-ranges.ts'
import { isReadable, listPoints, pointId, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, markOf, RetentionLedger, type RetentionState } from '@strata/shared/repository/retention/ledger.ts'
import { ScrubLedger, type ScrubState } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import type { SetId } from '@strata/shared/types.ts'
import { checkHistory } from '../verify/history.ts'
import { setsOf } from '../retention/prune-tenant.ts'
import { coverageOf, roundMs, withPeriod } from './scrub-plan.ts'

/** What is known of how the points of a tenant were verified, from manifests and ledgers alone. */
export interface VerificationReport {
  readonly strata: 'verification-report'
  readonly version: 1
  readonly repository: string
  readonly tenant: string
  readonly tenantName: string
  readonly from: string
  readonly to: string
  /** By the store's clock. */
  readonly madeAt: string
  readonly everyDays: number
  readonly sets: readonly SetReport[]
}

export interface SetReport {
  readonly set: string
  readonly setId: string
  /** That are there. */
  readonly points: number
  readonly newest: string | null
  readonly storedBytes: number
  readonly scrub: {
    /** Of the bytes that were read at least once, the percentage that was last read in time. */
    readonly inTimePercent: number
    readonly coveredUntil: string | null
    /** Nothing was last read, or written if it was never read, before that. */
    readonly oldestUncheckedAt: string | null
    readonly late: boolean
    /** Points of which not everything was read yet. */
    readonly newPoints: number
  }
  /** With the tenant's private key, in the period. */
  readonly deep: readonly {
    readonly at: string
    readonly by: string
    readonly points: number
    readonly state: string
    readonly checkedBytes: number
  }[]
  /** All that is known now. */
  readonly damage: readonly {
    readonly object: string
    readonly code: string
    readonly foundAt: string
    readonly points: readonly string[]
  }[]
  /** Damage that ended in the period. */
  readonly ended: readonly {
    readonly object: string
    readonly code: string
    readonly foundAt: string
    readonly endedAt: string
    readonly how: string
  }[]
  /** Manifests that are missing, unreadable or replaced. */
  readonly history: readonly string[]
  readonly retention: { readonly marked: number; readonly gone: number; readonly held: number }
}

export interface ReportPeriod {
  readonly from: string
  readonly to: string
}

export async function verificationReport(
  repository: Repository,
  tenantName: string,
  everyDays: number,
  period: ReportPeriod,
): Promise<VerificationReport> {
  const nowMs = await repository.store.now()
  const sets: SetReport[] = []
  for await (const set of setsOf(repository)) {
    const report = await setReport(repository, set, everyDays, period, nowMs)
    if (report !== undefined) sets.push(report)
  }
  return {
    strata: 'verification-report',
    version: 1,
    repository: repository.ingestKeys.repositoryId,
    tenant: repository.tenant,
    tenantName,
    ...period,
    madeAt: new Date(nowMs).toISOString(),
    everyDays,
    sets: sets.sort((a, b) => (a.set < b.set ? -1 : 1)),
  }
}

async function setReport(
  repository: Repository,
  set: SetId,
  everyDays: number,
  period: ReportPeriod,
  nowMs: number,
): Promise<SetReport | undefined> {
  const entries = await Array.fromAsync(listPoints(repository, set))
  const points = entries.filter(isReadable)
  const [first] = points
  if (first === undefined) return undefined
  const { state: retained } = await new RetentionLedger(repository).read(set)
  const there = points.filter(({ sequence }) => !isGone(retained, sequence))
  const scrub = await new ScrubLedger(repository).read(set)
  const isInPeriod = (at: string): boolean => at >= period.from && at < period.to
  const ids = new Map(points.map((point) => [point.sequence, pointId(point)]))
  const idsOf = (numbers: NumberRanges): string[] =>
    [...numbersIn(numbers)].flatMap((sequence) => ids.get(sequence) ?? [])
  return {
    set: first.manifest.setName,
    setId: set,
    points: there.length,
    newest: there.at(-1)?.manifest.createdAt ?? null,
    storedBytes: there.reduce((sum, { manifest }) => sum + manifest.statistics.storedBytes, 0),
    scrub: scrubReport(scrub, there, everyDays, nowMs),
    deep: (scrub?.deep ?? [])
      .filter(({ at }) => isInPeriod(at))
      .map(({ at, by, points: verified, state, checkedBytes }) => ({
        at,
        by,
        points: idsOf(verified).length,
        state,
        checkedBytes,
      })),
    damage: (scrub?.damage ?? []).map(({ object, code, foundAt, points: hit }) => ({
      object,
      code,
      foundAt,
      points: idsOf(hit),
    })),
    ended: (scrub?.past ?? [])
      .filter(({ endedAt }) => isInPeriod(endedAt))
      .map(({ object, code, foundAt, endedAt, how }) => ({ object, code, foundAt, endedAt, how })),
    history: checkHistory(entries).map(({ message }) => message),
    retention: retentionReport(retained, points),
  }
}

function scrubReport(
  scrub: ScrubState | undefined,
  there: readonly Point[],
  everyDays: number,
  nowMs: number,
): SetReport['scrub'] {
  const fresh = there.filter(({ sequence }) => sequence > (scrub?.takenIn ?? 0))
  const oldestNew = fresh[0]?.manifest.createdAt
  if (scrub === undefined) {
    const late = oldestNew !== undefined && nowMs - Date.parse(oldestNew) > everyDays * 24 * 3600_000
    return { inTimePercent: 0, coveredUntil: null, oldestUncheckedAt: oldestNew ?? null, late, newPoints: fresh.length }
  }
  const state = withPeriod(scrub, roundMs(everyDays))
  const coverage = coverageOf(state, oldestNew === undefined ? undefined : Date.parse(oldestNew), nowMs)
  return {
    inTimePercent: Math.floor(coverage.share * 1000) / 10,
    coveredUntil: scrub.coveredUntil,
    oldestUncheckedAt: new Date(coverage.oldestUncheckedMs).toISOString(),
    late: coverage.isLate,
    newPoints: fresh.length,
  }
}

function retentionReport(state: RetentionState, points: readonly Point[]): SetReport['retention'] {
  const count = (is: (sequence: number) => boolean): number => points.filter(({ sequence }) => is(sequence)).length
  return {
    marked: count((sequence) => markOf(state, sequence) !== undefined),
    gone: count((sequence) => isGone(state, sequence)),
    held: state.held.length,
  }
}
