import { retentionForeseenMs } from '../limits.ts'
import { bucketOf, endOfBucket, wallMoment, type Period } from './buckets.ts'
import { nextExpected } from './expected.ts'
import type { RunTimes } from './hours.ts'

export interface PeriodRule {
  readonly period: Period
  readonly timeZone: string
  /** How many buckets the rule keeps. */
  readonly of: number
  /** Those that it keeps now, the newest first. */
  readonly buckets: readonly number[]
  readonly nowMs: number
  readonly expected: RunTimes
}

/**
 * Until when a rule keeps what it keeps now, by bucket; left out: further ahead than is foreseen.
 *
 * A point is let go by the first new one in its bucket, or by the new bucket with which there is one more than the rule
 * keeps. All other points in a new bucket change nothing, so whole buckets are passed over.
 */
export function periodEnds({ period, timeZone, of, buckets, nowMs, expected }: PeriodRule): Map<number, number> {
  const ends = new Map<number, number>()
  const waiting = new Set(buckets)
  // Oldest first, as buckets come.
  const kept = buckets.toReversed()
  let atMs = nextExpected(expected, nowMs)
  while (waiting.size > 0 && atMs <= nowMs + retentionForeseenMs) {
    const bucket = bucketOf(period, wallMoment(timeZone, atMs))
    const isNew = addInOrder(kept, bucket)
    const gone = isNew && kept.length > of ? kept.shift() : undefined
    for (const ended of [bucket, gone]) {
      if (ended !== undefined && waiting.delete(ended)) ends.set(ended, atMs)
    }
    atMs = nextExpected(expected, Math.max(atMs, endOfBucket(period, timeZone, bucket) - 1))
  }
  return ends
}

/** False: it is there already. Nearly always it is the newest; clocks that are set back across midnight make exceptions. */
function addInOrder(ascending: number[], bucket: number): boolean {
  const before = ascending.findLastIndex((other) => other <= bucket)
  if (ascending[before] === bucket) return false
  ascending.splice(before + 1, 0, bucket)
  return true
}
