import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { StoredNote, UsageDocument, UsageEntry } from '../format/usage.ts'
import { asId, type SetId } from '../types.ts'
import { sumOfMonth } from './month.ts'

const set = asId<SetId>('5'.repeat(32))
const november = { month: '2026-11', days: 10 }

function noted(day: number, bytes: number, name = 'standard', hour = 12): StoredNote {
  const at = new Date(Date.UTC(2026, 10, day, hour)).toISOString()
  return { at, classes: [{ class: name, objects: 1, bytes }] }
}

function document(day: string, entry: Partial<UsageEntry>): UsageDocument {
  return {
    ...{ strata: 'usage', version: 1, day, process: '1'.repeat(32), part: 0, by: 'a test' },
    writtenAt: `${day}T12:00:00.000Z`,
    sets: [{ set, requests: {}, bytesSent: 0, bytesReceived: 0, ...entry }],
  }
}

test('what several processes have counted in the month is added up, set by set', () => {
  const sums = sumOfMonth(
    [
      document('2026-11-01', { requests: { put: 2, get: 1 }, bytesSent: 10 }),
      document('2026-11-01', { requests: { put: 3 }, bytesSent: 5, bytesReceived: 1 }),
      document('2026-11-09', { set: null, requests: { list: 4 } }),
      document('2026-10-31', { requests: { put: 100 } }),
    ],
    november,
  )
  const [ofSet, ofNone, ...more] = sums
  assert.deepEqual(more, [])
  assert.deepEqual([ofSet?.set, ofSet?.usage.requests.put, ofSet?.usage.requests.get], [set, 5, 1])
  assert.deepEqual([ofSet?.usage.bytesSent, ofSet?.usage.bytesReceived], [15, 1])
  assert.deepEqual([ofNone?.set, ofNone?.usage.requests.list, ofNone?.stored], [null, 4, {}])
})

test('a day that nobody has noted is as the nearest one before, or else after', () => {
  const [sum] = sumOfMonth(
    [document('2026-11-03', { stored: noted(3, 100) }), document('2026-11-07', { stored: noted(7, 200) })],
    november,
  )
  // Six days of 100, four of 200.
  assert.deepEqual(sum?.storedMean.standard?.bytes, 140)
  assert.deepEqual(sum.stored, { standard: { bytes: 200, objects: 1 } })
  assert.equal(sum.daysNoted, 2)
})

test('the latest note of a day counts, and what is stored now counts for today', () => {
  const documents = [
    document('2026-11-10', { stored: noted(10, 1, 'standard', 23) }),
    document('2026-11-10', { stored: noted(10, 2, 'standard', 1) }),
  ]
  assert.equal(sumOfMonth(documents, november)[0]?.stored.standard?.bytes, 1)
  const now = new Map([[set, { ...noted(10, 7, 'archive'), at: '2026-11-10T23:30:00.000Z' }]])
  const [sum] = sumOfMonth(documents, november, { now })
  assert.deepEqual(sum?.stored, { archive: { bytes: 7, objects: 1 } })
  assert.equal(sumOfMonth([], november, { now })[0]?.storedMean.archive?.bytes, 7)
})

test('before a set began it stored nothing', () => {
  const [sum] = sumOfMonth([document('2026-11-09', { stored: noted(9, 100) })], november, {
    began: new Map([[set, 8]]),
  })
  assert.equal(sum?.storedMean.standard?.bytes, 30)
})

test('a class that nobody knows is as the standard one', () => {
  const [sum] = sumOfMonth([document('2026-11-02', { stored: noted(2, 5, 'frozen-solid') })], november)
  assert.deepEqual(sum?.stored, { standard: { bytes: 5, objects: 1 } })
})

test('property: the mean lies between the least and the most that was noted', () => {
  const notes = fc.array(fc.tuple(fc.integer({ min: 1, max: 10 }), fc.nat(1000)), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(notes, (days) => {
      const [sum] = sumOfMonth(
        days.map(([day, bytes], index) =>
          document(`2026-11-${String(day).padStart(2, '0')}`, { stored: noted(day, bytes, 'standard', index) }),
        ),
        november,
      )
      const bytes = days.map(([, ofDay]) => ofDay)
      const mean = sum?.storedMean.standard?.bytes ?? 0
      assert.ok(mean >= Math.min(...bytes) - 1e-6 && mean <= Math.max(...bytes) + 1e-6)
    }),
  )
})
