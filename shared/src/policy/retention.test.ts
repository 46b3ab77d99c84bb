import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { periods } from './buckets.ts'
import { parseCron } from './cron.ts'
import { nextExpected } from './expected.ts'
import type { RunTimes } from './hours.ts'
import { noCounts, type RetentionCounts, type RetentionRules } from './retention-rules.ts'
import { decideRetention, type Holds, type RetainedPoint, type RetentionDecision } from './retention.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const at = (iso: string): number => {
  const ms = Date.parse(iso)
  assert.ok(!Number.isNaN(ms), iso)
  return ms
}

const noHolds: Holds = { points: new Map() }

function rules(counts: Partial<RetentionCounts>, more: Partial<RetentionRules> = {}): RetentionRules {
  return { counts: { ...noCounts, ...counts }, minimumAgeMs: 0, timeZone: 'UTC', ...more }
}

function point(sequence: number, momentMs: number, more: Partial<RetainedPoint> = {}): RetainedPoint {
  return { id: String(sequence), sequence, momentMs, isCopy: false, state: 'complete', ...more }
}

/** One point for each of the times. */
const pointsAt = (...times: readonly string[]): RetainedPoint[] => times.map((iso, index) => point(index + 1, at(iso)))

const kept = (decisions: readonly RetentionDecision[]): number[] =>
  decisions.filter(({ keep }) => keep).map(({ point: { sequence } }) => sequence)

const reasonsOf = (decisions: readonly RetentionDecision[], sequence: number): readonly string[] =>
  decisions.find(({ point }) => point.sequence === sequence)?.reasons.map(({ kind }) => kind) ?? []

const expiryOf = (decisions: readonly RetentionDecision[], sequence: number): string | null | undefined => {
  const ms = decisions.find(({ point }) => point.sequence === sequence)?.expiresAtMs
  return typeof ms === 'number' ? new Date(ms).toISOString().slice(0, 16) : ms
}

function cron(text: string, timeZone: string): RunTimes {
  const { times } = parseCron(text)
  assert.ok(times, text)
  return { schedule: { kind: 'cron', times, timeZone, jitterMs: 0, missed: 'run-once' } }
}

/** The moments of so many points, by a schedule. */
function momentsBy(times: RunTimes, fromMs: number, count: number): number[] {
  const moments = []
  for (let ms = fromMs; moments.length < count;) {
    ms = nextExpected(times, ms)
    moments.push(ms)
  }
  return moments
}

test('nothing to decide', () => {
  assert.deepEqual(decideRetention([], noHolds, rules({ last: 3 }), 0), [])
})

test('the newest point is kept, whatever the rules', () => {
  const points = pointsAt('2026-01-01T02:00Z', '2026-01-02T02:00Z')
  const decisions = decideRetention(points, noHolds, rules({}), at('2027-01-01T00:00Z'))
  assert.deepEqual(
    decisions.map(({ keep, reasons }) => [keep, reasons]),
    [
      [false, [{ kind: 'noRule' }]],
      [true, [{ kind: 'newest' }]],
    ],
  )
  assert.deepEqual(expiryOf(decisions, 1), '2027-01-01T00:00')
})

test('so is the newest that is one moment of the machine', () => {
  const [first, ...others] = pointsAt('2026-01-01T02:00Z', '2026-01-02T02:00Z', '2026-01-03T02:00Z')
  assert.ok(first)
  const points = [first, ...others.map((other): RetainedPoint => ({ ...other, state: 'changing' }))]
  const decisions = decideRetention(points, noHolds, rules({}), at('2026-01-03T12:00Z'))
  assert.deepEqual(kept(decisions), [1, 3])
  assert.deepEqual(reasonsOf(decisions, 1), ['newestComplete'])
})

