import { StrataError, invariant } from '../errors.ts'
import { copyRangeBytesMax, copyRangesMax } from '../limits.ts'
import { checkRange } from './object-errors.ts'
import { checkObjectName } from './object-names.ts'
import type { CopyRange, CopyRules } from './object-store.ts'

/** For stores that copy any byte by itself, and begin another range at the price of a call. */
export const freeCopying: CopyRules = {
  rangeBytesMin: 1,
  rangeBytesMax: copyRangeBytesMax,
  rangesMax: copyRangesMax,
  gapBytesMax: 0,
}

/** What every compose begins with: whoever breaks the store's own rules has a bug. @param where its description */
export function checkCompose(
  rules: CopyRules | undefined,
  where: string,
  name: string,
  ranges: readonly CopyRange[],
): void {
  checkObjectName(name)
  for (const { source } of ranges) checkObjectName(source)
  if (rules === undefined) throw noCopyError(where)
  invariant(ranges.length <= rules.rangesMax, `a compose of ${String(ranges.length)} ranges`)
  for (const range of ranges) {
    checkRange(range)
    invariant(
      range.length >= rules.rangeBytesMin && range.length <= rules.rangeBytesMax,
      `a range of ${String(range.length)} bytes cannot be copied`,
    )
  }
}

export function noCopyError(where: string, why?: string): StrataError {
  return new StrataError('E_STORE_NO_COPY', `${where} cannot copy by itself${why === undefined ? '' : `: ${why}`}`)
}
