/** The middle one; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new Error('no values, no median')
  return (lower + upper) / 2
}

/** The smallest value that at least this part of all values does not exceed; `part` is more than 0 and at most 1. */
export function percentile(values: readonly number[], part: number): number {
  const value = values.toSorted((a, b) => a - b)[Math.ceil(values.length * part) - 1]
  if (value === undefined) throw new Error('no values, no percentile')
  return value
}

/** How much each value is more than the one before, by least squares. */
export function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = sum(values) / values.length
  const covariance = sum(values.map((value, index) => (index - middle) * (value - mean)))
  const variance = sum(values.map((_, index) => (index - middle) ** 2))
  return variance === 0 ? 0 : covariance / variance
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** The same numbers for the same seed (mulberry32), from 0 to below 1. Good enough to scatter, and for nothing else. */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
