import { cronSearchDaysMax } from '../limits.ts'

/**
 * Cron expressions of five fields: minute, hour, day of the month, month, day of the week. Each is `*`, `*` with a step,
 * a number, a range, a range with a step, or a list of those; months and days of the week also have English names.
 *
 * Stricter than most, so that nobody gets another schedule than was meant: no sixth field, no `L`, `W`, `#` or `?`, and
 * not both a day of the month and a day of the week, which programs read in two ways.
 */
export interface CronTimes {
  /** Sorted and each once, as all here. */
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly daysOfMonth: readonly number[]
  /** 1 is January. */
  readonly months: readonly number[]
  /** 0 is Sunday. */
  readonly weekdays: readonly number[]
}

interface Field {
  readonly name: string
  readonly min: number
  /** The last number that `*` stands for. */
  readonly max: number
  /** Another number for `min`: Sunday has two in every cron. */
  readonly alias?: number
  /** From `min` on. */
  readonly names?: readonly string[]
}

const fields = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of the month', min: 1, max: 31 },
  {
    name: 'month',
    min: 1,
    max: 12,
    names: ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
  },
  { name: 'day of the week', min: 0, max: 6, alias: 7, names: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'] },
] as const satisfies readonly Field[]

const hoursPerDay = 24
const minutesPerHour = 60
const minutesPerDay = hoursPerDay * minutesPerHour
const minuteMs = 60_000

export type ParsedCron =
  | { readonly times: CronTimes; readonly problems?: never }
  | { readonly times?: never; readonly problems: readonly string[] }

/** Reads an expression, or says all that is wrong with it. Whether its date ever comes is not looked at. */
export function parseCron(text: string): ParsedCron {
  const parts = text.trim().split(/ +/)
  if (parts.length !== fields.length) {
    return {
      problems: [
        `has ${String(parts.length)} fields; write five: minute, hour, day of the month, month, day of the week`,
      ],
    }
  }
  const parsed = fields.map((field, index) => parseField(field, parts[index] ?? ''))
  const problems = parsed.filter((numbers) => typeof numbers === 'string')
  if (parts[2] !== '*' && parts[4] !== '*') {
    problems.push('names days of the month and days of the week; write * for one of them')
  }
  if (problems.length > 0) return { problems }
  const [minutes = [], hours = [], daysOfMonth = [], months = [], weekdays = []] = parsed.filter(
    (numbers) => typeof numbers !== 'string',
  )
  return { times: { minutes, hours, daysOfMonth, months, weekdays } }
}

/** The numbers that a field stands for, or what is wrong with it. */
function parseField(field: Field, text: string): readonly number[] | string {
  const found = new Set<number>()
  for (const part of text.split(',')) {
    const numbers = parsePart(field, part)
    if (typeof numbers === 'string') return numbers
    for (const number of numbers) found.add(number === field.alias ? field.min : number)
  }
  return [...found].sort((a, b) => a - b)
}

const partPattern = /^(?:\*|(?<from>[0-9]{1,2}|[A-Z]{3})(?:-(?<to>[0-9]{1,2}|[A-Z]{3}))?)(?:\/(?<step>[0-9]{1,2}))?$/i

function parsePart(field: Field, text: string): readonly number[] | string {
  const wrong = `has '${text}' for the ${field.name}`
  const groups = partPattern.exec(text)?.groups
  if (groups === undefined) return `${wrong}; write *, a number, a range a-b, a step */n, or a list of those`
  const { from, to, step } = groups
  const first = from === undefined ? field.min : valueOf(field, from)
  const last = to === undefined ? (from === undefined ? field.max : first) : valueOf(field, to)
  if (first === undefined || last === undefined) return `${wrong}; it goes from ${range(field)}`
  if (first > last) return `${wrong}; a range goes upwards, so write two, with a comma`
  const by = step === undefined ? 1 : Number(step)
  if (step !== undefined && (by < 1 || by > last - first)) return `${wrong}; a step stays within what it steps through`
  const numbers = []
  for (let number = first; number <= last; number += by) numbers.push(number)
  return numbers
}

function valueOf({ min, max, alias, names }: Field, text: string): number | undefined {
  const named = names?.indexOf(text.toUpperCase()) ?? -1
  if (named >= 0) return min + named
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN
  return (value >= min && value <= max) || value === alias ? value : undefined
}

function range({ min, max, names }: Field): string {
  const numbers = `${String(min)} to ${String(max)}`
  return names === undefined ? numbers : `${numbers}, or ${names[0] ?? ''} to ${names.at(-1) ?? ''}`
}

/** Whether it names no hours: it then runs with the time that passes, also when clocks are changed. */
export function isEveryHour({ hours }: CronTimes): boolean {
  return hours.length === hoursPerDay
}

/** Times of a day, in minutes since midnight. */
export function minutesOfDay({ minutes, hours }: CronTimes): number[] {
  return hours.flatMap((hour) => minutes.map((minute) => hour * minutesPerHour + minute))
}

/** The shortest time between two runs, were every day one of its days. */
export function shortestGapMs(times: CronTimes): number {
  const of = minutesOfDay(times)
  const gaps = of.map((minute, index) => (of[index + 1] ?? minutesPerDay + (of[0] ?? 0)) - minute)
  return Math.min(...gaps) * minuteMs
}

/** The longest time between two runs, as far as days of 24 hours tell. */
export function longestGapMs(times: CronTimes): number {
  const of = minutesOfDay(times)
  const days = daysBetweenMax(times)
  if (days > 1) return days * minutesPerDay * minuteMs
  return Math.max(...of.map((minute, index) => (of[index + 1] ?? minutesPerDay + (of[0] ?? 0)) - minute)) * minuteMs
}

/** Looks at the eight years in which no 29 February comes between two. */
function daysBetweenMax({ months, daysOfMonth, weekdays }: CronTimes): number {
  let [last, longest] = [0, 1]
  for (let day = 0; day < cronSearchDaysMax; day += 1) {
    const date = new Date(rarestFromMs + day * minutesPerDay * minuteMs)
    const isOneOfItsDays =
      months.includes(date.getUTCMonth() + 1) &&
      daysOfMonth.includes(date.getUTCDate()) &&
      weekdays.includes(date.getUTCDay())
    if (!isOneOfItsDays) continue
    longest = Math.max(longest, day - last)
    last = day
  }
  return longest
}

/** 2100 has no leap day. */
const rarestFromMs = Date.UTC(2096, 1, 29)
