import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import type { Id } from '../types.ts'
import { parseCron, type CronTimes } from './cron.ts'
import { jitterOf, lastRun, missedRuns, nextRun, type CronSchedule, type IntervalSchedule } from './schedule.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const endpoint: Id = '0'.repeat(32)

const at = (iso: string): number => {
  const ms = Date.parse(iso)
  assert.ok(!Number.isNaN(ms), iso)
  return ms
}

function cron(text: string, timeZone: string, jitterMs = 0): CronSchedule {
  const { times } = parseCron(text)
  assert.ok(times, text)
  return { kind: 'cron', times, timeZone, jitterMs, missed: 'run-once' }
}

function interval(everyMs: number, anchorMs = 0, jitterMs = 0): IntervalSchedule {
  return { kind: 'interval', everyMs, anchorMs, jitterMs, missed: 'run-once' }
}

function runsFrom(text: string, timeZone: string, from: string, count: number): string[] {
  const runs = []
  for (let ms = at(from); runs.length < count;) {
    ms = nextRun(cron(text, timeZone), endpoint, ms)
    runs.push(new Date(ms).toISOString().slice(0, 16))
  }
  return runs
}

test('a time that the change of clocks leaves out is run once, right after the gap', () => {
  assert.deepEqual(runsFrom('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', 3), [
    '2026-03-28T01:30',
    '2026-03-29T01:00',
    '2026-03-30T00:30',
  ])
  assert.deepEqual(runsFrom('30 1,2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', 3), [
    '2026-03-29T00:30',
    '2026-03-29T01:00',
    '2026-03-29T23:30',
  ])
  // The gap is half an hour there, from 02:00 to 02:30.
  assert.deepEqual(runsFrom('15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T16:00Z', 2), [
    '2026-10-03T15:30',
    '2026-10-04T15:15',
  ])
  // The gap begins at midnight there.
  assert.deepEqual(runsFrom('0,30 0 * * *', 'America/Santiago', '2026-09-05T05:00Z', 2), [
    '2026-09-06T04:00',
    '2026-09-07T03:00',
  ])
})

test('a whole day that a country leaves out is made up for as the next one begins', () => {
  assert.deepEqual(runsFrom('0 2 * * *', 'Pacific/Apia', '2011-12-29T00:00Z', 3), [
    '2011-12-29T12:00',
    '2011-12-30T10:00',
    '2011-12-30T12:00',
  ])
})

test('a time that comes twice is run once, the first time', () => {
  assert.deepEqual(runsFrom('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 2), [
    '2026-10-25T00:30',
    '2026-10-26T01:30',
  ])
  assert.deepEqual(runsFrom('30 2 * * *', 'Europe/Berlin', '2026-10-25T00:45Z', 1), ['2026-10-26T01:30'])
  assert.deepEqual(runsFrom('30 1,3 * * *', 'America/New_York', '2026-11-01T04:00Z', 3), [
    '2026-11-01T05:30',
    '2026-11-01T08:30',
    '2026-11-02T06:30',
  ])
})

test('a schedule of every hour runs with the time that passes', () => {
  assert.deepEqual(runsFrom('30 * * * *', 'Europe/Berlin', '2026-03-28T23:45Z', 3), [
    '2026-03-29T00:30',
    '2026-03-29T01:30',
    '2026-03-29T02:30',
  ])
  assert.deepEqual(runsFrom('30 * * * *', 'Europe/Berlin', '2026-10-24T23:45Z', 3), [
    '2026-10-25T00:30',
    '2026-10-25T01:30',
    '2026-10-25T02:30',
  ])
})

test('rare days', () => {
  assert.deepEqual(runsFrom('0 2 29 2 *', 'UTC', '2096-03-01T00:00Z', 1), ['2104-02-29T02:00'])
  assert.deepEqual(runsFrom('0 2 31 * *', 'UTC', '2026-01-31T02:00Z', 2), ['2026-03-31T02:00', '2026-05-31T02:00'])
  assert.deepEqual(runsFrom('0 2 * * SUN', 'Europe/Berlin', '2026-11-27T00:00Z', 1), ['2026-11-29T01:00'])
})

