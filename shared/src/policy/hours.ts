import { invariant } from '../errors.ts'
import { hoursSearchDaysMax } from '../limits.ts'
import type { Id } from '../types.ts'
import { lastRun, nextRun, type Schedule } from './schedule.ts'
import { dayMs, wallDay, wallMidnight, wallTime } from './wall-time.ts'

/**
 * The hours in which runs may begin. What the wall shows counts, and nothing else: a time that a change of clocks leaves
 * out is in no window, and one that comes twice is in it twice.
 */
export interface HoursWindow {
  /** Days on which it begins; 0 is Sunday. */
  readonly weekdays: readonly number[]
  /** Since midnight of such a day, as `toMs`, which is above a day where the window ends on the next one. */
  readonly fromMs: number
  readonly toMs: number
  readonly timeZone: string
}

/** None: at any time. */
export type Hours = readonly HoursWindow[]

export function isAllowed(hours: Hours, atMs: number): boolean {
  return hours.length === 0 || hours.some((window) => isOpen(window, atMs))
}

/** The first time, at `fromMs` or after it, at which a run may begin. */
export function nextAllowed(hours: Hours, fromMs: number): number {
  if (isAllowed(hours, fromMs)) return fromMs
  return Math.min(...hours.map((window) => nextOpening(window, fromMs)))
}

/** What says when runs begin. */
export interface RunTimes {
  readonly schedule: Schedule
  readonly hours?: Hours
}

/** The first time after `afterMs` at which a run of `endpoint` begins; runs that wait for the same window are one. */
export function nextBegin({ schedule, hours = [] }: RunTimes, endpoint: Id, afterMs: number): number {
  if (hours.length === 0) return nextRun(schedule, endpoint, afterMs)
  const awaitedMs = nextAllowed(hours, lastRun(schedule, endpoint, afterMs))
  return awaitedMs > afterMs ? awaitedMs : nextAllowed(hours, nextRun(schedule, endpoint, afterMs))
}

function isOpen({ weekdays, fromMs, toMs, timeZone }: HoursWindow, atMs: number): boolean {
  const wallMs = wallTime(timeZone, atMs)
  const today = wallMidnight(wallMs)
  // A window may have begun yesterday.
  return [today, today - dayMs].some((day) => isOneOf(weekdays, day) && day + fromMs <= wallMs && wallMs < day + toMs)
}

/** It opens where its time comes, or where clocks jump into it. */
function nextOpening(window: HoursWindow, afterMs: number): number {
  const first = wallMidnight(wallTime(window.timeZone, afterMs)) - dayMs
  const found = (day: number): number[] => openingsOf(window, day).filter((ms) => ms > afterMs && isOpen(window, ms))
  for (let index = 0, day = first; index < hoursSearchDaysMax; index += 1, day += dayMs) {
    if (found(day).length === 0) continue
    // Where clocks are set back across midnight, the ends of two days lie in each other.
    return Math.min(...found(day), ...found(day + dayMs))
  }
  invariant(false, 'every window opens within two weeks')
}

function openingsOf({ weekdays, fromMs, timeZone }: HoursWindow, day: number): number[] {
  const shown = wallDay(timeZone, day)
  const { changeMs } = shown
  const changesToday = changeMs !== Infinity && wallMidnight(wallTime(timeZone, changeMs)) === day
  return [...(isOneOf(weekdays, day) ? shown.instantsOf(day + fromMs) : []), ...(changesToday ? [changeMs] : [])]
}

function isOneOf(weekdays: readonly number[], wallDayMs: number): boolean {
  return weekdays.includes(new Date(wallDayMs).getUTCDay())
}