test('rules keep the newest of each of the newest hours, days, weeks, months and years', () => {
  const points = momentsBy(cron('0 */6 * * *', 'UTC'), at('2024-12-31T23:00Z'), 4 * 600).map((ms, index) =>
    point(index + 1, ms),
  )
  const nowMs = at('2026-08-23T20:00Z')
  const shown = (counts: Partial<RetentionCounts>): string[] =>
    decideRetention(points, noHolds, rules(counts), nowMs)
      .filter(({ keep }) => keep)
      .map(({ point: { momentMs } }) => new Date(momentMs).toISOString().slice(0, 13))
  assert.deepEqual(shown({ last: 2 }), ['2026-08-23T12', '2026-08-23T18'])
  assert.deepEqual(shown({ hourly: 3 }), ['2026-08-23T06', '2026-08-23T12', '2026-08-23T18'])
  assert.deepEqual(shown({ daily: 3 }), ['2026-08-21T18', '2026-08-22T18', '2026-08-23T18'])
  assert.deepEqual(shown({ weekly: 3 }), ['2026-08-09T18', '2026-08-16T18', '2026-08-23T18'])
  assert.deepEqual(shown({ monthly: 3 }), ['2026-06-30T18', '2026-07-31T18', '2026-08-23T18'])
  assert.deepEqual(shown({ yearly: 3 }), ['2025-12-31T18', '2026-08-23T18'])
})

test('each reason is told, with its place among those of the rule', () => {
  const points = pointsAt('2026-10-23T00:30Z', '2026-10-24T00:30Z', '2026-10-25T00:30Z')
  const [oldest] = decideRetention(
    points,
    { points: new Map([[1, 'audit']]), all: 'law suit' },
    rules({ last: 3, hourly: 3, daily: 4, weekly: 1 }, { minimumAgeMs: 5 * dayMs, timeZone: 'Europe/Berlin' }),
    at('2026-10-25T12:00Z'),
  )
  assert.deepEqual(oldest, {
    point: points[0],
    keep: true,
    reasons: [
      { kind: 'last', number: 3, of: 3 },
      { kind: 'hourly', bucket: '2026-10-23 02:00 +02:00', number: 3, of: 3 },
      { kind: 'daily', bucket: '2026-10-23', number: 3, of: 4 },
      { kind: 'minimumAge', untilMs: at('2026-10-28T00:30Z') },
      { kind: 'held', note: 'audit', all: false },
      { kind: 'held', note: 'law suit', all: true },
    ],
    expiresAtMs: null,
  })
})

test('days are those of the time zone', () => {
  const points = pointsAt('2026-06-01T21:30Z', '2026-06-01T22:30Z', '2026-06-02T21:30Z')
  const nowMs = at('2026-06-03T00:00Z')
  assert.deepEqual(kept(decideRetention(points, noHolds, rules({ daily: 2 }), nowMs)), [2, 3])
  const berlin = rules({ daily: 2 }, { timeZone: 'Europe/Berlin' })
  assert.deepEqual(kept(decideRetention(points, noHolds, berlin, nowMs)), [1, 3])
})

test('both of the hours that come twice keep a point', () => {
  const points = pointsAt('2026-10-24T23:30Z', '2026-10-25T00:30Z', '2026-10-25T01:30Z')
  const berlin = rules({ hourly: 2 }, { timeZone: 'Europe/Berlin' })
  assert.deepEqual(kept(decideRetention(points, noHolds, berlin, at('2026-10-25T02:00Z'))), [2, 3])
})

test('a day that a country left out is not waited for', () => {
  const points = pointsAt('2011-12-29T12:00Z', '2011-12-30T09:00Z', '2011-12-30T12:00Z', '2011-12-31T12:00Z')
  const apia = rules({ daily: 3 }, { timeZone: 'Pacific/Apia' })
  const decisions = decideRetention(points, noHolds, apia, at('2011-12-31T20:00Z'))
  assert.deepEqual(kept(decisions), [2, 3, 4])
  assert.deepEqual(
    decisions.flatMap(({ reasons }) => reasons.flatMap((reason) => (reason.kind === 'daily' ? [reason.bucket] : []))),
    ['2011-12-29', '2011-12-31', '2012-01-01'],
  )
})

test('a copy stands for the point that it was made of', () => {
  const momentMs = at('2026-01-03T02:00Z')
  const points = [
    ...pointsAt('2026-01-01T02:00Z', '2026-01-02T02:00Z', '2026-01-03T02:00Z'),
    point(4, momentMs, { isCopy: true }),
    point(5, momentMs, { isCopy: true }),
    point(6, at('2026-01-04T02:00Z')),
  ]
  const decisions = decideRetention(points, noHolds, rules({ last: 3, daily: 2 }), at('2026-01-04T12:00Z'))
  assert.deepEqual(kept(decisions), [2, 5, 6])
  assert.deepEqual(decisions[2]?.reasons, [{ kind: 'copied', sequence: 5 }])
  assert.deepEqual(reasonsOf(decisions, 5), ['last', 'daily'])
})

