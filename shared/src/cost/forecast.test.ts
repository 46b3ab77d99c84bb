import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { forecastMonthsMax } from '../limits.ts'
import { readPolicy, type Policy } from '../policy/policy.ts'
import { dayMs } from '../policy/wall-time.ts'
import { forecast, type Forecast, type ForecastInput } from './forecast.ts'
import type { ForecastMonth } from './foreseen-months.ts'
import type { ProfilePoint, SetProfile } from './foreseen-set.ts'
import { requestKinds } from '../format/usage.ts'
import { listPrices } from './price-table.ts'

const GiB = 2 ** 30
const MiB = 2 ** 20
const nowMs = Date.UTC(2026, 10, 20, 12)
const set: SetProfile = { name: 'a', points: [], fullBytes: 100 * GiB, incrementBytes: GiB, objectBytes: 32 * MiB }

const policyOf = (members: object): Policy =>
  readPolicy({ strata: 'policy', version: 1, schedule: { cron: '0 2 * * *' }, ...members }).policy
/** No run comes within the years of these tests. */
const never = { schedule: { cron: '0 0 29 2 *' }, chain: { maxAge: '3660d', deadShare: 100 } }

const foresee = (policy: Policy, more: Partial<ForecastInput> = {}): Forecast =>
  forecast({ policy, sets: [set], table: listPrices(), provider: 's3', nowMs, months: 12, sameRegion: true, ...more })

/** One chain, of a full and increments, a day apart, the newest a day ago. */
const chainOf = (count: number, sizes: { fullBytes: number; incrementBytes: number }): ProfilePoint[] =>
  Array.from({ length: count }, (_, index) => {
    const momentMs = nowMs - (count - index) * dayMs
    return {
      id: String(index + 1),
      sequence: index + 1,
      momentMs,
      createdAt: new Date(momentMs).toISOString(),
      isCopy: false,
      state: 'complete' as const,
      chain: 'one',
      storedBytes: index === 0 ? sizes.fullBytes : sizes.incrementBytes,
      objects: index === 0 ? 3200 : 32,
      lock: undefined,
      isNotLocked: false,
    }
  })

const bytesOf = ({ bytesByClass }: ForecastMonth): number =>
  Object.values(bytesByClass).reduce((sum, bytes) => sum + bytes, 0)

const near = (actual: number, expected: number): void => {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.max(1, expected), `${String(actual)}, not ${String(expected)}`)
}

test('months are the rest of this one, and whole ones after it', () => {
  const { months, currency, provider } = foresee(policyOf({}), { months: 3 })
  assert.deepEqual(
    months.map(({ month, days }) => [month, days]),
    [
      ['2026-11', 10.5],
      ['2026-12', 31],
      ['2027-01', 31],
      ['2027-02', 28],
    ],
  )
  assert.deepEqual([currency, provider], ['USD', 's3'])
  for (const wrong of [0, forecastMonthsMax + 1, 1.5, Number.NaN]) {
    assert.throws(() => foresee(policyOf({}), { months: wrong }), { code: 'E_USAGE' })
  }
})

test('a full and increments of a few days, reckoned by hand', () => {
  const { months } = foresee(policyOf({ retention: { last: 3, undoWindow: '1d' } }), { months: 1 })
  const [november] = months
  assert.ok(november)
  // Runs on the 21st to the 30th. Three are kept; one is marked and waits for its day, and the turn comes before the run.
  assert.equal(november.points, 5)
  // All are of one chain, so what went is still needed, as far as is known.
  assert.equal(bytesOf(november), 109 * GiB)
  assert.equal(november.requests.put, 3200 + 9 * 32 + 10 * 3)
  assert.deepEqual([november.requests.copy, november.requests.lock, november.requests.tag], [0, 0, 0])
  assert.equal(november.moved.inBytes, 109 * GiB)
  const gibDays = Array.from({ length: 10 }, (_, index) => 100 + index).reduce((sum, gib) => sum + gib, 0)
  near(november.cost.storage, (gibDays / 30) * 0.023)
  assert.equal(november.cost.moved, 0)
})

