import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, percentile, seededNumbers, slope } from './statistics.ts'

test('the median is the middle one, whatever the order', () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(median([7]), 7)
  assert.throws(() => median([]), /no values/)
})

test('a percentile is one of the values, and that of all of them the largest', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  assert.deepEqual([percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1)], [50, 99, 100])
  assert.equal(percentile([3], 0.01), 3)
  assert.throws(() => percentile([], 0.5), /no values/)
})

test('the slope is what each value is more than the one before', () => {
  assert.equal(slope([1, 3, 5, 7]), 2)
  assert.equal(slope([5, 5, 5]), 0)
  assert.equal(slope([4, 1, 4]), 0)
  assert.equal(slope([8]), 0)
})

test('seeded numbers repeat, lie from 0 to below 1, and differ with the seed', () => {
  const take = (seed: number): number[] => {
    const next = seededNumbers(seed)
    return Array.from({ length: 1000 }, () => next())
  }
  const numbers = take(1)
  assert.deepEqual(numbers, take(1))
  assert.notDeepEqual(numbers, take(2))
  assert.ok(numbers.every((number) => number >= 0 && number < 1))
  assert.ok(new Set(numbers).size > 990)
})
