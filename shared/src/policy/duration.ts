const durationPattern = /^(?<count>[1-9][0-9]{0,4})(?<unit>[mhd])$/
const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3600_000, d: 24 * 3600_000 }

/** Reads `15m`, `4h` or `1d`; undefined: it is no duration. A day has 24 hours here, whatever the clocks do. */
export function durationFrom(text: string): number | undefined {
  const { count, unit = '' } = durationPattern.exec(text)?.groups ?? {}
  const factor = unitMs[unit]
  return factor === undefined ? undefined : Number(count) * factor
}

/** The same, for a person: in the largest unit that leaves no rest. */
export function durationText(ms: number): string {
  const unit = ['d', 'h'].find((larger) => ms % (unitMs[larger] ?? Number.NaN) === 0) ?? 'm'
  return `${String(ms / (unitMs[unit] ?? Number.NaN))}${unit}`
}
