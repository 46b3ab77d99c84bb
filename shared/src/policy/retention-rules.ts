import { undoWindowMsDefault } from '../limits.ts'
import { periods, type Period } from './buckets.ts'
import { dayMs } from './wall-time.ts'

/** How many points each rule keeps. */
export type RetentionCounts = Readonly<Record<'last' | Period, number>>

/** What of a set is kept, beside what always is (retention.ts). */
export interface RetentionRules {
  readonly counts: RetentionCounts
  /** Whatever is younger is kept. */
  readonly minimumAgeMs: number
  /** In which hours, days, weeks, months and years are told apart. */
  readonly timeZone: string
}

export interface Retention extends RetentionRules {
  /** From the mark on a point to the end of its data. */
  readonly undoWindowMs: number
}

export const noCounts: RetentionCounts = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 }

/** Where a policy says nothing of retention, or there is no policy at all; docs/policies.md says why. */
export function retentionDefault(timeZone: string): Retention {
  return {
    counts: { last: 3, hourly: 0, daily: 14, weekly: 8, monthly: 12, yearly: 0 },
    minimumAgeMs: 7 * dayMs,
    timeZone,
    undoWindowMs: undoWindowMsDefault,
  }
}

/** Whether the rules keep anything for longer than until the next backup. */
export function keepsAnything({ counts, minimumAgeMs }: Pick<RetentionRules, 'counts' | 'minimumAgeMs'>): boolean {
  return minimumAgeMs > 0 || Object.values(counts).some((count) => count > 0)
}

/**
 * For how long the rules keep a point at most, where runs are `gapMs` apart at most: a rule lets a point go after so many
 * newer points, or so many newer periods with a point each.
 */
export function longestKeptMs(
  { counts, minimumAgeMs }: Pick<RetentionRules, 'counts' | 'minimumAgeMs'>,
  gapMs: number,
): number {
  const ofPeriods = periods.map((period) => Math.max(counts[period] * gapMs, spanMs(period, counts[period])))
  return Math.max(minimumAgeMs, counts.last * gapMs, ...ofPeriods)
}

const daysPerLeapYear = 366
const daysOfMonthMax = 31
const monthsPerYear = 12

/** The longest that so many periods in a row can be. */
function spanMs(period: Period, count: number): number {
  switch (period) {
    case 'hourly':
      return count * 3600_000
    case 'daily':
      return count * dayMs
    case 'weekly':
      return count * 7 * dayMs
    case 'monthly':
      return (Math.floor(count / monthsPerYear) * daysPerLeapYear + (count % monthsPerYear) * daysOfMonthMax) * dayMs
    case 'yearly':
      return count * daysPerLeapYear * dayMs
  }
}
