const ratePattern = /^(?<count>[0-9]{1,12})(?:(?<unit>[KMG])(?:i?B)?)?$/i
const unitBytes: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

/** Reads `500K`, `10M`, `1GiB` or a number of bytes, each a second; undefined: it is no rate. */
export function rateFrom(text: string): number | undefined {
  const { count, unit } = ratePattern.exec(text)?.groups ?? {}
  const factor = unit === undefined ? 1 : (unitBytes[unit.toUpperCase()] ?? Number.NaN)
  const rate = count === undefined ? Number.NaN : Number(count) * factor
  return Number.isSafeInteger(rate) ? rate : undefined
}
