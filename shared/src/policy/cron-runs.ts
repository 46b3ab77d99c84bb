import { cronSearchDaysMax } from '../limits.ts'
import { isEveryHour, minutesOfDay, type CronTimes } from './cron.ts'
import { dayMs, wallDay, wallMidnight, wallTime } from './wall-time.ts'

/**
 * When a cron expression runs, in a time zone. What happens where clocks are changed:
 *
 * - One that names hours runs exactly once for each time that it names. A time that does not exist on that day is made
 *   up for at the first instant after the gap; of a time that exists twice the first counts.
 * - One of every hour runs with the time that passes: its minutes in the hour that comes twice are run twice, and there
 *   are none in the hour that is left out.
 *
 * Times that fall together are one run.
 */
export function nextCronRun(times: CronTimes, zone: string, afterMs: number): number | undefined {
  const first = wallMidnight(wallTime(zone, afterMs)) - dayMs
  return search(times, zone, first, dayMs, (runs) => least(runs.filter((runMs) => runMs > afterMs)))
}

/** The last run at `atMs` or before. */
export function lastCronRun(times: CronTimes, zone: string, atMs: number): number | undefined {
  const first = wallMidnight(wallTime(zone, atMs)) + dayMs
  return search(times, zone, first, -dayMs, (runs) => greatest(runs.filter((runMs) => runMs <= atMs)))
}

/**
 * Goes from day to day until `pick` finds a run. The day after that is looked at as well: where clocks are set back
 * across midnight, the ends of two days lie in each other.
 */
function search(
  times: CronTimes,
  zone: string,
  firstDayMs: number,
  stepMs: number,
  pick: (runs: readonly number[]) => number | undefined,
): number | undefined {
  for (let index = 0, day = firstDayMs; index < cronSearchDaysMax; index += 1, day += stepMs) {
    const runs = runsOfDay(times, zone, day)
    if (pick(runs) !== undefined) return pick([...runs, ...runsOfDay(times, zone, day + stepMs)])
  }
  return undefined
}

function runsOfDay(times: CronTimes, zone: string, wallDayMs: number): number[] {
  const date = new Date(wallDayMs)
  const isOneOfItsDays =
    times.months.includes(date.getUTCMonth() + 1) &&
    times.daysOfMonth.includes(date.getUTCDate()) &&
    times.weekdays.includes(date.getUTCDay())
  if (!isOneOfItsDays) return []
  const day = wallDay(zone, wallDayMs)
  const everyHour = isEveryHour(times)
  return minutesOfDay(times).flatMap((minute) => {
    const instants = day.instantsOf(wallDayMs + minute * minuteMs)
    return everyHour ? instants : [instants[0] ?? day.changeMs]
  })
}

const minuteMs = 60_000

function least(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : Math.min(...numbers)
}

function greatest(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : Math.max(...numbers)
}
