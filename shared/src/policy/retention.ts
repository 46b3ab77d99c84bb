import { bucketName, bucketOf, periods, wallMoment, type Period, type WallMoment } from './buckets.ts'
import { expectedTimes, oneADay } from './expected.ts'
import type { RunTimes } from './hours.ts'
import { periodEnds } from './period-ends.ts'
import type { RetentionRules } from './retention-rules.ts'

/**
 * Which points of a set are kept, and why, and until when: a function of the points, the holds, the rules and the time of
 * the store, and of nothing else. What it says holds for `policy explain` and for whatever deletes.
 *
 * - **The newest point is always kept**, and the newest that is one moment of the machine, whatever the rules are.
 * - `last` keeps the points with the highest numbers. Each other rule keeps one point of each of the newest buckets that
 *   have any: the newest that is one moment of the machine, and only where there is none, the newest that is not.
 * - **A copy** and the point that it was made of are one moment: the copy stands for it, and the other counts for nothing.
 * - **A point of the future** (the store's clock was wrong, then or now) is kept, and counts in no bucket until its time.
 * - Rules do not take from each other. So more of any rule never keeps less, and when all that goes is gone, the same is
 *   kept.
 * - No point needs another one to be restored: what is built on a point that goes is no reason to keep it.
 *
 * **Until when** follows from what can be expected: one more point at each time at which a run begins, nothing deleted but
 * by these rules, and rules and holds as they are. A reason that has ended never comes back, so a point goes when the last
 * of its reasons has ended.
 */
export interface RetainedPoint {
  readonly id: string
  readonly sequence: number
  /** The moment of the machine, by the store's clock; that of a copy is its source's. */
  readonly momentMs: number
  readonly isCopy: boolean
  /** `changing`: the source changed while it was read. */
  readonly state: 'complete' | 'changing'
  readonly lockedUntilMs?: number
}

export interface Holds {
  /** By sequence number, with the note of each. */
  readonly points: ReadonlyMap<number, string>
  /** The note of a hold on all points of the set, those of the future included. */
  readonly all?: string
}

export type Reason =
  | { readonly kind: 'newest' | 'newestComplete' | 'future' | 'noRule' }
  /** The `number`th of `of` that the rule keeps. */
  | { readonly kind: 'last'; readonly number: number; readonly of: number }
  | { readonly kind: Period; readonly bucket: string; readonly number: number; readonly of: number }
  | { readonly kind: 'minimumAge' | 'locked'; readonly untilMs: number }
  /** `all`: the hold is on the whole set. */
  | { readonly kind: 'held'; readonly note: string; readonly all: boolean }
  /** Its copy has this number. */
  | { readonly kind: 'copied'; readonly sequence: number }

export interface RetentionDecision<P extends RetainedPoint = RetainedPoint> {
  readonly point: P
  readonly keep: boolean
  /** Why it is kept: all of it. Or why it goes. */
  readonly reasons: readonly Reason[]
  /** When it goes: now, if nothing keeps it. null: held, or no end can be foreseen. */
  readonly expiresAtMs: number | null
}

/** A reason to keep a point, and until when it is one; Infinity: nobody can tell. */
interface Ground {
  readonly point: RetainedPoint
  readonly reason: Reason
  readonly untilMs: number
}

/** What decisions are made of. */
interface Situation {
  readonly holds: Holds
  readonly rules: RetentionRules
  readonly nowMs: number
  readonly expected: RunTimes
}

/**
 * Gives decisions in the order of `points`.
 * @param expected when the set is backed up; without it one point a day is expected, at the time of the newest one
 */
export function decideRetention<P extends RetainedPoint>(
  points: readonly P[],
  holds: Holds,
  rules: RetentionRules,
  nowMs: number,
  expected?: RunTimes,
): RetentionDecision<P>[] {
  const copied = copiedPoints(points)
  const counting = points.filter((point) => !copied.has(point)).sort(newestFirst)
  const situation = { holds, rules, nowMs, expected: expected ?? oneADay(counting[0]?.momentMs ?? nowMs) }
  const grounds = [
    ...newestGrounds(counting, situation),
    ...lastGrounds(counting, situation),
    ...periodGrounds(counting, situation),
    ...points.flatMap((point) => groundsOf(point, situation)),
  ]
  const byPoint: ReadonlyMap<RetainedPoint, readonly Ground[]> = Map.groupBy(grounds, ({ point }) => point)
  return points.map((point) => {
    const found = byPoint.get(point)
    if (found === undefined) return { point, keep: false, reasons: [whyItGoes(copied.get(point))], expiresAtMs: nowMs }
    const untilMs = found.reduce((latest, ground) => Math.max(latest, ground.untilMs), nowMs)
    const reasons = found.map(({ reason }) => reason)
    return { point, keep: true, reasons, expiresAtMs: untilMs === Infinity ? null : untilMs }
  })
}