test('two backups within one tick of the clock are two points', () => {
  const points = pointsAt('2026-01-01T02:00Z', '2026-01-01T02:00Z', '2026-01-01T02:00Z')
  assert.deepEqual(kept(decideRetention(points, noHolds, rules({ last: 2 }), at('2026-01-02T00:00Z'))), [2, 3])
})

test('where a day has a point that is one moment, one that is not does not take its place', () => {
  const points = [
    point(1, at('2026-01-01T02:00Z')),
    point(2, at('2026-01-01T14:00Z'), { state: 'changing' }),
    point(3, at('2026-01-02T02:00Z'), { state: 'changing' }),
    point(4, at('2026-01-03T02:00Z')),
  ]
  assert.deepEqual(kept(decideRetention(points, noHolds, rules({ daily: 3 }), at('2026-01-03T12:00Z'))), [1, 3, 4])
})

test('a lock, a minimum age and a hold keep for as long as they say', () => {
  const nowMs = at('2026-02-01T00:00Z')
  const points = [
    point(1, at('2026-01-01T00:00Z'), { lockedUntilMs: at('2026-03-01T00:00Z') }),
    point(2, at('2026-01-02T00:00Z'), { lockedUntilMs: nowMs }),
    point(3, at('2026-01-20T00:00Z')),
    point(4, at('2026-01-21T00:00Z')),
    point(5, at('2026-01-31T00:00Z')),
  ]
  const holds = { points: new Map([[4, 'audit']]) }
  const decisions = decideRetention(points, holds, rules({}, { minimumAgeMs: 14 * dayMs }), nowMs)
  assert.deepEqual(kept(decisions), [1, 3, 4, 5])
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((sequence) => expiryOf(decisions, sequence)),
    ['2026-03-01T00:00', '2026-02-01T00:00', '2026-02-03T00:00', null, '2026-02-14T00:00'],
  )
})

test('a hold on the whole set keeps all that is there and all that comes', () => {
  const points = pointsAt('2026-01-01T02:00Z', '2026-01-02T02:00Z')
  for (const more of [[], [point(3, at('2026-01-03T02:00Z')), point(4, at('2026-01-04T02:00Z'))]]) {
    const all = [...points, ...more]
    const decisions = decideRetention(all, { points: new Map(), all: '' }, rules({}), at('2026-02-01T00:00Z'))
    assert.equal(kept(decisions).length, all.length)
    assert.ok(decisions.every(({ expiresAtMs }) => expiresAtMs === null))
  }
})

test('a point of the future is kept and takes the place of no other', () => {
  const points = pointsAt('2026-01-01T02:00Z', '2031-01-01T02:00Z', '2026-01-02T02:00Z', '2026-01-03T02:00Z')
  const decisions = decideRetention(points, noHolds, rules({ daily: 2 }), at('2026-01-03T12:00Z'))
  assert.deepEqual(kept(decisions), [2, 3, 4])
  assert.deepEqual(reasonsOf(decisions, 2), ['future'])
  assert.equal(expiryOf(decisions, 2), null)
})

test('when a point goes follows from the schedule, in the hours of the policy', () => {
  const points = pointsAt('2026-10-22T00:00Z', '2026-10-23T00:00Z', '2026-10-24T00:00Z')
  const nowMs = at('2026-10-24T12:00Z')
  const daily = cron('0 2 * * *', 'Europe/Berlin')
  const berlin = rules({ daily: 3 }, { timeZone: 'Europe/Berlin' })
  const expiries = (times: RunTimes | undefined): (string | null | undefined)[] => {
    const decisions = decideRetention(points, noHolds, berlin, nowMs, times)
    return [1, 2, 3].map((sequence) => expiryOf(decisions, sequence))
  }
  // Summer time ends on the 25th.
  assert.deepEqual(expiries(daily), ['2026-10-25T00:00', '2026-10-26T01:00', '2026-10-27T01:00'])
  assert.deepEqual(expiries(undefined), ['2026-10-25T00:00', '2026-10-26T00:00', '2026-10-27T00:00'])
  const window = { weekdays: [1, 2, 3, 4, 5], fromMs: 20 * hourMs, toMs: dayMs, timeZone: 'UTC' }
  assert.deepEqual(expiries({ ...daily, hours: [window] }), [
    '2026-10-26T20:00',
    '2026-10-27T20:00',
    '2026-10-28T20:00',
  ])
  // 29 February comes too rarely.
  assert.deepEqual(
    decideRetention(points, noHolds, rules({ last: 40 }), nowMs, cron('0 2 29 2 *', 'UTC')).map(
      ({ expiresAtMs }) => expiresAtMs,
    ),
    [null, null, null],
  )
})

