import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, seededNumbers } from './statistics.ts'

test('the median is the middle one, whatever the order', () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(median([7]), 7)
  assert.throws(() => median([]), /no values/)
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
