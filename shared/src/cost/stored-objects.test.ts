import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { readPolicy, type Policy } from '../policy/policy.ts'
import { dayMs } from '../policy/wall-time.ts'
import { Agenda } from './agenda.ts'
import { classMovesOf } from './class-moves.ts'
import { storedClasses } from '../format/storage-class.ts'
import { listPrices, pricesOf } from './price-table.ts'
import { StoredObjects } from './stored-objects.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
const startMs = Date.UTC(2026, 0, 10)
const day = (count: number): number => startMs + count * dayMs
const s3 = pricesOf(listPrices(), 's3')

const policyWith = (members: object): Policy =>
  readPolicy({ strata: 'policy', version: 1, schedule: { every: '1d' }, chain: { maxAge: '30d' }, ...members }).policy
const cold = policyWith({
  storageClass: [
    { afterDays: 30, class: 'infrequent' },
    { afterDays: 90, class: 'archive' },
  ],
})
const storeOf = (policy: Policy): StoredObjects => new StoredObjects(s3, classMovesOf(policy, 's3', s3), startMs)

test('large objects grow colder with age, smaller ones only to where they can be read, and the smallest not at all', () => {
  const stored = storeOf(cold)
  stored.add(10 * GiB, 40, startMs)
  stored.add(10 * GiB, 1000, startMs)
  stored.add(1 * MiB, 100, startMs)
  const bytes = () => storedClasses.map((storedClass) => stored.totals[storedClass].bytes)
  stored.pass(day(29))
  assert.deepEqual(bytes(), [20 * GiB + MiB, 0, 0, 0, 0])
  const { moves } = stored.pass(day(30))
  assert.deepEqual(bytes(), [MiB, 20 * GiB, 0, 0, 0])
  assert.ok(Math.abs(moves - (1040 * 0.01) / 1000) < 1e-12)
  const { earlyLeaves } = stored.pass(day(90))
  assert.deepEqual(bytes(), [MiB, 10 * GiB, 0, 10 * GiB, 0])
  assert.equal(earlyLeaves, 0)
  // What is frozen cannot be verified.
  assert.equal(stored.totals.archive.checkedBytes, 0)
})

test('what is old when the forecast begins is where the rules have put it', () => {
  const stored = storeOf(cold)
  stored.add(GiB, 4, day(-45))
  stored.add(GiB, 4, day(-100))
  assert.deepEqual([stored.totals.infrequent.bytes, stored.totals.archive.bytes], [GiB, GiB])
  assert.equal(stored.pass(startMs).moves, 0)
})

test('what is deleted before its least days are over is billed for the rest of them', () => {
  const stored = storeOf(cold)
  const batch = stored.add(30 * GiB, 120, startMs)
  stored.pass(day(30))
  stored.retire(batch, day(40))
  assert.equal(stored.totals.infrequent.checkedBytes, 0)
  const { earlyLeaves } = stored.pass(day(40))
  assert.ok(Math.abs(earlyLeaves - (30 * 0.0125 * 20) / 30) < 1e-12)
  assert.deepEqual(stored.totals.infrequent, { bytes: 0, objects: 0, billedBytes: 0, checkedBytes: 0, checkReads: 0 })
  assert.deepEqual(stored.pass(day(400)), { moves: 0, earlyLeaves: 0 })
})

test('rules that a store cannot have move nothing, and it is said why', () => {
  const prices = pricesOf(listPrices(), 'azure')
  const { problem, ofObjects } = classMovesOf(cold, 'azure', prices)
  assert.match(problem ?? '', /rules of Azure know no size/)
  assert.deepEqual(ofObjects(GiB), [])
  assert.match(classMovesOf(cold, 'directory', prices).problem ?? '', /no storage classes/)
  const readable = policyWith({ storageClass: [{ afterDays: 30, class: 'archive-instant' }] })
  assert.equal(classMovesOf(readable, 'azure', prices).ofObjects(1).length, 1)
})

test('whatever is added and retired: nothing is lost on the way, and in the end nothing is there', () => {
  const batches = fc.array(
    fc.record({
      objects: fc.integer({ min: 1, max: 1000 }),
      objectBytes: fc.integer({ min: 1, max: GiB }),
      from: fc.integer({ min: -200, max: 100 }),
      life: fc.nat({ max: 300 }),
    }),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(batches, (made) => {
      const stored = storeOf(cold)
      for (let now = 0; now <= 420; now += 1) {
        for (const { objects, objectBytes, from, life } of made) {
          if (Math.max(0, from) !== now) continue
          const batch = stored.add(objects * objectBytes, objects, day(from))
          stored.retire(batch, day(now + life))
        }
        stored.pass(day(now))
        const there = made.filter(({ from, life }) => Math.max(0, from) <= now && now < Math.max(0, from) + life)
        const totals = storedClasses.map((storedClass) => stored.totals[storedClass])
        const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
        assert.equal(sum(totals.map(({ bytes }) => bytes)), sum(there.map((one) => one.objects * one.objectBytes)))
        assert.equal(sum(totals.map(({ objects }) => objects)), sum(there.map(({ objects }) => objects)))
        assert.ok(totals.every(({ billedBytes, bytes }) => billedBytes >= bytes))
      }
    }),
    { numRuns: 30 },
  )
})

test('an agenda tells of each thing once, at the first look at its time or after it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -5 * dayMs, max: 20 * dayMs })),
      fc.nat({ max: dayMs - 1 }),
      (times, intoDay) => {
        const fromMs = startMs + intoDay
        const agenda = new Agenda<number>(fromMs)
        for (const time of times) agenda.add(startMs + time, startMs + time)
        const told: number[] = []
        let beforeMs = -Infinity
        for (const lookMs of [fromMs, ...Array.from({ length: 21 }, (_, index) => day(index + 1))]) {
          for (const atMs of agenda.due(lookMs)) {
            assert.ok(atMs <= lookMs && atMs > beforeMs)
            told.push(atMs - startMs)
          }
          beforeMs = lookMs
        }
        assert.deepEqual(
          told.sort((a, b) => a - b),
          times.sort((a, b) => a - b),
        )
      },
    ),
  )
})
