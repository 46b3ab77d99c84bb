import { StrataError, hasCode, invariant } from '../errors.ts'
import { copyRangeBytesMax, copyRangesMax } from '../limits.ts'
import { byteCount, checkRange, missingError, truncatedError } from './object-errors.ts'
import { checkObjectName } from './object-names.ts'
import type { CopyRange, CopyRules, ObjectInfo } from './object-store.ts'

/** For stores that copy any byte by itself, and begin another range at the price of a call. */
export const freeCopying: CopyRules = {
  rangeBytesMin: 1,
  rangeBytesMax: copyRangeBytesMax,
  rangesMax: copyRangesMax,
  gapBytesMax: 0,
}

export interface Composition {
  readonly name: string
  readonly ranges: readonly CopyRange[]
  readonly parts: readonly Uint8Array[]
}

/** What every compose begins with: whoever breaks the store's own rules has a bug. @param where its description */
export function checkCompose(rules: CopyRules | undefined, where: string, { name, ranges, parts }: Composition): void {
  checkObjectName(name)
  for (const { source } of ranges) checkObjectName(source)
  if (rules === undefined) throw noCopyError(where)
  invariant(ranges.length <= rules.rangesMax, `a compose of ${String(ranges.length)} ranges`)
  const isWhole = wholeSource({ name, ranges, parts }) !== undefined
  for (const range of ranges) {
    checkRange(range)
    invariant(
      isWhole || (range.length >= rules.rangeBytesMin && range.length <= rules.rangeBytesMax),
      `a range of ${String(range.length)} bytes cannot be copied`,
    )
  }
  invariant(byteCount(parts) <= rules.rangeBytesMax, 'what is written behind the ranges is no longer than one of them')
}

/** The other object that a compose is nothing but a copy of. */
export function wholeSource({ name, ranges, parts }: Composition): CopyRange | undefined {
  const [range] = ranges
  if (range?.whole !== true || range.source === name) return undefined
  return ranges.length === 1 && byteCount(parts) === 0 ? range : undefined
}

export function noCopyError(where: string, why?: string): StrataError {
  return new StrataError('E_STORE_NO_COPY', `${where} cannot copy by itself${why === undefined ? '' : `: ${why}`}`)
}

/**
 * Servers have many words for a range that they do not like, and AWS one for all of them: so the source is looked at.
 * @returns what to throw in place of `error`
 */
export async function whyNotCopied(
  error: unknown,
  where: string,
  range: CopyRange,
  head: (name: string) => Promise<ObjectInfo | undefined>,
): Promise<unknown> {
  if (!hasCode(error, 'E_STORE_PROTOCOL')) return error
  const info = await head(range.source)
  if (info === undefined) return missingError(where, range.source)
  const isShort = info.sizeBytes < range.offset + range.length
  return isShort ? truncatedError(where, range.source, range, info.sizeBytes) : error
}
