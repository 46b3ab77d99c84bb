import { catalogGroups } from '../../limits.ts'

/** Which objects tell of the numbers of a set, with as few requests as possible. Pure. */
export type Portion =
  | { readonly kind: 'segment'; readonly level: number; readonly last: number; readonly numbers: readonly number[] }
  | { readonly kind: 'number'; readonly number: number }

/** @param has whether there is such a segment; `numbers`: those that there are, ascending */
export function* coverOf(
  numbers: readonly number[],
  has: (level: number, last: number) => boolean,
): Generator<Portion> {
  let at = 0
  for (let number = numbers[at]; number !== undefined; number = numbers[at]) {
    const found = largestWith(number, has)
    if (found === undefined) {
      yield { kind: 'number', number }
      at += 1
      continue
    }
    const begin = at
    while ((numbers[at] ?? Infinity) <= found.last) at += 1
    yield { kind: 'segment', ...found, numbers: numbers.slice(begin, at) }
  }
}

function largestWith(
  number: number,
  has: (level: number, last: number) => boolean,
): { level: number; last: number } | undefined {
  for (let level = catalogGroups.length - 1; level >= 0; level -= 1) {
    const last = lastOfGroup(level, number)
    if (has(level, last)) return { level, last }
  }
  return undefined
}

/** The highest number of the group that a number belongs to. */
export function lastOfGroup(level: number, number: number): number {
  const size = catalogGroups[level] ?? 1
  return Math.ceil(number / size) * size
}

export function firstOfGroup(level: number, last: number): number {
  return last - (catalogGroups[level] ?? 1) + 1
}