test('10,000 points are decided in well under a second', () => {
  const points = momentsBy(cron('0 * * * *', 'Europe/Berlin'), at('2025-01-01T00:00Z'), 10_000).map((ms, index) =>
    point(index + 1, ms),
  )
  const counts = { last: 3, hourly: 48, daily: 14, weekly: 8, monthly: 12, yearly: 5 }
  const startMs = performance.now()
  decideRetention(points, noHolds, rules(counts, { timeZone: 'Europe/Berlin' }), at('2026-02-22T00:00Z'))
  assert.ok(performance.now() - startMs < 2000, `${String(performance.now() - startMs)} ms`)
})

// ── whatever the points and the rules ──────────────────────────────────────────────────────────────────────────────

/** Zones, and an instant near which their clocks change. */
const changes = [
  ['Europe/Berlin', '2026-03-29T01:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-11-01T06:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00Z'],
  ['UTC', '2026-02-28T12:00Z'],
] as const

const anyCounts: fc.Arbitrary<RetentionCounts> = fc.record({
  last: fc.nat(5),
  hourly: fc.nat(5),
  daily: fc.nat(5),
  weekly: fc.nat(4),
  monthly: fc.nat(3),
  yearly: fc.nat(2),
})
const anyAge = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(20 * dayMs))

interface Case {
  readonly points: readonly RetainedPoint[]
  readonly holds: Holds
  readonly rules: RetentionRules
  readonly nowMs: number
}

/** Steps between points: nearly always forwards, by minutes or days. */
const anyStep = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 3 * hourMs }) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 5 * dayMs }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 60 * dayMs }) },
  { weight: 1, arbitrary: fc.integer({ min: -2 * dayMs, max: 0 }) },
)
interface Spec {
  readonly step: number
  readonly copies: boolean
  readonly changing: boolean
  readonly locked: number
}

const anySpec: fc.Arbitrary<Spec> = fc.record({
  step: anyStep,
  copies: fc.nat(9).map((chance) => chance === 0),
  changing: fc.nat(3).map((chance) => chance === 0),
  locked: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(40 * dayMs)),
})

/** Backups one after the other; some are copied at once. The store's clock may go back. */
function pointsOf(specs: readonly Spec[], startMs: number): RetainedPoint[] {
  const points: RetainedPoint[] = []
  let momentMs = startMs
  for (const { step, copies, changing, locked } of specs) {
    const before = points.at(-1)
    if (copies && before !== undefined) {
      points.push({ ...before, id: String(points.length + 1), sequence: points.length + 1, isCopy: true })
      continue
    }
    momentMs += step
    const lock = locked === 0 ? {} : { lockedUntilMs: momentMs + locked }
    points.push(point(points.length + 1, momentMs, { state: changing ? 'changing' : 'complete', ...lock }))
  }
  return points
}

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    change: fc.constantFrom(...changes),
    specs: fc.array(anySpec, { minLength: 1, maxLength: 40 }),
    beforeMs: fc.nat(60 * dayMs),
    nowAfterMs: fc.oneof(fc.nat(dayMs), fc.integer({ min: -10 * dayMs, max: 400 * dayMs })),
    held: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 3 }),
    counts: anyCounts,
    minimumAgeMs: anyAge,
  })
  .map(({ change: [timeZone, change], specs, beforeMs, nowAfterMs, held, counts, minimumAgeMs }) => {
    const points = pointsOf(specs, at(change) - beforeMs)
    return {
      points,
      holds: { points: new Map(held.map((sequence) => [sequence, 'held'])) },
      rules: { counts, minimumAgeMs, timeZone },
      nowMs: Math.max(...points.map(({ momentMs }) => momentMs)) + nowAfterMs,
    }
  })

