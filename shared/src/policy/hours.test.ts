import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import type { Id } from '../types.ts'
import { parseCron } from './cron.ts'
import { isAllowed, nextAllowed, nextBegin, type Hours, type HoursWindow } from './hours.ts'
import { nextRun, type Schedule } from './schedule.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const endpoint: Id = '0'.repeat(32)
const everyDay = [0, 1, 2, 3, 4, 5, 6]

const at = (iso: string): number => {
  const ms = Date.parse(iso)
  assert.ok(!Number.isNaN(ms), iso)
  return ms
}

function window(from: string, to: string, timeZone: string, weekdays: readonly number[] = everyDay): HoursWindow {
  const [fromMs, toMs] = [from, to].map((text) => {
    const [hours = Number.NaN, minutes = Number.NaN] = text.split(':').map(Number)
    return hours * hourMs + minutes * minuteMs
  })
  assert.ok(fromMs !== undefined && toMs !== undefined)
  return { weekdays, fromMs, toMs: toMs > fromMs ? toMs : toMs + dayMs, timeZone }
}

const opens = (hours: Hours, iso: string): string => new Date(nextAllowed(hours, at(iso))).toISOString().slice(0, 16)

test('without hours it is always time', () => {
  assert.ok(isAllowed([], 0))
  assert.equal(nextAllowed([], 1234), 1234)
})

test('a window that goes past midnight belongs to the day on which it begins', () => {
  const weekend = [window('20:00', '06:00', 'Europe/Berlin', [5, 6])]
  assert.equal(opens(weekend, '2026-06-10T12:00Z'), '2026-06-12T18:00')
  // Saturday, past midnight, is Friday's window still; on Sunday that of Saturday ends.
  assert.equal(opens(weekend, '2026-06-13T03:59Z'), '2026-06-13T03:59')
  assert.equal(opens(weekend, '2026-06-13T04:00Z'), '2026-06-13T18:00')
  assert.equal(opens(weekend, '2026-06-14T04:00Z'), '2026-06-19T18:00')
})

test('what the wall shows counts when clocks are changed', () => {
  const night = [window('02:15', '02:45', 'Europe/Berlin')]
  // Left out altogether.
  assert.equal(opens(night, '2026-03-29T00:00Z'), '2026-03-30T00:15')
  // Twice.
  assert.equal(opens(night, '2026-10-25T00:00Z'), '2026-10-25T00:15')
  assert.equal(opens(night, '2026-10-25T00:45Z'), '2026-10-25T01:15')
  assert.equal(opens(night, '2026-10-25T01:45Z'), '2026-10-26T01:15')
  // Clocks jump into it.
  assert.equal(opens([window('02:30', '05:00', 'Europe/Berlin')], '2026-03-29T00:00Z'), '2026-03-29T01:00')
  // A Friday that a country left out.
  assert.equal(opens([window('00:00', '24:00', 'Pacific/Apia', [5])], '2011-12-25T00:00Z'), '2012-01-05T10:00')
})

test('several windows, each in its time zone', () => {
  const hours = [window('22:00', '23:00', 'America/New_York'), window('22:00', '23:00', 'Europe/Berlin')]
  assert.equal(opens(hours, '2026-01-10T12:00Z'), '2026-01-10T21:00')
  assert.equal(opens(hours, '2026-01-10T22:00Z'), '2026-01-11T03:00')
})

// ── against a walk through every quarter of an hour ────────────────────────────────────────────────────────────────

const changes = [
  ['Europe/Berlin', '2026-03-29T01:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-03-08T07:00Z'],
  ['America/New_York', '2026-11-01T06:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'],
  ['America/Santiago', '2026-09-06T04:00Z'],
  ['America/Santiago', '2026-04-05T03:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00Z'],
  ['UTC', '2026-02-28T12:00Z'],
] as const

