import { createHash } from 'node:crypto'
import { invariant } from '../errors.ts'
import { scheduleMissedRunsMax } from '../limits.ts'
import type { Id } from '../types.ts'
import { lastCronRun, nextCronRun } from './cron-runs.ts'
import type { CronTimes } from './cron.ts'

/** When an endpoint is backed up. Times are ms since 1970; all functions here are pure. */
export type Schedule = CronSchedule | IntervalSchedule

/** What becomes of runs whose time passed while nothing could run: one run for all of them, or none. */
export const missedRules = ['run-once', 'skip'] as const
export type MissedRule = (typeof missedRules)[number]

interface EverySchedule {
  /** Each endpoint is later than the schedule by a time of its own below this. */
  readonly jitterMs: number
  readonly missed: MissedRule
}

export interface CronSchedule extends EverySchedule {
  readonly kind: 'cron'
  readonly times: CronTimes
  readonly timeZone: string
}

export interface IntervalSchedule extends EverySchedule {
  readonly kind: 'interval'
  readonly everyMs: number
  /** Runs are whole intervals before and after this. */
  readonly anchorMs: number
}

/** The first time after `afterMs` at which `endpoint` is to run. */
export function nextRun(schedule: Schedule, endpoint: Id, afterMs: number): number {
  const delayMs = jitterOf(endpoint, schedule.jitterMs)
  if (schedule.kind === 'interval') {
    const originMs = schedule.anchorMs + delayMs
    return originMs + (Math.floor((afterMs - originMs) / schedule.everyMs) + 1) * schedule.everyMs
  }
  return found(nextCronRun(schedule.times, schedule.timeZone, afterMs - delayMs)) + delayMs
}

/** The last time at `atMs` or before at which `endpoint` was to run. */
export function lastRun(schedule: Schedule, endpoint: Id, atMs: number): number {
  const delayMs = jitterOf(endpoint, schedule.jitterMs)
  if (schedule.kind === 'interval') {
    const originMs = schedule.anchorMs + delayMs
    return originMs + Math.floor((atMs - originMs) / schedule.everyMs) * schedule.everyMs
  }
  return found(lastCronRun(schedule.times, schedule.timeZone, atMs - delayMs)) + delayMs
}

/** The times after `afterMs` and up to `untilMs`; of very many only the first. */
export function missedRuns(schedule: Schedule, endpoint: Id, afterMs: number, untilMs: number): number[] {
  const missed = []
  let runMs = nextRun(schedule, endpoint, afterMs)
  while (runMs <= untilMs && missed.length < scheduleMissedRunsMax) {
    missed.push(runMs)
    runMs = nextRun(schedule, endpoint, runMs)
  }
  return missed
}

/** A policy is refused when its days never come. */
function found(runMs: number | undefined): number {
  invariant(runMs !== undefined, 'every schedule that was read has days that come')
  return runMs
}

/** By how much `endpoint` is later than the schedule: always the same, and spread evenly over many endpoints. */
export function jitterOf(endpoint: Id, jitterMs: number): number {
  if (jitterMs === 0) return 0
  const hash = createHash('sha256').update(`strata schedule ${endpoint}`).digest()
  return hash.readUIntBE(0, hashBytes) % jitterMs
}

/** 2^48 is so far above any jitter that the remainder is even. */
const hashBytes = 6
