import * as v from 'valibot'
import { invariant } from '../errors.ts'
import {
  bandwidthBytesPerSecondMin,
  cronCharsMax,
  scheduleIntervalMsMax,
  scheduleIntervalMsMin,
  scheduleJitterMsMax,
  timeZoneCharsMax,
} from '../limits.ts'
import { nextCronRun } from './cron-runs.ts'
import { longestGapMs, parseCron, shortestGapMs } from './cron.ts'
import { durationFrom, durationText } from './duration.ts'
import { checkDuration, checked, member, oneOf } from './member-checks.ts'
import { rateFrom } from './rate.ts'
import { missedRules, type MissedRule, type Schedule } from './schedule.ts'
import { isTimeZone } from './wall-time.ts'

/** What the members of a schedule may be, each on its own and together, and what they mean. */

const anyLeapYear = Date.UTC(2000, 0, 1)

/** Says what is wrong with a member and what to write instead, as all here; undefined: nothing. */
function checkCron(text: string): string | undefined {
  if (text.length > cronCharsMax || !/^[\x20-\x7e]+$/.test(text)) return `is no cron expression; ${cronExample}`
  const { times, problems } = parseCron(text)
  if (times === undefined) return problems.join(', and ')
  if (shortestGapMs(times) < scheduleIntervalMsMin) {
    return `runs more often than every ${durationText(scheduleIntervalMsMin)}; write times that are further apart, across the hour as well`
  }
  const ever = nextCronRun(times, 'UTC', anyLeapYear)
  return ever === undefined ? 'never runs: no such day ever comes; write another day or month' : undefined
}

const cronExample = "write minute, hour, day of the month, month, day of the week, such as '0 2 * * *'"

export function checkTimeZone(text: string): string | undefined {
  if (text.length <= timeZoneCharsMax && isTimeZone(text)) return undefined
  return "is no time zone that this machine knows; write one of the IANA names, such as 'Europe/Berlin'"
}

function checkEvery(text: string): string | undefined {
  return checkDuration(text, scheduleIntervalMsMin, scheduleIntervalMsMax, '4h')
}

function checkJitter(text: string): string | undefined {
  return checkDuration(text, 0, scheduleJitterMsMax, '10m')
}

function checkAnchor(text: string): string | undefined {
  return instantFrom(text) === undefined ? "is no instant; write one in UTC, such as '2026-01-31T22:00:00Z'" : undefined
}

export function checkBandwidth(text: string): string | undefined {
  const rate = rateFrom(text)
  if (rate !== undefined && rate >= bandwidthBytesPerSecondMin) return undefined
  return `is no rate; write bytes a second, at least ${String(bandwidthBytesPerSecondMin)}, such as '500K' or '10M'`
}

const instantPattern = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{3})?)?Z$/
const charsToMinutes = 16

function instantFrom(text: string): number | undefined {
  const instantMs = instantPattern.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(instantMs)) return undefined
  // Else 30 February would be 2 March.
  const same = new Date(instantMs).toISOString().slice(0, charsToMinutes) === text.slice(0, charsToMinutes)
  return same ? instantMs : undefined
}

export const scheduleMembers = {
  cron: v.optional(checked(checkCron)),
  timeZone: v.optional(checked(checkTimeZone)),
  every: v.optional(checked(checkEvery)),
  anchor: v.optional(checked(checkAnchor)),
  jitter: v.optional(checked(checkJitter)),
  missed: v.optional(oneOf(missedRules)),
}

/** What is wrong between the members of a schedule, whatever each is. */
export function scheduleRelations(policy: unknown): string[] {
  const schedule = member(policy, 'schedule')
  if (typeof policy !== 'object' || policy === null) return []
  if (schedule === undefined) return [`schedule is missing; write {"cron": "0 2 * * *"} or {"every": "4h"}`]
  if (typeof schedule !== 'object' || schedule === null) return []
  const has = (name: string): boolean => member(schedule, name) !== undefined
  const problems = []
  if (has('cron') === has('every'))
    problems.push(`schedule has ${has('cron') ? 'both' : 'neither'} cron and every; write one of them`)
  if (has('timeZone') && !has('cron')) problems.push('schedule.timeZone goes with cron only; leave it out')
  if (has('anchor') && !has('every')) problems.push('schedule.anchor goes with every only; leave it out')
  if (isJitterTooLong(member(schedule, 'jitter'), gapMs(member(schedule, 'cron'), member(schedule, 'every')))) {
    problems.push('schedule.jitter is longer than the time between two runs; write a shorter one')
  }
  return problems
}

function isJitterTooLong(jitter: unknown, gap: number | undefined): boolean {
  const jitterMs = typeof jitter === 'string' ? durationFrom(jitter) : undefined
  return jitterMs !== undefined && gap !== undefined && jitterMs > gap
}

/** The shortest time between two runs, where it can be told. */
function gapMs(cron: unknown, every: unknown): number | undefined {
  if (typeof every === 'string') return durationFrom(every)
  const times = typeof cron === 'string' ? parseCron(cron).times : undefined
  return times === undefined ? undefined : shortestGapMs(times)
}

/** The members of a schedule, after they were checked. */
interface CheckedSchedule {
  readonly cron?: string | undefined
  readonly timeZone?: string | undefined
  readonly every?: string | undefined
  readonly anchor?: string | undefined
  readonly jitter?: string | undefined
  readonly missed?: MissedRule | undefined
}

/** What a schedule means that was found to be right. */
export function understoodSchedule(schedule: CheckedSchedule): Schedule {
  const { cron = '', timeZone = 'UTC', every, anchor = '', jitter = '', missed = 'run-once' } = schedule
  const rules = { jitterMs: durationFrom(jitter) ?? 0, missed }
  if (every !== undefined) {
    return { kind: 'interval', everyMs: durationFrom(every) ?? 0, anchorMs: instantFrom(anchor) ?? 0, ...rules }
  }
  const { times } = parseCron(cron)
  invariant(times !== undefined, 'a cron expression that was checked can be read')
  return { kind: 'cron', times, timeZone, ...rules }
}

/** How far two runs are apart at most. */
export function scheduledGapMs(schedule: Schedule): number {
  return schedule.kind === 'interval' ? schedule.everyMs : longestGapMs(schedule.times)
}

export function understoodBandwidth(limit: string | undefined): number | undefined {
  return limit === undefined ? undefined : rateFrom(limit)
}
