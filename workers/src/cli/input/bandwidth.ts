import { type ErrorCode, StrataError } from '@strata/shared/errors.ts'
import { bandwidthBytesPerSecondMin } from '@strata/shared/limits.ts'
import { formatBytes } from '../output/bytes.ts'

const ratePattern = /^(?<count>[0-9]{1,12})(?:(?<unit>[KMG])(?:i?B)?)?$/i
const unitBytes: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

/** Reads `500K`, `10M`, `1GiB` or a number of bytes, each a second. @param code what a wrong one is, by where it stood */
export function parseBandwidth(text: string, code: ErrorCode, name: string): number {
  const { count, unit } = ratePattern.exec(text)?.groups ?? {}
  const factor = unit === undefined ? 1 : (unitBytes[unit.toUpperCase()] ?? Number.NaN)
  const rate = count === undefined ? Number.NaN : Number(count) * factor
  if (rate >= bandwidthBytesPerSecondMin && Number.isSafeInteger(rate)) return rate
  throw new StrataError(
    code,
    `${name} '${text}' is no rate: bytes a second, at least ${formatBytes(bandwidthBytesPerSecondMin)}, such as 500K or 10M`,
  )
}
