import { StrataError } from '@strata/shared/errors.ts'

const pattern = /^(?<count>[0-9]{1,6})(?<unit>[mhd])$/
const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3600_000, d: 24 * 3600_000 }

/** Reads `30m`, `24h` or `7d`. Gives ms; else E_USAGE. */
export function parseDuration(text: string, option: string): number {
  const { count, unit } = pattern.exec(text)?.groups ?? {}
  const ms = Number(count) * (unitMs[unit ?? ''] ?? Number.NaN)
  if (ms > 0) return ms
  throw new StrataError(
    'E_USAGE',
    `${option} '${text}' is no duration: a number of minutes, hours or days, such as 30m, 24h or 7d`,
  )
}