test('what is verified is read once in the days of the policy, and moved unless that is in the region', () => {
  const points = chainOf(3, set)
  const policy = policyOf({ ...never, retention: { last: 10 }, verification: { everyDays: 10 } })
  const [, december] = foresee(policy, { sets: [{ ...set, points }], months: 1, sameRegion: false }).months
  assert.ok(december)
  near(december.moved.outBytes, 102 * GiB * 3.1)
  // Each object is read in ranges of 8 MiB.
  near(december.requests.get, (3200 * 4 + 64 * 4) * 3.1)
  near(december.cost.moved, 102 * 3.1 * 0.09)
})

test('with no runs there is nothing but decay, and the first month has what is there', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 60 }), fc.integer({ min: 1, max: 10 }), (count, last) => {
      const points = chainOf(count, set)
      const { months } = foresee(policyOf({ ...never, retention: { last } }), { sets: [{ ...set, points }] })
      const [first] = months
      assert.equal(first && bytesOf(first), (100 + count - 1) * GiB)
      months.reduce((before, after) => {
        assert.ok(bytesOf(after) <= bytesOf(before) && after.points <= before.points)
        return after
      })
      assert.equal(months.at(-1)?.points, Math.min(count, last))
      for (const { requests, moved } of months)
        assert.deepEqual([requests.put, requests.copy, moved.inBytes], [0, 0, 0])
    }),
    { numRuns: 20 },
  )
})

const counts = fc.record({
  last: fc.integer({ min: 1, max: 5 }),
  hourly: fc.nat({ max: 24 }),
  daily: fc.nat({ max: 14 }),
  weekly: fc.nat({ max: 6 }),
  monthly: fc.nat({ max: 4 }),
})
const chains = fc.record({
  maxPoints: fc.integer({ min: 2, max: 60 }),
  maxAge: fc.constantFrom('5d', '30d', '180d'),
  deadShare: fc.constantFrom(10, 100),
})
const schedules = fc.constantFrom<object>(
  { every: '6h' },
  { every: '1d' },
  { cron: '30 2 * * 1-5', timeZone: 'Europe/Berlin' },
)
const profiles: fc.Arbitrary<SetProfile> = fc
  .record({
    fullBytes: fc.integer({ min: 1, max: 2 ** 40 }),
    incrementBytes: fc.integer({ min: 1, max: 2 ** 36 }),
    existing: fc.nat({ max: 20 }),
  })
  .map(({ existing, ...sizes }) => ({ name: 'a', objectBytes: 30 * MiB, points: chainOf(existing, sizes), ...sizes }))

test('never is less stored than the newest chain begins with', () => {
  fc.assert(
    fc.property(counts, chains, schedules, profiles, (retention, chain, schedule, profile) => {
      const { months } = foresee(policyOf({ schedule, retention, chain }), { sets: [profile], months: 6 })
      for (const month of months) {
        assert.ok(bytesOf(month) >= profile.fullBytes && month.points > 0)
        assert.ok(Object.values(month.cost).every((amount) => amount >= 0))
      }
    }),
    { numRuns: 40 },
  )
})

test('a policy that keeps more never costs less storage', () => {
  fc.assert(
    fc.property(counts, counts, chains, schedules, profiles, (retention, more, limits, schedule, profile) => {
      // What nothing needs ends a chain sooner where less is kept.
      const chain = { ...limits, deadShare: 100 }
      const add = (rule: keyof typeof more): number => retention[rule] + more[rule]
      const kept = {
        last: add('last'),
        hourly: add('hourly'),
        daily: add('daily'),
        weekly: add('weekly'),
        monthly: add('monthly'),
      }
      const monthsOf = (of: object): readonly ForecastMonth[] =>
        foresee(policyOf({ schedule, retention: of, chain }), { sets: [profile], months: 6 }).months
      const [less, larger] = [monthsOf(retention), monthsOf(kept)]
      less.forEach((month, index) => {
        const other = larger[index]
        assert.ok(other !== undefined && bytesOf(other) >= bytesOf(month) && other.points >= month.points)
        assert.ok(other.cost.storage >= month.cost.storage * (1 - 1e-9))
      })
    }),
    { numRuns: 40 },
  )
})

