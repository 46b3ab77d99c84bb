import { type ErrorCode, StrataError } from '@strata/shared/errors.ts'
import { bandwidthBytesPerSecondMin } from '@strata/shared/limits.ts'
import { rateFrom } from '@strata/shared/policy/rate.ts'
import { formatBytes } from '../output/bytes.ts'

/** Reads `500K`, `10M`, `1GiB` or a number of bytes, each a second. @param code what a wrong one is, by where it stood */
export function parseBandwidth(text: string, code: ErrorCode, name: string): number {
  const rate = rateFrom(text)
  if (rate !== undefined && rate >= bandwidthBytesPerSecondMin) return rate
  throw new StrataError(
    code,
    `${name} '${text}' is no rate: bytes a second, at least ${formatBytes(bandwidthBytesPerSecondMin)}, such as 500K or 10M`,
  )
}
