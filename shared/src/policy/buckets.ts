import { dayMs, offsetMs, wallDay, wallMidnight } from './wall-time.ts'

/**
 * Hours, days, weeks, months and years, as the wall shows them in a time zone. Weeks begin on Monday (ISO 8601). A day may
 * have 23 or 25 hours; a day that a country leaves out is in no bucket. An hour that comes twice is two buckets, and one
 * that is left out is none: hours are the only ones for which the wall alone does not tell which comes first.
 */
export const periods = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const
export type Period = (typeof periods)[number]

/** A moment, with what the wall showed then. */
export interface WallMoment {
  readonly momentMs: number
  readonly wallMs: number
}

export function wallMoment(zone: string, momentMs: number): WallMoment {
  return { momentMs, wallMs: momentMs + offsetMs(zone, momentMs) }
}

/** The bucket of a moment: buckets of one period are in the order of these numbers. */
export function bucketOf(period: Period, { momentMs, wallMs }: WallMoment): number {
  switch (period) {
    case 'hourly':
      return Math.floor(wallMs / hourMs) * hourMs - (wallMs - momentMs)
    case 'daily':
      return wallMidnight(wallMs)
    case 'weekly':
      return wallMidnight(wallMs) - daysSinceMonday(wallMs) * dayMs
    case 'monthly': {
      const wall = new Date(wallMs)
      return Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth())
    }
    case 'yearly':
      return Date.UTC(new Date(wallMs).getUTCFullYear(), 0)
  }
}

/** The first instant after a bucket. */
export function endOfBucket(period: Period, zone: string, bucket: number): number {
  const begin = new Date(bucket)
  switch (period) {
    case 'hourly':
      return bucket + hourMs
    case 'daily':
      return dawn(zone, bucket + dayMs)
    case 'weekly':
      return dawn(zone, bucket + daysPerWeek * dayMs)
    case 'monthly':
      return dawn(zone, Date.UTC(begin.getUTCFullYear(), begin.getUTCMonth() + 1))
    case 'yearly':
      return dawn(zone, Date.UTC(begin.getUTCFullYear() + 1, 0))
  }
}

/** The bucket of a moment, for a person: `2026-10-25 02:00 +02:00`, `2026-10-25`, `2026-W43`, `2026-10`, `2026`. */
export function bucketName(period: Period, moment: WallMoment): string {
  switch (period) {
    case 'hourly':
      return hourName(moment)
    case 'daily':
      return dateText(moment, 'YYYY-MM-DD')
    case 'weekly':
      return weekName(bucketOf('weekly', moment))
    case 'monthly':
      return dateText(moment, 'YYYY-MM')
    case 'yearly':
      return dateText(moment, 'YYYY')
  }
}

function dateText({ wallMs }: WallMoment, form: string): string {
  return new Date(wallMs).toISOString().slice(0, form.length)
}

const hourMs = 3600_000
const minuteMs = 60_000
const minutesPerHour = 60
const daysPerWeek = 7
const daysFromMondayToThursday = 3

/** When a day begins; where it does not begin at midnight, with the first instant that it has. */
function dawn(zone: string, wallDayMs: number): number {
  const day = wallDay(zone, wallDayMs)
  return day.instantsOf(wallDayMs)[0] ?? day.changeMs
}

function daysSinceMonday(wallMs: number): number {
  return (new Date(wallMs).getUTCDay() + daysPerWeek - 1) % daysPerWeek
}

/** The year of a week is that of its Thursday. */
function weekName(monday: number): string {
  const thursday = monday + daysFromMondayToThursday * dayMs
  const year = new Date(thursday).getUTCFullYear()
  const week = 1 + Math.floor((thursday - Date.UTC(year, 0)) / (daysPerWeek * dayMs))
  return `${String(year)}-W${twoDigits(week)}`
}

function hourName({ momentMs, wallMs }: WallMoment): string {
  const aheadMs = wallMs - momentMs
  const aheadMinutes = Math.floor(Math.abs(aheadMs) / minuteMs)
  const wall = new Date(wallMs).toISOString()
  const date = wall.slice(0, 'YYYY-MM-DD'.length)
  const hour = wall.slice('YYYY-MM-DDT'.length, 'YYYY-MM-DDTHH'.length)
  const ahead = `${twoDigits(Math.floor(aheadMinutes / minutesPerHour))}:${twoDigits(aheadMinutes % minutesPerHour)}`
  return `${date} ${hour}:00 ${aheadMs < 0 ? '-' : '+'}${ahead}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