test('a chain that is full ends with a synthetic full, which the store copies', () => {
  const policy = policyOf({ retention: { last: 5 }, chain: { maxPoints: 10, deadShare: 100 } })
  const { months } = foresee(policy, { months: 2 })
  const copies = months.reduce((sum, { requests }) => sum + requests.copy, 0)
  // Ten runs until the 30th; then the full of a chain and nine runs more, until it has ten points.
  assert.equal(copies, 3200 * (1 + Math.floor((31 + 31 - 1) / 9)))
  // The endpoint sends its full once.
  assert.equal(
    months.reduce((sum, { moved }) => sum + moved.inBytes, 0),
    (100 + 10 - 1 + 31 + 31) * GiB,
  )
  // The chain before goes whole, when the undo window and the life of what is retired are over.
  const last = months.at(-1)
  assert.ok(last !== undefined)
  assert.ok(bytesOf(last) <= 330 * GiB, String(bytesOf(last) / GiB))
  assert.ok(last.requests.tag >= 3 * 401, String(last.requests.tag))
})

test('what is locked stays until the horizon of its chain, and each object is locked once', () => {
  const members = { retention: { last: 3 }, chain: { maxAge: '10d', deadShare: 100 } }
  const locked = foresee(policyOf({ ...members, immutability: { mode: 'compliance', days: 40 } }))
  const free = foresee(policyOf(members))
  locked.months.forEach((month, index) => {
    const other = free.months[index]
    assert.ok(other !== undefined && bytesOf(month) >= bytesOf(other) && month.requests.lock > 0)
    assert.equal(other.requests.lock, 0)
  })
  const sum = (kind: 'lock' | 'copy'): number => locked.months.reduce((total, month) => total + month.requests[kind], 0)
  const days = (Date.UTC(2027, 11) - nowMs - dayMs / 2) / dayMs
  assert.equal(sum('lock'), 3200 + (days - 1) * 32 + (sum('copy') / 3200) * (3200 + 401))
  // Chains of ten days are there for 10 + 40 + 7 days, and one is being written.
  const last = locked.months.at(-1)
  assert.ok(
    last !== undefined && bytesOf(last) >= 5 * 108 * GiB && bytesOf(last) <= 8 * 111 * GiB,
    String(last && bytesOf(last) / GiB),
  )
  const directory = foresee(policyOf({ ...members, immutability: { mode: 'compliance', days: 40 } }), {
    provider: 'directory',
  })
  assert.equal(directory.total.total, 0)
  assert.ok(directory.assumptions.some((text) => text.includes('no locks')))
})

test('a lock outlives the points of a chain that ended early', () => {
  const members = { retention: { last: 3 }, chain: { maxPoints: 5, maxAge: '60d', deadShare: 100 } }
  const bytesWith = (more: object): number =>
    foresee(policyOf({ ...members, ...more }))
      .months.map(bytesOf)
      .at(-1) ?? 0
  // A chain begins each fourth day, and is there for 60 + 10 + 7 days, but without a lock not even for 20.
  assert.ok(bytesWith({ immutability: { mode: 'governance', days: 10 } }) >= 18 * 104 * GiB)
  assert.ok(bytesWith({}) <= 5 * 104 * GiB)
})

test('a chain ends when nothing needs so much of what it has stored', () => {
  const copies = (deadShare: number): number =>
    foresee(policyOf({ retention: { last: 1 }, chain: { deadShare } }), { months: 2 }).months.reduce(
      (sum, { requests }) => sum + requests.copy,
      0,
    )
  assert.equal(copies(100), 0)
  // Eight points or so are there, marked ones among them; at 20 increments a tenth of all is dead.
  assert.equal(copies(10), 3 * 3200)
})

