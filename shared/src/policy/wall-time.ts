import { RecentlyUsed } from '../format/recently-used.ts'
import { steadyDaysKeptMax, timeZonesKeptMax, wallDaysKeptMax } from '../limits.ts'

/**
 * What clocks on the wall show in a time zone. A wall time is written as the instant at which it would be in UTC; zones
 * come from ICU, as Node carries it.
 */
export const dayMs = 24 * 3600_000

/** To make one takes longer than all else here. */
const formats = new RecentlyUsed<string, Intl.DateTimeFormat>(timeZonesKeptMax)

function formatFor(zone: string): Intl.DateTimeFormat {
  return formats.get(zone, () => {
    const parts = {
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    } as const
    return new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...parts })
  })
}

export function isTimeZone(zone: string): boolean {
  try {
    formatFor(zone)
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/** The offset of days in UTC; NaN: clocks change in it. Whoever decides on many points asks for the same days all the time. */
const steadyDays = new RecentlyUsed<string, number>(steadyDaysKeptMax)

/** How far the wall is ahead of UTC. */
export function offsetMs(zone: string, instantMs: number): number {
  const day = Math.floor(instantMs / dayMs)
  const key = `${zone} ${String(day)}`
  const steadyMs = steadyDays.peek(key) ?? steadyDays.get(key, () => steadyOffsetMs(zone, day * dayMs))
  return Number.isNaN(steadyMs) ? shownOffsetMs(zone, instantMs) : steadyMs
}

/** Clocks change once in a few days at most: what holds at both ends of a day holds all day. */
function steadyOffsetMs(zone: string, dayFromMs: number): number {
  const offset = shownOffsetMs(zone, dayFromMs)
  return shownOffsetMs(zone, dayFromMs + dayMs) === offset ? offset : Number.NaN
}

function shownOffsetMs(zone: string, instantMs: number): number {
  const shown: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {}
  for (const { type, value } of formatFor(zone).formatToParts(instantMs)) shown[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = shown
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000
}

export function wallTime(zone: string, instantMs: number): number {
  return instantMs + offsetMs(zone, instantMs)
}

/** The midnight before a wall time, or at it. */
export function wallMidnight(wallMs: number): number {
  return Math.floor(wallMs / dayMs) * dayMs
}

/** What the wall shows around one day. */
export interface WallDay {
  /** When a wall time is: once; twice, where clocks were set back; never, where they were set forward. Sorted. */
  instantsOf(wallMs: number): number[]
  /** The first instant after the change of clocks, where there is one. */
  readonly changeMs: number
}

/** Whoever waits for a run asks for the same few days again and again. */
const days = new RecentlyUsed<string, WallDay>(wallDaysKeptMax)

/** @param wallDayMs midnight of the day. Clocks change once at most from the day before to the day after. */
export function wallDay(zone: string, wallDayMs: number): WallDay {
  return days.get(`${zone} ${String(wallDayMs)}`, () => lookAtDay(zone, wallDayMs))
}

function lookAtDay(zone: string, wallDayMs: number): WallDay {
  // No wall is more than 14 hours away from UTC.
  const startMs = wallDayMs - dayMs
  const endMs = wallDayMs + 2 * dayMs
  const before = offsetMs(zone, startMs)
  const after = offsetMs(zone, endMs)
  const changeMs = before === after ? Infinity : changeBetween(zone, startMs, endMs, after)
  return {
    changeMs,
    instantsOf: (wallMs) => {
      const first = wallMs - before
      const second = wallMs - after
      return [...(first < changeMs ? [first] : []), ...(second >= changeMs ? [second] : [])]
    },
  }
}

/** The first instant at which `offset` holds; it does not at the start, and does at the end. */
function changeBetween(zone: string, startMs: number, endMs: number, offset: number): number {
  let before = startMs
  let after = endMs
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (offsetMs(zone, middle) === offset) after = middle
    else before = middle
  }
  return after
}
