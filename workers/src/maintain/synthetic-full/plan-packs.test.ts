import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { copiedDeadShareMax, copiedThroughWorkerBytesMax } from '@strata/shared/limits.ts'
import type { CopyRules } from '@strata/shared/store/object-store.ts'
import { asId, type SessionId } from '@strata/shared/types.ts'
import { planPacks, type LiveRecord, type PackPlan } from './plan-packs.ts'

const MiB = 2 ** 20
const s3: CopyRules = { rangeBytesMin: 5 * MiB, rangeBytesMax: 5 * 2 ** 30, rangesMax: 9999, gapBytesMax: 0 }
const exact: CopyRules = { ...s3, rangeBytesMin: 1 }

function record(block: number, pack: number, offset: number, length: number): LiveRecord {
  const session = asId<SessionId>(String(pack).padStart(32, '0'))
  return {
    block,
    digest: new Uint8Array(32),
    place: { pack: { session, number: 0, attempt: '0'.repeat(16) }, offset, length },
  }
}

/** Records of one length, one behind the other in one pack, without those at the given places. */
function packOf(count: number, length: number, dead: ReadonlySet<number>): LiveRecord[] {
  const all = Array.from({ length: count }, (_, block) => record(block, 1, block * length, length))
  return all.filter(({ block }) => !dead.has(block))
}

function bytesOf(records: readonly LiveRecord[]): number {
  return records.reduce((sum, { place }) => sum + place.length, 0)
}

/** What of all records passes through the worker. */
function fetchedShare(plans: readonly PackPlan[]): number {
  const fetched = plans.reduce((sum, plan) => sum + bytesOf(plan.fetched), 0)
  return fetched / plans.reduce((sum, plan) => sum + bytesOf(plan.records), 0)
}

test('a pack in which everything lives is copied in one range', () => {
  const [plan, more] = planPacks(packOf(256, 80_000, new Set()), s3)
  assert.equal(more, undefined)
  assert.deepEqual(
    plan?.ranges.map(({ offset, length, records }) => [offset, length, records.length]),
    [[0, 256 * 80_000, 256]],
  )
  assert.deepEqual(plan.fetched, [])
})

test('where a range may be short, no dead byte is copied; where it must be long, a few are', () => {
  const records = packOf(256, 80_000, new Set([10, 11, 100]))
  const exactly = planPacks(records, exact).flatMap(({ ranges }) => ranges)
  assert.deepEqual(
    exactly.map(({ offset, length }) => [offset / 80_000, length / 80_000]),
    [
      [0, 10],
      [12, 88],
      [101, 155],
    ],
  )
  const long = planPacks(records, s3).flatMap(({ ranges }) => ranges)
  assert.deepEqual(
    long.map(({ offset, length, records: live }) => [offset, length / 80_000, live.length]),
    [[0, 256, 253]],
  )
})

test('what lies alone among the dead passes through the worker', () => {
  // Every second record is dead: no run is long, or else half of it would be dead.
  const plans = planPacks(packOf(512, 80_000, new Set(Array.from({ length: 256 }, (_, index) => 2 * index))), s3)
  assert.equal(fetchedShare(plans), 1)
  assert.ok(plans.every((plan) => bytesOf(plan.fetched) <= copiedThroughWorkerBytesMax))
})

test('of packs with one dead block in a hundred nearly nothing passes through the worker', () => {
  let seed = 1
  const isDead = (): boolean => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % 100 === 0
  }
  const dead = new Set(Array.from({ length: 3000 }, (_, block) => block).filter(isDead))
  assert.ok(dead.size > 20 && dead.size < 40, String(dead.size))
  assert.ok(fetchedShare(planPacks(packOf(3000, 80_000, dead), s3)) < 0.1)
})

test('where the store may share bytes, ranges lie in the new pack as in the old one, at little cost', () => {
  const records = packOf(1000, 80_001, new Set([10, 11, 100, 500, 501]))
  const plans = planPacks(records, { ...exact, sharedBytes: 4096 })
  let copied = 0
  for (const { ranges } of plans) {
    let target = 0
    for (const { offset, length, records: inRange } of ranges) {
      assert.equal((offset - target) % 4096, 0)
      assert.ok(offset <= (inRange[0]?.place.offset ?? 0) && offset > (inRange[0]?.place.offset ?? 0) - 4096)
      target += length
      copied += length
    }
  }
  assert.ok(copied < bytesOf(records) * 1.001, String(copied))
})

test('short ranges are not made longer for it', () => {
  const records = [record(0, 1, 100, 8000), record(1, 1, 50_000, 8000)]
  const ranges = planPacks(records, { ...exact, sharedBytes: 4096 }).flatMap((plan) => plan.ranges)
  assert.deepEqual(
    ranges.map(({ offset, length }) => [offset, length]),
    [
      [0, 8100],
      [50_000, 8000],
    ],
  )
})

test('a store that copies nothing: everything passes through the worker, in packs that fit its memory', () => {
  const plans = planPacks(packOf(1000, 80_000, new Set()), undefined)
  assert.equal(plans.length, 4)
  assert.deepEqual(
    plans.flatMap(({ records }) => records.map(({ block }) => block)),
    Array.from({ length: 1000 }, (_, block) => block),
  )
})

test('property: every record comes exactly once, in a range that holds it or through the worker', () => {
  const anyRecord = fc.record({
    pack: fc.nat(3),
    gapBytes: fc.nat(3 * MiB),
    length: fc.integer({ min: 100, max: 4 * MiB }),
  })
  fc.assert(
    fc.property(
      fc.array(anyRecord, { maxLength: 200 }),
      fc.constantFrom(s3, exact, { ...exact, sharedBytes: 4096 }, undefined),
      (parts, rules) => {
        const ends = [0, 0, 0, 0]
        const records = parts.map(({ pack, gapBytes, length }, block) => {
          const offset = (ends[pack] ?? 0) + gapBytes
          ends[pack] = offset + length
          return record(block, pack, offset, length)
        })
        const plans = planPacks(records, rules)
        assert.deepEqual(
          plans.flatMap((plan) => plan.records),
          records,
        )
        for (const plan of plans) checkPlan(plan, rules)
      },
    ),
  )
})

function checkPlan(plan: PackPlan, rules: CopyRules | undefined): void {
  const brought = [...plan.ranges.flatMap((range) => range.records), ...plan.fetched]
  assert.deepEqual(new Set(brought), new Set(plan.records))
  assert.equal(brought.length, plan.records.length)
  assert.ok(plan.records.length < 2 || bytesOf(plan.fetched) <= copiedThroughWorkerBytesMax)
  for (const { offset, length, records, pack } of plan.ranges) {
    assert.ok(rules !== undefined && length >= rules.rangeBytesMin && length <= rules.rangeBytesMax)
    const liveBytes = bytesOf(records)
    assert.ok(length - liveBytes <= (rules === exact ? 0 : liveBytes * copiedDeadShareMax))
    for (const { place } of records) {
      assert.deepEqual(place.pack, pack)
      assert.ok(place.offset >= offset && place.offset + place.length <= offset + length)
    }
  }
}