const quarterMs = 15 * minuteMs
/** Its wall, asked for in another way than wall-time.ts does, in quarters of an hour. */
function wallByQuarter(zone: string): (ms: number) => { weekday: number; ofDayMs: number } {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
  const known = new Map<number, { weekday: number; ofDayMs: number }>()
  return (ms) => {
    let wall = known.get(ms)
    if (wall === undefined) {
      const wallMs = Date.parse(`${format.format(ms).replace(' ', 'T')}Z`)
      wall = { weekday: new Date(wallMs).getUTCDay(), ofDayMs: wallMs % dayMs }
      known.set(ms, wall)
    }
    return wall
  }
}
const walls = new Map(changes.map(([zone]) => [zone, wallByQuarter(zone)]))

function isOpenByWall({ weekdays, fromMs, toMs, timeZone }: HoursWindow, ms: number): boolean {
  const wall = walls.get(timeZone as (typeof changes)[number][0])?.(ms)
  assert.ok(wall)
  const isToday = weekdays.includes(wall.weekday) && fromMs <= wall.ofDayMs && wall.ofDayMs < toMs
  const isYesterday = weekdays.includes((wall.weekday + 6) % 7) && wall.ofDayMs + dayMs < toMs
  return isToday || isYesterday
}

const quarters = (max: number) => fc.integer({ min: 0, max }).map((count) => count * quarterMs)
const anyWindow = (timeZone: string): fc.Arbitrary<HoursWindow> =>
  fc
    .tuple(fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }), quarters(95), quarters(95))
    .map(([weekdays, fromMs, lengthMs]) => ({ weekdays, fromMs, toMs: fromMs + quarterMs + lengthMs, timeZone }))
const anyCase = fc.constantFrom(...changes).chain(([zone, change]) =>
  fc.record({
    hours: fc.array(anyWindow(zone), { minLength: 1, maxLength: 3 }),
    fromMs: fc.integer({ min: -300, max: 200 }).map((count) => at(change) + count * quarterMs),
  }),
)

test('whatever the windows: the next time is the first at which the wall shows one of them', () => {
  fc.assert(
    fc.property(anyCase, ({ hours, fromMs }) => {
      let expectedMs = fromMs
      while (!hours.some((window) => isOpenByWall(window, expectedMs))) expectedMs += quarterMs
      assert.equal(nextAllowed(hours, fromMs), expectedMs)
    }),
    { numRuns: 500 },
  )
})

test('a time that is allowed is its own next, and later ones have no earlier next', () => {
  fc.assert(
    fc.property(anyCase, fc.integer({ min: -dayMs, max: 5 * dayMs }), fc.nat(dayMs), ({ hours, fromMs }, by, more) => {
      const next = nextAllowed(hours, fromMs + by)
      assert.ok(isAllowed(hours, next) && next >= fromMs + by)
      assert.equal(nextAllowed(hours, next), next)
      assert.ok(nextAllowed(hours, fromMs + by + more) >= next)
    }),
  )
})

const times = parseCron('0 */3 * * *').times
assert.ok(times)
const schedules: readonly Schedule[] = [
  { kind: 'cron', times, timeZone: 'Europe/Berlin', jitterMs: 600_000, missed: 'run-once' },
  { kind: 'interval', everyMs: 7 * hourMs, anchorMs: 1234, jitterMs: 0, missed: 'run-once' },
]

test('runs begin when they are scheduled or when a window opens, and none is left out', () => {
  fc.assert(
    fc.property(anyCase, fc.constantFrom(...schedules), ({ hours, fromMs }, schedule) => {
      const begins: number[] = []
      for (let ms = fromMs; ms < fromMs + 9 * dayMs;) {
        ms = nextBegin({ schedule, hours }, endpoint, ms)
        begins.push(ms)
      }
      const expected = new Set<number>()
      for (let ms = fromMs - 30 * dayMs; ms <= (begins.at(-1) ?? 0); ms = nextRun(schedule, endpoint, ms))
        expected.add(nextAllowed(hours, nextRun(schedule, endpoint, ms)))
      assert.deepEqual(
        begins,
        [...expected].filter((ms) => ms > fromMs && ms <= (begins.at(-1) ?? 0)),
      )
    }),
  )
})
