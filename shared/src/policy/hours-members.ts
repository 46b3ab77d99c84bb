import * as v from 'valibot'
import { hoursWindowsMax } from '../limits.ts'
import type { Hours, HoursWindow } from './hours.ts'
import { checked, listOf, member, section } from './member-checks.ts'
import { checkTimeZone } from './schedule-members.ts'
import { dayMs } from './wall-time.ts'

/** What the hours of a policy may be, and what they mean. */

/** In the order of a week, as ranges have them. */
const dayNames = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

const daysSchema = v.custom<string | string[]>(
  (value) => weekdaysFrom(value) !== undefined,
  'has no days of the week; write a range such as "mon-fri", or a list such as ["sat", "sun"]',
)

export const windowMembers = {
  days: v.optional(daysSchema),
  from: checked(checkTimeOfDay),
  to: checked(checkTimeOfDay),
  timeZone: v.optional(checked(checkTimeZone)),
}

export const hoursSchema = listOf(section(windowMembers), hoursWindowsMax)
export type CheckedHours = v.InferOutput<typeof hoursSchema>

/** What is wrong between the members of each window, whatever each is. */
export function hoursRelations(policy: unknown): string[] {
  const hours = member(policy, 'hours')
  if (!Array.isArray(hours)) return []
  return hours.flatMap((window: unknown, index) => {
    const [from, to] = [member(window, 'from'), member(window, 'to')]
    const place = `hours.${String(index)}`
    if (from === '24:00') return [`${place}.from is the end of a day; write 00:00`]
    return typeof from === 'string' && from === to
      ? [`${place} is empty, from ${from} to ${from}; write 00:00 and 24:00 for whole days`]
      : []
  })
}

/** What hours mean that were found to be right. */
export function understoodHours(hours: CheckedHours | undefined, timeZoneDefault: string): Hours {
  return (hours ?? []).map(({ days, from, to, timeZone = timeZoneDefault }): HoursWindow => {
    const [fromMs, toMs] = [timeOfDayMs(from) ?? 0, timeOfDayMs(to) ?? 0]
    const weekdays = days === undefined ? weekdaysFrom(dayNames) : weekdaysFrom(days)
    return { weekdays: weekdays ?? [], fromMs, toMs: toMs > fromMs ? toMs : toMs + dayMs, timeZone }
  })
}

/** Sorted, Sunday is 0; undefined: these are no days. */
function weekdaysFrom(days: unknown): number[] | undefined {
  const parts: unknown[] = Array.isArray(days) ? days : [days]
  const found = new Set<number>()
  for (const part of parts) {
    const range = rangeFrom(part)
    if (range === undefined) return undefined
    for (const day of range) found.add(day)
  }
  return found.size === 0 ? undefined : [...found].sort((a, b) => a - b)
}

/** `mon`, `mon-fri`, `fri-mon`. */
function rangeFrom(text: unknown): number[] | undefined {
  if (typeof text !== 'string') return undefined
  const [first, last] = text
    .toLowerCase()
    .split('-')
    .map((name) => dayNames.indexOf(name))
  if (first === undefined || first < 0 || last === -1 || text.split('-').length > 2) return undefined
  const count = last === undefined ? 0 : (last - first + dayNames.length) % dayNames.length
  return Array.from({ length: count + 1 }, (_, index) => (first + index + 1) % dayNames.length)
}

const timePattern = /^(?<hours>[01][0-9]|2[0-4]):(?<minutes>[0-5][0-9])$/

function timeOfDayMs(text: string): number | undefined {
  const { hours, minutes } = timePattern.exec(text)?.groups ?? {}
  const ms = hours === undefined ? Number.NaN : Number(hours) * 3600_000 + Number(minutes) * 60_000
  return ms <= dayMs ? ms : undefined
}

function checkTimeOfDay(text: string): string | undefined {
  return timeOfDayMs(text) === undefined
    ? "is no time of day; write one from 00:00 to 24:00, such as '20:00'"
    : undefined
}
