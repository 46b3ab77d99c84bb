import { retentionForeseenMs } from '../limits.ts'
import type { Id } from '../types.ts'
import { nextBegin, type RunTimes } from './hours.ts'
import { dayMs } from './wall-time.ts'

/** When a set's next points are expected, by which can be told until when those that are there stay. */
export function oneADay(anchorMs: number): RunTimes {
  return { schedule: { kind: 'interval', everyMs: dayMs, anchorMs, jitterMs: 0, missed: 'run-once' } }
}

/** The first time after `afterMs`, without the delay that each endpoint has of its own. */
export function nextExpected({ schedule, ...times }: RunTimes, afterMs: number): number {
  return nextBegin({ ...times, schedule: { ...schedule, jitterMs: 0 } }, anybody, afterMs)
}

/** The next `count` times after `nowMs`; fewer, where they are further ahead than is foreseen. */
export function expectedTimes(times: RunTimes, nowMs: number, count: number): number[] {
  const found: number[] = []
  while (found.length < count) {
    const ms = nextExpected(times, found.at(-1) ?? nowMs)
    if (ms > nowMs + retentionForeseenMs) break
    found.push(ms)
  }
  return found
}

/** Without jitter all endpoints run at the same time. */
const anybody: Id = '0'.repeat(32)
