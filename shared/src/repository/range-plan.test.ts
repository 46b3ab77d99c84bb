import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planReads, type WantedRange } from './range-plan.ts'

const limits = { readBytesMax: 100, gapBytesMax: 10 }
const range = (object: string, offset: number, length: number): WantedRange => ({ object, offset, length })
const planned = (ranges: readonly WantedRange[]): (readonly [string, number, number, number])[] =>
  planReads(ranges, limits).map((read) => [read.object, read.offset, read.length, read.wanted.length] as const)

test('nothing wanted, nothing read', () => {
  assert.deepEqual(planReads([], limits), [])
})

test('neighbours become one read, in whatever order they are wanted', () => {
  assert.deepEqual(planned([range('a', 20, 10), range('a', 0, 10), range('a', 10, 10)]), [['a', 0, 30, 3]])
})

test('a small gap is read along, a larger one is not', () => {
  assert.deepEqual(planned([range('a', 0, 10), range('a', 20, 10)]), [['a', 0, 30, 2]])
  assert.deepEqual(planned([range('a', 0, 10), range('a', 21, 10)]), [
    ['a', 0, 10, 1],
    ['a', 21, 10, 1],
  ])
})

test('a read ends where it would grow too long', () => {
  assert.deepEqual(planned([range('a', 0, 60), range('a', 60, 40), range('a', 100, 1)]), [
    ['a', 0, 100, 2],
    ['a', 100, 1, 1],
  ])
})

test('a range longer than a read may be is read alone', () => {
  assert.deepEqual(planned([range('a', 0, 500), range('a', 500, 5)]), [
    ['a', 0, 500, 1],
    ['a', 500, 5, 1],
  ])
})

test('one range that is wanted twice, or lies in another, is read once', () => {
  assert.deepEqual(planned([range('a', 5, 10), range('a', 5, 10)]), [['a', 5, 10, 2]])
  assert.deepEqual(planned([range('a', 0, 50), range('a', 10, 10), range('a', 45, 10)]), [['a', 0, 55, 3]])
})

test('objects are read apart, in the order in which they were first wanted', () => {
  const wanted = [range('b', 0, 5), range('a', 0, 5), range('b', 50, 5), range('a', 5, 5)]
  assert.deepEqual(planned(wanted), [
    ['b', 0, 5, 1],
    ['a', 0, 10, 2],
    ['b', 50, 5, 1],
  ])
})

test('property: every range lies whole in exactly one read, and no read is longer or emptier than it may be', () => {
  const anyRange = fc.record(
    { object: fc.constantFrom('a', 'b', 'c'), offset: fc.nat(1000), length: fc.integer({ min: 1, max: 130 }) },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(anyRange, { maxLength: 60 }), (ranges) => {
      const reads = planReads(ranges, limits)
      const seen = reads.flatMap(({ wanted }) => wanted)
      assert.equal(seen.length, ranges.length)
      assert.deepEqual(new Set(seen), new Set(ranges))
      let lastFirst = -1
      for (const { object, offset, length, wanted } of reads) {
        let covered = offset
        for (const each of wanted) {
          assert.ok(each.object === object && each.offset >= offset && each.offset + each.length <= offset + length)
          assert.ok(each.offset - covered <= limits.gapBytesMax)
          covered = Math.max(covered, each.offset + each.length)
        }
        assert.equal(covered, offset + length)
        assert.ok(length <= limits.readBytesMax || wanted.some((each) => each.length === length))
        const first = Math.min(...wanted.map((each) => ranges.indexOf(each)))
        assert.ok(first > lastFirst)
        lastFirst = first
      }
    }),
  )
})