test('an interval counts from its anchor, before and after it', () => {
  const every4h = interval(4 * hourMs, at('2026-01-01T01:30:00Z'))
  assert.equal(nextRun(every4h, endpoint, at('2026-06-01T01:30:00Z')), at('2026-06-01T05:30:00Z'))
  assert.equal(nextRun(every4h, endpoint, at('2025-06-01T01:29:59.999Z')), at('2025-06-01T01:30:00Z'))
})

test('missed runs are those after one time, up to another', () => {
  const hourly = cron('0 * * * *', 'UTC')
  const from = at('2026-01-01T00:00:00Z')
  assert.deepEqual(missedRuns(hourly, endpoint, from, from), [])
  assert.deepEqual(missedRuns(hourly, endpoint, from, from + 2 * hourMs), [from + hourMs, from + 2 * hourMs])
  assert.equal(missedRuns(hourly, endpoint, from, from + 1000 * dayMs).length, 100)
})

test('5,000 endpoints are spread over the jitter, each always in the same place', () => {
  const jitterMs = 10 * minuteMs
  const ids = Array.from({ length: 5000 }, (_, index) => index.toString(16).padStart(32, '0'))
  const seconds = new Map<number, number>()
  for (const id of ids) {
    const second = Math.floor(jitterOf(id, jitterMs) / 1000)
    assert.equal(second, Math.floor(jitterOf(id, jitterMs) / 1000))
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
  }
  // 8.3 a second on average.
  assert.ok(Math.max(...seconds.values()) < 30, String(Math.max(...seconds.values())))
  assert.ok(seconds.size > 590, String(seconds.size))
})

// ── against a walk through every minute ────────────────────────────────────────────────────────────────────────────

/** Zones, and a day in whose middle, more or less, their clocks change; UTC's do not. */
const changes = [
  ['Europe/Berlin', '2026-03-29T01:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-03-08T07:00Z'],
  ['America/New_York', '2026-11-01T06:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'],
  ['America/Santiago', '2026-09-06T04:00Z'],
  ['America/Santiago', '2026-04-05T03:00Z'],
  ['America/Havana', '2026-11-01T05:00Z'],
  // Set back from 00:01 to 23:01 of the day before.
  ['America/St_Johns', '2006-10-29T02:31Z'],
  ['Pacific/Apia', '2011-12-30T10:00Z'],
  ['UTC', '2026-02-28T12:00Z'],
] as const

function shownBy(zone: string): (ms: number) => number {
  // Another way to ask Intl than that of wall-time.ts.
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
  return (ms) => Date.parse(`${format.format(ms).replace(' ', 'T')}Z`)
}

/** What the wall shows in each minute from a day before `fromMs` on; asked for once, since it takes time. */
const walls = new Map<string, readonly number[]>()

function wallsOf(zone: string, fromMs: number, toMs: number): readonly number[] {
  const key = `${zone} ${String(fromMs)}`
  let minutes = walls.get(key)
  if (minutes === undefined) {
    minutes = wallOfMinutes(shownBy(zone), fromMs - dayMs, toMs)
    walls.set(key, minutes)
  }
  return minutes
}

/** Quarters of an hour in which nothing changes need not be looked at minute by minute. */
function wallOfMinutes(shown: (ms: number) => number, fromMs: number, toMs: number): number[] {
  const minutes = []
  for (let ms = fromMs; ms < toMs; ms += quarterMs) {
    const [first, next] = [shown(ms), shown(ms + quarterMs)]
    for (let step = 0; step < quarterMs; step += minuteMs) {
      minutes.push(next - first === quarterMs ? first + step : shown(ms + step))
    }
  }
  return minutes
}

const quarterMs = 15 * minuteMs

