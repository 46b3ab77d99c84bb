import { offsetMs, wallTime } from '@strata/shared/policy/wall-time.ts'

/** Sizes, rates and durations as people read them. Programs get plain numbers, in --json. */
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const step = 1024
const bytesPerMegabyte = 1e6
const bytesPerGigabyte = 1e9

/** `512 B`, `1.5 KiB`, `64.0 MiB`: one decimal below 100, so that the number keeps three digits or so. */
export function formatBytes(bytes: number): string {
  let unit = 0
  let value = bytes
  // What would round up to 1024 of a unit is 1.0 of the next.
  while (unit < units.length - 1 && Number(value.toFixed(unit === 0 || value >= 100 ? 0 : 1)) >= step) {
    value /= step
    unit += 1
  }
  return `${unit === 0 ? String(value) : shortDecimal(value)} ${units[unit] ?? ''}`
}

/** `8.0 MB/s`, `1.25 GB/s`; a dash when no time has passed. Decimal megabytes, as for disks and networks. */
export function formatRate(bytes: number, durationMs: number): string {
  if (durationMs <= 0) return '–'
  const perSecond = (bytes / durationMs) * 1000
  if (perSecond >= bytesPerGigabyte) return `${(perSecond / bytesPerGigabyte).toFixed(2)} GB/s`
  return `${shortDecimal(perSecond / bytesPerMegabyte)} MB/s`
}

const secondsPerMinute = 60
const minutesPerHour = 60
const hoursPerDay = 24

/** `0.8 s`, `12.3 s`, `4:05 min`, `2:03:09 h`, `1 d 02:03 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < secondsPerMinute) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(seconds / secondsPerMinute)
  if (minutes < minutesPerHour) return `${String(minutes)}:${twoDigits(seconds % secondsPerMinute)} min`
  const hours = Math.floor(minutes / minutesPerHour)
  const clock = twoDigits(minutes % minutesPerHour)
  if (hours < hoursPerDay) return `${String(hours)}:${clock}:${twoDigits(seconds % secondsPerMinute)} h`
  return `${String(Math.floor(hours / hoursPerDay))} d ${twoDigits(hours % hoursPerDay)}:${clock} h`
}

/** `3 blocks`, `1 block`. */
export function formatCount(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** Part of a whole, rounded down so that 100 % means all of it. */
export function formatPercent(part: number, whole: number): string {
  const percent = whole <= 0 ? 100 : Math.min(100, Math.floor((part / whole) * 100))
  return `${String(percent)} %`
}

/** `2026-11-23 01:03:20`, in the time zone of this machine. */
export function formatInstant(iso: string): string {
  const instant = new Date(iso)
  const day = [instant.getFullYear(), instant.getMonth() + 1, instant.getDate()].map(twoDigits).join('-')
  const time = [instant.getHours(), instant.getMinutes(), instant.getSeconds()].map(twoDigits).join(':')
  return `${day} ${time}`
}

/** `2026-11-23 01:03:20 +01:00`, in the given time zone. */
export function formatInstantIn(zone: string, instantMs: number): string {
  const aheadMinutes = offsetMs(zone, instantMs) / msPerMinute
  const wall = new Date(wallTime(zone, instantMs)).toISOString()
  const [hours, minutes] = [
    Math.floor(Math.abs(aheadMinutes) / minutesPerHour),
    Math.abs(aheadMinutes) % minutesPerHour,
  ]
  const ahead = `${aheadMinutes < 0 ? '-' : '+'}${twoDigits(hours)}:${twoDigits(minutes)}`
  return `${wall.slice(0, 'YYYY-MM-DD'.length)} ${wall.slice('YYYY-MM-DDT'.length, 'YYYY-MM-DDTHH:MM:SS'.length)} ${ahead}`
}

const msPerMinute = 60_000

function shortDecimal(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1)
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}

/** How much of an id people need to see, and to type; in --json all of it stands. */
export const shownIdChars = 12