const decide = ({ points, holds, rules, nowMs }: Case): RetentionDecision[] =>
  decideRetention(points, holds, rules, nowMs)

/** Another way to say what is kept: each point is held against all others. */
function keptByDefinition({ points, holds, rules, nowMs }: Case): number[] {
  const counting = points.filter(
    (one) => !points.some((other) => other.isCopy && other.momentMs === one.momentMs && other.sequence > one.sequence),
  )
  const wall = new Intl.DateTimeFormat('sv-SE', {
    timeZone: rules.timeZone,
    dateStyle: 'short',
    timeStyle: 'medium',
  })
  const wallOf = (ms: number): string => wall.format(ms)
  const nameOf = {
    // How far the wall is ahead tells the two hours apart that look the same.
    hourly: (ms: number) => {
      const wallMs = Date.parse(`${wallOf(ms).replace(' ', 'T')}Z`)
      return `${wallOf(ms).slice(0, 13)} ${String(wallMs - Math.floor(ms / 1000) * 1000)}`
    },
    daily: (ms: number) => wallOf(ms).slice(0, 10),
    weekly: (ms: number) => {
      const day = Date.parse(wallOf(ms).slice(0, 10))
      return String(Math.floor((day / dayMs + 3) / 7))
    },
    monthly: (ms: number) => wallOf(ms).slice(0, 7),
    yearly: (ms: number) => wallOf(ms).slice(0, 4),
  }
  const past = counting.filter(({ momentMs }) => momentMs <= nowMs)
  const better = (a: RetainedPoint, b: RetainedPoint): boolean =>
    a.state !== b.state
      ? a.state === 'complete'
      : a.momentMs !== b.momentMs
        ? a.momentMs > b.momentMs
        : a.sequence > b.sequence
  const byPeriod = (one: RetainedPoint): boolean =>
    one.momentMs <= nowMs &&
    periods.some((period) => {
      const named = nameOf[period]
      const mine = named(one.momentMs)
      const isFirst = !past.some((other) => named(other.momentMs) === mine && better(other, one))
      const newer = new Set(past.filter((other) => other.momentMs > one.momentMs).map((other) => named(other.momentMs)))
      newer.delete(mine)
      return isFirst && newer.size < rules.counts[period]
    })
  return points
    .filter(
      (one) =>
        one.momentMs > nowMs ||
        nowMs < one.momentMs + rules.minimumAgeMs ||
        nowMs < (one.lockedUntilMs ?? 0) ||
        holds.points.has(one.sequence) ||
        (counting.includes(one) &&
          (counting.filter((other) => other.sequence > one.sequence).length < Math.max(1, rules.counts.last) ||
            (one.state === 'complete' &&
              !counting.some((other) => other.state === 'complete' && other.sequence > one.sequence)) ||
            byPeriod(one))),
    )
    .map(({ sequence }) => sequence)
}

test('what is kept is what the rules say, one by one', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      assert.deepEqual(kept(decide(given)), keptByDefinition(given))
    }),
    { numRuns: 500 },
  )
})

test('the newest point is never let go, and each decision has its reasons', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      const decisions = decide(given)
      assert.ok(kept(decisions).includes(given.points.length))
      for (const { keep, reasons, expiresAtMs } of decisions) {
        assert.ok(reasons.length > 0)
        assert.ok(keep ? expiresAtMs === null || expiresAtMs > given.nowMs : expiresAtMs === given.nowMs)
      }
    }),
  )
})

test('a rule keeps as many as it says, or as many as there are', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      const reasons = decide(given).flatMap((decision) => decision.reasons)
      for (const kind of ['last', ...periods] as const) {
        const numbers = reasons.flatMap((reason) => (reason.kind === kind ? [reason.number] : []))
        assert.ok(numbers.length <= given.rules.counts[kind])
        assert.deepEqual(
          numbers.sort((a, b) => a - b),
          numbers.map((_, index) => index + 1),
        )
      }
    }),
  )
})