/** All runs around a change, found by looking at the wall every minute. */
function runsByWalking(times: CronTimes, zone: string, fromMs: number, toMs: number): number[] {
  const matches = (wallMs: number): boolean => {
    const wall = new Date(wallMs)
    return (
      times.minutes.includes(wall.getUTCMinutes()) &&
      times.hours.includes(wall.getUTCHours()) &&
      times.daysOfMonth.includes(wall.getUTCDate()) &&
      times.weekdays.includes(wall.getUTCDay())
    )
  }
  const everyHour = times.hours.length === 24
  const runs = new Set<number>()
  let highest = Infinity
  for (const [minute, wallMs] of wallsOf(zone, fromMs, toMs).entries()) {
    const ms = fromMs - dayMs + minute * minuteMs
    // A wall that was set back shows again what it has shown.
    if ((everyHour || minute === 0 || wallMs > highest) && matches(wallMs)) runs.add(ms)
    for (let skipped = highest + minuteMs; !everyHour && skipped < wallMs; skipped += minuteMs) {
      if (matches(skipped)) runs.add(ms)
    }
    highest = minute === 0 ? wallMs : Math.max(highest, wallMs)
  }
  return [...runs].filter((ms) => ms >= fromMs).sort((a, b) => a - b)
}

const field = (min: number, max: number) =>
  fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((numbers) => numbers.join(','))

const expression = fc
  .tuple(
    field(0, 59),
    fc.oneof(fc.constant('*'), field(0, 3), field(0, 23)),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant('* * *') },
      field(0, 6).map((days) => `* * ${days}`),
      field(1, 31).map((days) => `${days} * *`),
    ),
  )
  .map((parts) => parts.join(' '))

test('whatever the expression: around a change of clocks it runs when the wall says so', () => {
  fc.assert(
    fc.property(expression, fc.constantFrom(...changes), (text, [zone, change]) => {
      const fromMs = at(change) - 36 * hourMs
      const toMs = at(change) + 36 * hourMs
      const schedule = cron(text, zone)
      const expected = runsByWalking(schedule.times, zone, fromMs, toMs)
      const runs = []
      for (let ms = nextRun(schedule, endpoint, fromMs - 1); ms < toMs; ms = nextRun(schedule, endpoint, ms))
        runs.push(ms)
      assert.deepEqual(runs, expected)
    }),
    { numRuns: 300 },
  )
})

const schedule = fc.oneof(
  fc
    .tuple(
      expression,
      fc.constantFrom('Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'UTC'),
      fc.nat(600_000),
    )
    .map(([text, zone, jitterMs]) => cron(text, zone, jitterMs)),
  fc
    .tuple(fc.integer({ min: 5, max: 40_000 }), fc.nat(2 ** 41), fc.nat(600_000))
    .map(([minutes, anchorMs, jitterMs]) => interval(minutes * minuteMs, anchorMs, jitterMs)),
)
const instant = fc.integer({ min: 0, max: at('2099-12-31T00:00Z') })
const anyEndpoint = fc
  .array(fc.constantFrom('0', '1', '9', 'a', 'f'), { minLength: 32, maxLength: 32 })
  .map((d) => d.join(''))

test('the next run is after now, the last is not, there is none between, and asking again changes nothing', () => {
  fc.assert(
    fc.property(schedule, anyEndpoint, instant, fc.nat(1000), (any, id, nowMs, permille) => {
      const next = nextRun(any, id, nowMs)
      const last = lastRun(any, id, nowMs)
      assert.ok(last <= nowMs && nowMs < next)
      assert.equal(nextRun(any, id, last), next)
      assert.equal(lastRun(any, id, next), next)
      assert.equal(lastRun(any, id, next - 1), last)
      const between = last + Math.floor(((next - 1 - last) * permille) / 1000)
      assert.equal(nextRun(any, id, between), next)
    }),
    { numRuns: 500 },
  )
})

test('the jitter moves each run by the same time, which is below it', () => {
  fc.assert(
    fc.property(schedule, anyEndpoint, instant, (any, id, nowMs) => {
      const delayMs = jitterOf(id, any.jitterMs)
      assert.ok(delayMs >= 0 && (any.jitterMs === 0 ? delayMs === 0 : delayMs < any.jitterMs))
      assert.equal(nextRun(any, id, nowMs + delayMs), nextRun({ ...any, jitterMs: 0 }, id, nowMs) + delayMs)
    }),
  )
})

test('an interval stays on its grid, also where clocks are changed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 40_000 }), instant, instant, (minutes, anchorMs, nowMs) => {
      const next = nextRun(interval(minutes * minuteMs, anchorMs), endpoint, nowMs)
      assert.equal(Math.abs(next - anchorMs) % (minutes * minuteMs), 0)
      assert.ok(next - nowMs <= minutes * minuteMs)
    }),
  )
})
