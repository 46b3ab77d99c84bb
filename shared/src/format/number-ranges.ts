import * as v from 'valibot'
import { pointsPerSetMax, retentionRangesMax } from '../limits.ts'
import { wholeNumber } from './schema.ts'

/**
 * Sets of sequence numbers, as documents have them: ranges `[first, last]`, ascending, with a gap between any two. What
 * a policy lets go is nearly all of a set's past, so it is few ranges however many points there were. Pure.
 */
export type NumberRanges = [first: number, last: number][]

const sequence = wholeNumber(1, pointsPerSetMax)
export const numberRangesSchema = v.pipe(
  v.array(v.tuple([sequence, sequence])),
  v.maxLength(retentionRangesMax),
  v.check(isOrdered, 'ranges in order'),
)

function isOrdered(ranges: NumberRanges): boolean {
  let before = -1
  return ranges.every(([first, last]) => {
    const fits = first > before + 1 && first <= last
    before = last
    return fits
  })
}

export function rangesOf(numbers: Iterable<number>): NumberRanges {
  const ranges: NumberRanges = []
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last !== undefined && number <= last[1] + 1) last[1] = Math.max(last[1], number)
    else ranges.push([number, number])
  }
  return ranges
}

export function* numbersIn(ranges: NumberRanges): Generator<number> {
  for (const [first, last] of ranges) for (let number = first; number <= last; number += 1) yield number
}

/** In time that does not grow with the numbers, and hardly with the ranges. */
export function hasNumber(ranges: NumberRanges, number: number): boolean {
  let from = 0
  let to = ranges.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((ranges[middle]?.[1] ?? 0) < number) from = middle + 1
    else to = middle
  }
  const range = ranges[from]
  return range !== undefined && range[0] <= number
}