function whyItGoes(copy: RetainedPoint | undefined): Reason {
  return copy === undefined ? { kind: 'noRule' } : { kind: 'copied', sequence: copy.sequence }
}

/** Points of which there is a copy, each with its newest. */
function copiedPoints(points: readonly RetainedPoint[]): Map<RetainedPoint, RetainedPoint> {
  const newestCopies = new Map<number, RetainedPoint>()
  for (const point of points) {
    const known = newestCopies.get(point.momentMs)
    if (point.isCopy && (known === undefined || known.sequence < point.sequence))
      newestCopies.set(point.momentMs, point)
  }
  const copied = new Map<RetainedPoint, RetainedPoint>()
  for (const point of points) {
    const copy = newestCopies.get(point.momentMs)
    if (copy !== undefined && copy.sequence > point.sequence) copied.set(point, copy)
  }
  return copied
}

function newestFirst(a: RetainedPoint, b: RetainedPoint): number {
  return b.sequence - a.sequence
}

/** @param counting newest first, as everywhere below */
function newestGrounds(counting: readonly RetainedPoint[], { nowMs, expected }: Situation): Ground[] {
  const newest = counting[0]
  if (newest === undefined) return []
  const untilMs = expectedTimes(expected, nowMs, 1)[0] ?? Infinity
  const complete = counting.find(({ state }) => state === 'complete')
  const grounds: Ground[] = [{ point: newest, reason: { kind: 'newest' }, untilMs }]
  if (complete === undefined || complete === newest) return grounds
  return [...grounds, { point: complete, reason: { kind: 'newestComplete' }, untilMs }]
}

function lastGrounds(counting: readonly RetainedPoint[], { rules, nowMs, expected }: Situation): Ground[] {
  const of = rules.counts.last
  const kept = counting.slice(0, of)
  const timesMs = kept.length === 0 ? [] : expectedTimes(expected, nowMs, of)
  return kept.map((point, index) => {
    return { point, reason: { kind: 'last', number: index + 1, of }, untilMs: timesMs[of - index - 1] ?? Infinity }
  })
}

interface Placed extends WallMoment {
  readonly point: RetainedPoint
}

function periodGrounds(counting: readonly RetainedPoint[], situation: Situation): Ground[] {
  const { rules, nowMs } = situation
  const used = periods.filter((period) => rules.counts[period] > 0)
  if (used.length === 0) return []
  const placed = counting
    .filter(({ momentMs }) => momentMs <= nowMs)
    .map((point): Placed => ({ point, ...wallMoment(rules.timeZone, point.momentMs) }))
  return used.flatMap((period) => groundsOfPeriod(period, placed, situation))
}

function groundsOfPeriod(period: Period, placed: readonly Placed[], { rules, nowMs, expected }: Situation): Ground[] {
  const best = new Map<number, Placed>()
  for (const candidate of placed) {
    const bucket = bucketOf(period, candidate)
    const known = best.get(bucket)
    if (known === undefined || isBetter(candidate.point, known.point)) best.set(bucket, candidate)
  }
  const of = rules.counts[period]
  const kept = [...best].sort(([a], [b]) => b - a).slice(0, of)
  const buckets = kept.map(([bucket]) => bucket)
  const ends = periodEnds({ period, timeZone: rules.timeZone, of, buckets, nowMs, expected })
  return kept.map(([bucket, { point, ...moment }], index) => {
    const reason: Reason = { kind: period, bucket: bucketName(period, moment), number: index + 1, of }
    return { point, reason, untilMs: ends.get(bucket) ?? Infinity }
  })
}

/** Whether `a` rather than `b` stands for the bucket that both are in. */
function isBetter(a: RetainedPoint, b: RetainedPoint): boolean {
  if (a.state !== b.state) return a.state === 'complete'
  return a.momentMs === b.momentMs ? a.sequence > b.sequence : a.momentMs > b.momentMs
}

/** Reasons that a point has by itself. */
function groundsOf(point: RetainedPoint, { holds, rules, nowMs }: Situation): Ground[] {
  const { sequence, momentMs, lockedUntilMs = 0 } = point
  const oldEnoughMs = momentMs + rules.minimumAgeMs
  const note = holds.points.get(sequence)
  const grounds: Ground[] = []
  const add = (reason: Reason, untilMs: number): void => {
    grounds.push({ point, reason, untilMs })
  }
  if (nowMs < momentMs) add({ kind: 'future' }, Infinity)
  if (nowMs < oldEnoughMs && rules.minimumAgeMs > 0) add({ kind: 'minimumAge', untilMs: oldEnoughMs }, oldEnoughMs)
  if (nowMs < lockedUntilMs) add({ kind: 'locked', untilMs: lockedUntilMs }, lockedUntilMs)
  if (note !== undefined) add({ kind: 'held', note, all: false }, Infinity)
  if (holds.all !== undefined) add({ kind: 'held', note: holds.all, all: true }, Infinity)
  return grounds
}
