import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { bucketName, bucketOf, endOfBucket, periods, wallMoment, type Period } from './buckets.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const at = (iso: string): number => {
  const ms = Date.parse(iso)
  assert.ok(!Number.isNaN(ms), iso)
  return ms
}

const named = (period: Period, zone: string, iso: string): string => bucketName(period, wallMoment(zone, at(iso)))

/** How many buckets there are in a time, looked at every ten minutes. */
function bucketsBetween(period: Period, zone: string, from: string, to: string): number {
  const buckets = new Set<number>()
  for (let ms = at(from); ms < at(to); ms += 10 * minuteMs) buckets.add(bucketOf(period, wallMoment(zone, ms)))
  return buckets.size
}

test('names, in the time zone', () => {
  const late = '2026-12-31T23:30Z'
  assert.deepEqual(
    periods.map((period) => named(period, 'Europe/Berlin', late)),
    ['2027-01-01 00:00 +01:00', '2027-01-01', '2026-W53', '2027-01', '2027'],
  )
  assert.deepEqual(
    periods.map((period) => named(period, 'America/New_York', late)),
    ['2026-12-31 18:00 -05:00', '2026-12-31', '2026-W53', '2026-12', '2026'],
  )
  assert.equal(named('hourly', 'Asia/Kathmandu', '2026-06-01T00:00Z'), '2026-06-01 05:00 +05:45')
})

test('weeks begin on Monday, and have the year of their Thursday', () => {
  assert.equal(named('weekly', 'UTC', '2026-10-25T23:59Z'), '2026-W43')
  assert.equal(named('weekly', 'UTC', '2026-10-26T00:00Z'), '2026-W44')
  assert.equal(named('weekly', 'UTC', '2027-01-03T12:00Z'), '2026-W53')
  assert.equal(named('weekly', 'UTC', '2024-12-30T12:00Z'), '2025-W01')
})

test('an hour that comes twice is two buckets, and one that is left out is none', () => {
  assert.equal(named('hourly', 'Europe/Berlin', '2026-10-25T00:30Z'), '2026-10-25 02:00 +02:00')
  assert.equal(named('hourly', 'Europe/Berlin', '2026-10-25T01:30Z'), '2026-10-25 02:00 +01:00')
  assert.equal(bucketsBetween('hourly', 'Europe/Berlin', '2026-10-24T22:00Z', '2026-10-25T23:00Z'), 25)
  assert.equal(bucketsBetween('hourly', 'Europe/Berlin', '2026-03-28T23:00Z', '2026-03-29T22:00Z'), 23)
  // Half an hour comes twice there: a bucket of its own.
  assert.equal(named('hourly', 'Australia/Lord_Howe', '2026-04-04T14:30Z'), '2026-04-05 01:00 +11:00')
  assert.equal(named('hourly', 'Australia/Lord_Howe', '2026-04-04T15:00Z'), '2026-04-05 01:00 +10:30')
  assert.equal(bucketsBetween('hourly', 'Australia/Lord_Howe', '2026-04-04T13:00Z', '2026-04-05T13:30Z'), 25)
})

test('a day that a country leaves out is in no bucket', () => {
  assert.equal(named('daily', 'Pacific/Apia', '2011-12-30T09:59Z'), '2011-12-29')
  assert.equal(named('daily', 'Pacific/Apia', '2011-12-30T10:00Z'), '2011-12-31')
  assert.equal(bucketsBetween('daily', 'Pacific/Apia', '2011-12-26T10:00Z', '2012-01-01T10:00Z'), 6)
})

// Zones whose clocks were set back across midnight (St. John's, until 2011) have days in two pieces.
const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Santiago',
  'America/Havana',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Asia/Kathmandu',
]
const near = [at('2026-03-29T01:00Z'), at('2026-10-04T15:00Z'), at('2026-04-05T03:00Z'), at('2011-12-30T10:00Z')]
const instant = fc.oneof(
  fc.integer({ min: at('2011-01-01T00:00Z'), max: at('2060-01-01T00:00Z') }),
  fc.tuple(fc.constantFrom(...near), fc.integer({ min: -2 * dayMs, max: 2 * dayMs })).map(([ms, by]) => ms + by),
)

test('whatever the moment: its bucket ends after it, with the first instant of a later one', () => {
  fc.assert(
    fc.property(fc.constantFrom(...zones), fc.constantFrom(...periods), instant, (zone, period, ms) => {
      const bucket = bucketOf(period, wallMoment(zone, ms))
      const endMs = endOfBucket(period, zone, bucket)
      assert.ok(endMs > ms)
      assert.equal(bucketOf(period, wallMoment(zone, endMs - 1)), bucket)
      assert.ok(bucketOf(period, wallMoment(zone, endMs)) > bucket)
    }),
    { numRuns: 2000 },
  )
})

test('buckets are in the order of their moments', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.constantFrom(...periods),
      instant,
      fc.nat(3 * dayMs),
      (zone, period, ms, by) => {
        const [before, after] = [ms, ms + by].map((momentMs) => bucketOf(period, wallMoment(zone, momentMs)))
        assert.ok(before !== undefined && after !== undefined && before <= after)
      },
    ),
    { numRuns: 2000 },
  )
})
