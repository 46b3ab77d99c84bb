import { StrataError } from '@strata/shared/errors.ts'
import { blockBytesMax, blockBytesMin } from '@strata/shared/limits.ts'
import { formatBytes } from '../output/bytes.ts'

const sizePattern = /^(?<count>[0-9]{1,10})(?:(?<unit>[KM])(?:i?B)?)?$/i

/** Reads `256K`, `1M`, `1MiB` or a number of bytes; a power of two that a chain can have, else E_USAGE. */
export function parseBlockSize(text: string): number {
  const { count, unit } = sizePattern.exec(text)?.groups ?? {}
  const factor = unit === undefined ? 1 : unit.toUpperCase() === 'K' ? 1024 : 1024 ** 2
  const bytes = count === undefined ? Number.NaN : Number(count) * factor
  const allowed = bytes >= blockBytesMin && bytes <= blockBytesMax && Number.isInteger(Math.log2(bytes))
  if (allowed) return bytes
  throw new StrataError(
    'E_USAGE',
    `'${text}' is no block size: a power of two from ${formatBytes(blockBytesMin)} to ${formatBytes(blockBytesMax)}, such as 256K or 1M`,
  )
}