test('more of any rule never keeps less', () => {
  fc.assert(
    fc.property(anyCase, anyCounts, fc.nat(5 * dayMs), (given, more, olderMs) => {
      const { counts, minimumAgeMs } = given.rules
      const sums = Object.fromEntries(
        Object.entries(counts).map(([kind, count]) => [kind, count + more[kind as keyof RetentionCounts]]),
      ) as unknown as RetentionCounts
      const wider = { ...given.rules, counts: sums, minimumAgeMs: minimumAgeMs + olderMs }
      const keptMore = new Set(kept(decide({ ...given, rules: wider })))
      for (const sequence of kept(decide(given))) assert.ok(keptMore.has(sequence))
    }),
  )
})

test('when all that goes is gone, the same is kept, and for as long', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      const decisions = decide(given)
      const stay = decisions.filter(({ keep }) => keep)
      const again = decide({ ...given, points: stay.map(({ point }) => point) })
      assert.deepEqual(kept(again), kept(decisions))
      assert.deepEqual(
        again.map(({ expiresAtMs }) => expiresAtMs),
        stay.map(({ expiresAtMs }) => expiresAtMs),
      )
    }),
    { numRuns: 500 },
  )
})

test('the order in which points are given decides nothing', () => {
  fc.assert(
    fc.property(
      anyCase.chain((given) =>
        fc.tuple(fc.constant(given), fc.shuffledSubarray([...given.points], { minLength: given.points.length })),
      ),
      ([given, shuffled]) => {
        const bySequence = decide({ ...given, points: shuffled }).sort((a, b) => a.point.sequence - b.point.sequence)
        assert.deepEqual(bySequence, decide(given))
      },
    ),
  )
})

const schedules: readonly RunTimes[] = [
  cron('0 2 * * *', 'Europe/Berlin'),
  cron('30 * * * *', 'Australia/Lord_Howe'),
  cron('15 1,13 * * 1-5', 'America/New_York'),
  cron('0 3 1 * *', 'UTC'),
  { schedule: { kind: 'interval', everyMs: 10 * hourMs, anchorMs: 1234, jitterMs: 3 * hourMs, missed: 'skip' } },
  {
    ...cron('0 */3 * * *', 'Europe/Berlin'),
    hours: [{ weekdays: [1, 2, 3, 5, 6], fromMs: 20 * hourMs, toMs: 29 * hourMs, timeZone: 'Europe/Berlin' }],
  },
]

test('each point goes when that was foretold, if all goes on by the schedule; pruned or not', () => {
  const anyFuture = fc.record({
    given: anyCase,
    times: fc.constantFrom(...schedules),
    steps: fc.integer({ min: 1, max: 250 }),
    prunes: fc.boolean(),
  })
  fc.assert(
    fc.property(anyFuture, ({ given, times, steps, prunes }) => {
      const { holds, rules } = given
      const startMs = Math.max(given.nowMs, ...given.points.map(({ momentMs }) => momentMs))
      const foretold = decideRetention(given.points, holds, rules, startMs, times)
      const isDue = (sequence: number, nowMs: number): boolean => {
        const expiresAtMs = foretold[sequence - 1]?.expiresAtMs ?? Infinity
        return expiresAtMs <= nowMs
      }
      let points: readonly RetainedPoint[] = given.points
      let sequence = given.points.length
      let nowMs = startMs
      for (let step = 0; step < steps; step += 1) {
        const nextMs = nextExpected(times, nowMs)
        // Right before the next run, and right after what ends between two runs.
        const between = foretold.flatMap(({ expiresAtMs }) =>
          expiresAtMs !== null && expiresAtMs > nowMs && expiresAtMs < nextMs ? [expiresAtMs] : [],
        )
        for (const lookMs of [...between.sort((a, b) => a - b), nextMs - 1, nextMs]) {
          if (lookMs === nextMs) points = [...points, point((sequence += 1), nextMs)]
          // Holds are on points that are there: numbers that come later are not among them.
          const decisions = decideRetention(points, heldAmong(holds, given.points.length), rules, lookMs, times)
          for (const decision of decisions) {
            const number = decision.point.sequence
            if (number <= given.points.length)
              assert.equal(decision.keep, !isDue(number, lookMs), `number ${String(number)} at ${String(lookMs)}`)
          }
          if (prunes) points = decisions.filter(({ keep }) => keep).map(({ point }) => point)
        }
        nowMs = nextMs
      }
    }),
    { numRuns: 60 },
  )
})

function heldAmong({ points }: Holds, last: number): Holds {
  return { points: new Map([...points].filter(([sequence]) => sequence <= last)) }
}
