import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { zeroTaskBytesMax, zeroTaskRangesMax } from '@strata/shared/limits.ts'
import { ZeroRanges } from './zero-ranges.ts'

const piece = fc.record({ gap: fc.nat({ max: 3 }), length: fc.integer({ min: 1, max: 5 }) })
const unit = zeroTaskBytesMax / 4

test('property: the tasks cover what was added, once, within the target, in bounded tasks', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.nat({ max: 200 }), (pieces, targetUnits) => {
      const targetBytes = targetUnits * unit
      const ranges = new ZeroRanges(targetBytes)
      const expected = new Set<number>()
      let at = 0
      for (const { gap, length } of pieces) {
        at += gap
        ranges.add(at * unit, length * unit)
        for (let i = at; i < at + length && i < targetUnits; i += 1) expected.add(i)
        at += length
      }
      const covered: number[] = []
      for (const task of ranges.take()) {
        let bytes = 0
        for (let i = 0; i < task.length; i += 2) {
          const [offset = 0, length = 0] = task.subarray(i, i + 2)
          for (let unitAt = offset; unitAt < offset + length; unitAt += unit) covered.push(unitAt / unit)
          bytes += length
        }
        assert.ok(bytes <= zeroTaskBytesMax && task.length <= 2 * zeroTaskRangesMax)
      }
      assert.deepEqual(covered, [...expected])
      assert.deepEqual(ranges.take(), [])
    }),
  )
})

test('neighbours become one range', () => {
  const ranges = new ZeroRanges(1000)
  ranges.add(0, 10)
  ranges.add(10, 10)
  ranges.add(30, 10)
  assert.deepEqual(
    ranges.take().map((task) => [...task]),
    [[0, 20, 30, 10]],
  )
})