test('points that are gone count for their chain, and those that are marked go when they are due', () => {
  const points = chainOf(5, set).map((point, index) => ({
    ...point,
    isGone: index === 0,
    ...(index === 1 ? { dueMs: nowMs + dayMs } : {}),
  }))
  const policy = policyOf({ ...never, retention: { last: 3 } })
  const [first] = foresee(policy, { sets: [{ ...set, points }] }).months
  assert.ok(first)
  assert.deepEqual([first.points, bytesOf(first)], [3, 104 * GiB])
  const old = [
    ...chainOf(3, set).map((point) => ({ ...point, isGone: true })),
    ...chainOf(2, set).map((point, index) => ({ ...point, chain: 'two', sequence: 4 + index, id: String(4 + index) })),
  ]
  const [without] = foresee(policy, { sets: [{ ...set, points: old }] }).months
  assert.equal(without && bytesOf(without), 101 * GiB)
})

test('points that have stored nothing are points all the same', () => {
  const points = chainOf(3, { fullBytes: 0, incrementBytes: 0 }).map((point) => ({ ...point, objects: 0 }))
  const [first] = foresee(policyOf(never), { sets: [{ ...set, points }] }).months
  assert.deepEqual([first?.points, first?.cost.total], [3, 0])
  assert.throws(() => foresee(policyOf(never), { sets: [{ ...set, objectBytes: 0 }] }), { code: 'E_BUG' })
})

test('what is held stays', () => {
  const points = chainOf(9, set)
  const holds = { points: new Map([[2, 'a lawsuit']]) }
  const last = foresee(policyOf({ ...never, retention: { last: 1 } }), { sets: [{ ...set, points, holds }] }).months.at(
    -1,
  )
  assert.equal(last?.points, 2)
})

test('several sets are the sum of each, and sets of which the same is known have the same future', () => {
  const other = {
    ...set,
    name: 'b',
    fullBytes: 7 * GiB,
    points: chainOf(4, { fullBytes: 7 * GiB, incrementBytes: GiB }),
  }
  const { sets, months, total } = foresee(policyOf({}), { sets: [set, other, { ...set, name: 'c' }] })
  assert.deepEqual(
    sets.map(({ name }) => name),
    ['a', 'b', 'c'],
  )
  assert.deepEqual(sets[0]?.months, sets[2]?.months)
  near(
    total.total,
    sets.reduce((sum, one) => sum + one.total.total, 0),
  )
  months.forEach((month, index) => {
    const ofSets = sets.flatMap((one) => one.months[index] ?? [])
    near(
      bytesOf(month),
      ofSets.reduce((sum, one) => sum + bytesOf(one), 0),
    )
    for (const kind of requestKinds)
      near(
        month.requests[kind],
        ofSets.reduce((sum, one) => sum + one.requests[kind], 0),
      )
    near(month.cost.total, month.cost.storage + month.cost.requests + month.cost.moved)
  })
  assert.deepEqual(foresee(policyOf({}), { sets: [] }).total, { storage: 0, requests: 0, moved: 0, total: 0 })
})

test('colder classes cost less storage where objects stay, and it is said where they cannot be had', () => {
  const members = { retention: { monthly: 12, last: 1 }, chain: { maxAge: '30d', deadShare: 100 } }
  const storageClass = [{ afterDays: 60, class: 'archive' }]
  const [warm, cold] = [foresee(policyOf(members)), foresee(policyOf({ ...members, storageClass }))]
  const last = cold.months.at(-1)
  assert.ok(last !== undefined && last.bytesByClass.archive > 500 * GiB)
  assert.equal(bytesOf(last), warm.months.map(bytesOf).at(-1))
  assert.ok(cold.total.storage < warm.total.storage)
  const azure = foresee(policyOf({ ...members, storageClass }), { provider: 'azure' })
  assert.ok(azure.assumptions.some((text) => text.includes('storageClass has no effect')))
})
