import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { StrataError } from '../errors.ts'
import { parseDocument } from '../format/document.ts'
import { isSameStore, retentionIn } from './copies.ts'
import { durationFrom, durationText } from './duration.ts'
import { policyType, readPolicy } from './policy.ts'
import { nextRun } from './schedule.ts'

const dayMs = 24 * 3600_000

const policy = (members: object): unknown => ({ strata: 'policy', version: 1, ...members })
/** By day, with more. */
const daily = (members: object): unknown => policy({ schedule: { cron: '0 2 * * *' }, ...members })
const scheduled = (schedule: unknown): unknown => policy({ schedule })

function refusal(value: unknown): StrataError {
  try {
    readPolicy(value, 'file:///srv/own')
  } catch (error) {
    assert.ok(error instanceof StrataError)
    return error
  }
  assert.fail('it was taken')
}

function problems(value: unknown): readonly string[] {
  const { code, details } = refusal(value)
  assert.equal(code, 'E_POLICY_INVALID')
  return details?.['problems'] as readonly string[]
}

test('a policy by cron, with everything', () => {
  const schedule = { cron: '0 2 * * 1-5', timeZone: 'Europe/Berlin', jitter: '10m', missed: 'skip' }
  const read = readPolicy(policy({ requires: ['schedule', 'bandwidth-limit'], schedule, bandwidthLimit: '10M' }))
  assert.deepEqual(read.ignored, [])
  assert.equal(read.policy.bytesPerSecondMax, 10 * 1024 * 1024)
  assert.equal(read.policy.schedule.kind, 'cron')
  assert.deepEqual(
    { ...read.policy.schedule, times: undefined },
    { kind: 'cron', times: undefined, timeZone: 'Europe/Berlin', jitterMs: 600_000, missed: 'skip' },
  )
})

test('a policy by interval, and what holds when it says nothing', () => {
  assert.deepEqual(readPolicy(scheduled({ every: '4h', anchor: '2026-01-01T01:30:00Z' })).policy, {
    schedule: { kind: 'interval', everyMs: 4 * 3600_000, anchorMs: 1767231000000, jitterMs: 0, missed: 'run-once' },
    hours: [],
    bytesPerSecondMax: undefined,
    retention: {
      counts: { last: 3, hourly: 0, daily: 14, weekly: 8, monthly: 12, yearly: 0 },
      minimumAgeMs: 7 * dayMs,
      timeZone: 'UTC',
      undoWindowMs: 7 * dayMs,
    },
    chain: { pointsMax: 200, ageMsMax: 180 * dayMs, deadPercentMax: 30 },
    verification: { everyDays: 30 },
    immutability: undefined,
    storageClass: [],
    copies: [],
    budget: undefined,
  })
  const { schedule } = readPolicy(scheduled({ cron: '0 2 * * *' })).policy
  assert.equal(schedule.kind === 'cron' && schedule.timeZone, 'UTC')
  assert.equal(nextRun(readPolicy(scheduled({ every: '1d' })).policy.schedule, '0'.repeat(32), 1), 24 * 3600_000)
})

test('members that are not known are left out of account, told of and kept', () => {
  const value = policy({
    schedule: { every: '1d', onEvent: 'logon' },
    shedule: 1,
    hours: [{ from: '20:00', to: '06:00', unless: 'holidays' }],
    retention: { daily: 7, dayly: 7 },
    copies: [{ name: 'second site', to: 's3://other/strata', retention: { daily: 30, holds: true } }],
  })
  const { ignored, document } = readPolicy(value)
  assert.deepEqual(ignored, [
    'shedule',
    'schedule.onEvent',
    'hours.0.unless',
    'retention.dayly',
    'copies.0.retention.holds',
  ])
  assert.equal(document, value)
})

test('a policy that requires what is not known is refused as a whole, whatever else is in it', () => {
  const newer = policy({ requires: ['schedule', 'on-event'], schedule: { onEvent: ['logon'] } })
  const error = refusal(newer)
  assert.equal(error.code, 'E_POLICY_NEWER')
  assert.match(error.message, /'on-event'/)
  assert.doesNotMatch(error.message, /'schedule'/)
  assert.equal(refusal({ strata: 'policy', version: 2 }).code, 'E_POLICY_NEWER')
  // The registry keeps it all the same.
  const text = Buffer.from(JSON.stringify(newer))
  assert.deepEqual(parseDocument(policyType, 'policies/x/1', text), newer)
})

test('everything that is wrong is told of, with its place and what to write', () => {
  const found = problems(
    policy({
      schedule: { cron: '70 2 * *', every: '1m', anchor: 'noon', timeZone: 'Berlin', jitter: '2w', missed: 'always' },
      bandwidthLimit: 10,
    }),
  )
  assert.deepEqual(
    found.map((text) => text.split(' ')[0]),
    [
      'schedule.cron',
      'schedule.timeZone',
      'schedule.every',
      'schedule.anchor',
      'schedule.jitter',
      'schedule.missed',
      'bandwidthLimit',
      'schedule',
    ],
  )
  for (const text of found) assert.match(text, /; write/)
  assert.match(refusal(scheduled({})).message, /schedule has neither cron and every|neither cron nor every/)
})

test('what cannot be, one by one', () => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [null, /^the policy is/],
    [7, /^the policy is/],
    [{}, /^strata is/],
    [policy({}), /^schedule is missing/],
    [scheduled(null), /^schedule is/],
    [scheduled([]), /^schedule is/],
    [scheduled({ cron: 5 }), /^schedule\.cron is no text/],
    [scheduled({ cron: '*/4 * * * *' }), /^schedule\.cron runs more often than every 5m/],
    [scheduled({ cron: '0 2 30 2 *' }), /^schedule\.cron never runs/],
    [scheduled({ cron: '0 2 * * *\u202e' }), /^schedule\.cron is no cron expression/],
    [scheduled({ cron: '0 2 * * *', timeZone: 'Mars/Olympus' }), /^schedule\.timeZone is no time zone/],
    [scheduled({ cron: '0 2 * * *', anchor: '2026-01-01T00:00:00Z' }), /^schedule\.anchor goes with every only/],
    [scheduled({ every: '4h', timeZone: 'UTC' }), /^schedule\.timeZone goes with cron only/],
    [scheduled({ every: '4m' }), /at least 5m and at most 366d/],
    [scheduled({ every: '367d' }), /at most 366d/],
    [scheduled({ every: '0h' }), /is no duration/],
    [scheduled({ every: '4h', anchor: '2026-02-30T00:00:00Z' }), /^schedule\.anchor is no instant/],
    [scheduled({ every: '4h', anchor: '2026-02-03T00:00:00+01:00' }), /^schedule\.anchor is no instant/],
    [scheduled({ every: '1d', jitter: '13h' }), /at most 12h/],
    [scheduled({ every: '1h', jitter: '61m' }), /^schedule\.jitter is longer than the time between/],
    [scheduled({ cron: '0,20 * * * *', jitter: '21m' }), /^schedule\.jitter is longer than the time between/],
    [policy({ schedule: { every: '4h' }, bandwidthLimit: '100' }), /^bandwidthLimit is no rate/],
    [policy({ schedule: { every: '4h' }, requires: 'all' }), /^requires is/],
    [policy({ schedule: { every: '4h' }, requires: [7] }), /^requires\.0 is/],
  ]
  for (const [value, message] of wrong) {
    const found = problems(value)
    assert.ok(
      found.some((text) => message.test(text)),
      `${JSON.stringify(value)}: ${found.join(' | ')}`,
    )
  }
})

test('a policy with all that there is', () => {
  const written = policy({
    requires: ['hours', 'retention', 'chain', 'verification', 'immutability', 'storage-class', 'copies'],
    schedule: { cron: '0 2 * * *', timeZone: 'Europe/Berlin' },
    hours: [
      { days: 'mon-fri', from: '20:00', to: '06:00' },
      { days: ['sat', 'SUN'], from: '00:00', to: '24:00', timeZone: 'UTC' },
      { days: 'fri-mon', from: '12:30', to: '12:45' },
    ],
    retention: { last: 5, daily: 30, yearly: 2, undoWindow: '2d' },
    chain: { maxPoints: 100, maxAge: '90d', deadShare: 50 },
    verification: { everyDays: 7 },
    immutability: { mode: 'compliance', days: 800 },
    storageClass: [
      { afterDays: 30, class: 'infrequent' },
      { afterDays: 180, class: 'deep-archive' },
    ],
    copies: [{ name: 'second site', to: 's3://other/strata', retention: { monthly: 24, timeZone: 'UTC' } }],
  })
  const { policy: read, ignored } = readPolicy(written, 's3://own/strata')
  assert.deepEqual(ignored, [])
  const hourMs = 3600_000
  assert.deepEqual(read.hours, [
    { weekdays: [1, 2, 3, 4, 5], fromMs: 20 * hourMs, toMs: 30 * hourMs, timeZone: 'Europe/Berlin' },
    { weekdays: [0, 6], fromMs: 0, toMs: dayMs, timeZone: 'UTC' },
    { weekdays: [0, 1, 5, 6], fromMs: 12.5 * hourMs, toMs: 12.75 * hourMs, timeZone: 'Europe/Berlin' },
  ])
  assert.deepEqual(read.retention, {
    counts: { last: 5, hourly: 0, daily: 30, weekly: 0, monthly: 0, yearly: 2 },
    minimumAgeMs: 0,
    timeZone: 'Europe/Berlin',
    undoWindowMs: 2 * dayMs,
  })
  assert.deepEqual(read.chain, { pointsMax: 100, ageMsMax: 90 * dayMs, deadPercentMax: 50 })
  assert.deepEqual(read.verification, { everyDays: 7 })
  assert.deepEqual(read.immutability, { mode: 'compliance', days: 800 })
  assert.equal(read.storageClass.length, 2)
  assert.equal(read.copies[0]?.retention.counts.monthly, 24)
  assert.equal(read.copies[0].retention.timeZone, 'UTC')
})

test('a copy has its own retention, that of the policy where it says none, and it holds in its store', () => {
  const to = 's3://other/strata?region=eu-west-1'
  const { policy } = readPolicy(
    daily({
      retention: { weekly: 5 },
      copies: [
        { name: 'far', to, retention: { monthly: 24 } },
        { name: 'usb', to: 'file:///media/usb' },
      ],
    }),
  )
  assert.deepEqual(policy.copies[1]?.retention, policy.retention)
  assert.equal(retentionIn(policy, 's3://other/strata').counts.monthly, 24)
  assert.equal(retentionIn(policy, 's3://other/elsewhere'), policy.retention)
  assert.deepEqual([isSameStore(to, 's3://other/strata/x'), isSameStore(to, 's3://other/strata-2')], [true, false])
})

test('what cannot be of hours, of what is kept, and of copies', () => {
  const window = (members: object): unknown => daily({ hours: [members] })
  const copies = (...to: readonly string[]): unknown =>
    daily({ copies: to.map((url, index) => ({ name: `copy ${String(index)}`, to: url })) })
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [daily({ hours: {} }), /^hours is no list; write/],
    [daily({ hours: [] }), /^hours is empty; write/],
    [daily({ hours: ['20:00-06:00'] }), /^hours\.0 is no object; write one with members such as days, from, to/],
    [window({ from: '20:00' }), /^hours\.0\.to is missing; write it/],
    [window({ from: '8pm', to: '06:00' }), /^hours\.0\.from is no time of day; write/],
    [window({ from: '20:00', to: '24:01' }), /^hours\.0\.to is no time of day; write/],
    [window({ from: '24:00', to: '06:00' }), /^hours\.0\.from is the end of a day; write 00:00/],
    [window({ from: '06:00', to: '06:00' }), /^hours\.0 is empty, from 06:00 to 06:00; write 00:00 and 24:00/],
    [window({ days: 'weekdays', from: '20:00', to: '06:00' }), /^hours\.0\.days has no days of the week; write/],
    [window({ days: [], from: '20:00', to: '06:00' }), /^hours\.0\.days has no days/],
    [window({ days: 'mon-wed-fri', from: '20:00', to: '06:00' }), /^hours\.0\.days has no days/],
    [window({ from: '20:00', to: '06:00', timeZone: 'here' }), /^hours\.0\.timeZone is no time zone/],
    [daily({ retention: [] }), /^retention is no object; write one with members such as last, hourly, daily/],
    [daily({ retention: {} }), /^retention keeps nothing but the newest point; write/],
    [daily({ retention: { last: 0, daily: 0, undoWindow: '7d' } }), /^retention keeps nothing/],
    [daily({ retention: { daily: -1 } }), /^retention\.daily is no whole number from 0 to 3660; write/],
    [daily({ retention: { daily: 1.5 } }), /^retention\.daily is no whole number/],
    [daily({ retention: { daily: '7' } }), /^retention\.daily is no whole number/],
    [daily({ retention: { yearly: 101 } }), /^retention\.yearly is no whole number from 0 to 100/],
    [daily({ retention: { daily: 7, undoWindow: '12h' } }), /^retention\.undoWindow .*at least 1d and at most 90d/],
    [daily({ retention: { minimumAge: 7 } }), /^retention\.minimumAge is no text/],
    [daily({ chain: { maxPoints: 1 } }), /^chain\.maxPoints is no whole number from 2 to 1000/],
    [daily({ chain: { maxAge: '6h' } }), /^chain\.maxAge is not within its bounds; write at least 1d/],
    [daily({ chain: { deadShare: 0 } }), /^chain\.deadShare is no whole number from 1 to 100/],
    [daily({ verification: { everyDays: 0 } }), /^verification\.everyDays is no whole number from 1/],
    [daily({ immutability: { mode: 'worm', days: 30 } }), /^immutability\.mode is neither governance nor compliance/],
    [daily({ immutability: { mode: 'governance' } }), /^immutability\.days is missing/],
    [
      daily({ immutability: { mode: 'governance', days: 365 } }),
      /^immutability\.days is 365, but retention keeps points for up to 366 days; write at least 366/,
    ],
    [
      policy({
        schedule: { cron: '0 2 1 * *' },
        retention: { last: 3 },
        immutability: { mode: 'governance', days: 92 },
      }),
      /^immutability\.days is 92, but retention keeps points for up to 93 days/,
    ],
    [daily({ storageClass: [{ afterDays: 1, class: 'cold' }] }), /^storageClass\.0\.class is none of infrequent,/],
    [
      daily({
        storageClass: [
          { afterDays: 30, class: 'infrequent' },
          { afterDays: 30, class: 'archive' },
        ],
      }),
      /^storageClass\.1\.afterDays is no later than the one before; write/,
    ],
    [
      daily({
        storageClass: [
          { afterDays: 30, class: 'archive' },
          { afterDays: 60, class: 'infrequent' },
        ],
      }),
      /^storageClass\.1\.class is not colder than archive; write/,
    ],
    [copies('/mnt/second'), /^copies\.0\.to is no store: .*; write a URL such as/],
    [copies('file:///srv/own'), /^copies\.0\.to is the store itself, or lies in it or around it; write/],
    [copies('file:///srv/own/copy'), /^copies\.0\.to is the store itself/],
    [copies('file:///srv'), /^copies\.0\.to is the store itself/],
    [copies('s3://bucket/x', 's3://bucket/x/?region=eu-west-1'), /^copies\.1\.to is that of another copy/],
    [daily({ copies: [{ name: 'a/b', to: 's3://other/x' }] }), /^copies\.0\.name is no name/],
    [daily({ copies: [{ name: 'a', to: 's3://other/x', retention: {} }] }), /^copies\.0\.retention keeps nothing/],
    [
      daily({
        copies: [
          { name: 'a', to: 's3://other/x' },
          { name: 'a', to: 's3://other/y' },
        ],
      }),
      /^copies\.1\.name is that of another copy/,
    ],
  ]
  for (const [value, message] of wrong) {
    const found = problems(value)
    assert.ok(
      found.some((text) => message.test(text)),
      `${JSON.stringify(value)}: ${found.join(' | ')}`,
    )
  }
  assert.equal(readPolicy(copies('file:///srv/own-2', 's3://bucket/own', 's3://bucket/own-2')).policy.copies.length, 3)
})

test('locks may be as long as retention, or longer', () => {
  const days = (members: object, lock: number): number =>
    readPolicy(daily({ ...members, immutability: { mode: 'governance', days: lock } })).policy.immutability?.days ?? 0
  assert.equal(days({}, 366), 366)
  assert.equal(days({}, 36_500), 36_500)
  assert.equal(days({ retention: { daily: 14 } }, 14), 14)
  assert.equal(days({ retention: { weekly: 8, minimumAge: '60d' } }, 60), 60)
  assert.equal(days({ retention: { hourly: 48 } }, 48), 48)
})

test('whatever is offered: it is taken, or refused with a code of its own', () => {
  const near = fc.record(
    {
      strata: fc.constantFrom('policy', 'session'),
      version: fc.oneof(fc.constant(1), fc.jsonValue()),
      requires: fc.jsonValue(),
      schedule: fc.oneof(
        fc.record(
          {
            cron: fc.oneof(
              fc.constant('0 2 * * *'),
              fc.string({ unit: fc.constantFrom('0', '5', ' ', '*', '/', ',', '-') }),
            ),
            every: fc.oneof(fc.constant('4h'), fc.string()),
            anchor: fc.string(),
            jitter: fc.oneof(fc.constant('1h'), fc.jsonValue()),
            missed: fc.oneof(fc.constant('skip'), fc.jsonValue()),
          },
          { requiredKeys: [] },
        ),
        fc.jsonValue(),
      ),
      hours: fc.oneof(
        fc.array(
          fc.record(
            {
              days: fc.oneof(fc.constantFrom('mon-fri', 'sat'), fc.jsonValue()),
              from: fc.oneof(fc.constantFrom('20:00', '24:00'), fc.jsonValue()),
              to: fc.oneof(fc.constantFrom('06:00', '24:00'), fc.jsonValue()),
            },
            { requiredKeys: [] },
          ),
        ),
        fc.jsonValue(),
      ),
      retention: fc.oneof(fc.record({ last: fc.nat(3), minimumAge: fc.constantFrom('7d', '0d') }), fc.jsonValue()),
      chain: fc.oneof(fc.record({ maxPoints: fc.nat(1500), maxAge: fc.constant('1d') }), fc.jsonValue()),
      verification: fc.oneof(fc.record({ everyDays: fc.nat(3) }), fc.jsonValue()),
      immutability: fc.oneof(fc.record({ mode: fc.constant('governance'), days: fc.nat(500) }), fc.jsonValue()),
      storageClass: fc.oneof(
        fc.array(fc.record({ afterDays: fc.nat(9), class: fc.constantFrom('archive', 'infrequent') })),
        fc.jsonValue(),
      ),
      copies: fc.oneof(
        fc.array(fc.record({ name: fc.string(), to: fc.constantFrom('s3://one/x', 'file:///y', '') })),
        fc.jsonValue(),
      ),
    },
    { requiredKeys: ['strata', 'version'] },
  )
  fc.assert(
    fc.property(fc.oneof(near, fc.jsonValue()), (value) => {
      try {
        const { policy: read } = readPolicy(value)
        assert.ok(nextRun(read.schedule, '0'.repeat(32), 1.7e12) > 1.7e12)
      } catch (error) {
        assert.ok(error instanceof StrataError, String(error))
        assert.ok(['E_POLICY_INVALID', 'E_POLICY_NEWER'].includes(error.code), error.message)
      }
    }),
    { numRuns: 1000 },
  )
})

test('durations', () => {
  const durations = { '15m': 900_000, '4h': 14_400_000, '1d': 86_400_000, '90m': 5_400_000 }
  for (const [text, ms] of Object.entries(durations)) {
    assert.equal(durationFrom(text), ms)
    assert.equal(durationText(ms), text)
  }
  assert.equal(durationText(24 * 3600_000), '1d')
  for (const text of ['', '0m', '5', 'm', '-5m', '1.5h', '5 m', '5M', '1w', '100000m', '05m']) {
    assert.equal(durationFrom(text), undefined, text)
  }
})

test('a budget is an amount a month, in a currency or in that of the prices', () => {
  const budgetOf = (budget: unknown) => readPolicy(daily({ requires: ['budget'], budget })).policy.budget
  assert.deepEqual(budgetOf({ perMonth: 50, currency: 'EUR' }), { perMonth: 50, currency: 'EUR' })
  assert.deepEqual(budgetOf({ perMonth: 0.5 }), { perMonth: 0.5, currency: undefined })
  assert.deepEqual(readPolicy(daily({ budget: { perMonth: 1, perYear: 12 } })).ignored, ['budget.perYear'])
  for (const perMonth of [0, -1, '50', 2_000_000_000, Number.NaN, Infinity, undefined]) {
    assert.match(problems(daily({ budget: { perMonth } }))[0] ?? '', /^budget\.perMonth is .*write/)
  }
  assert.match(
    problems(daily({ budget: { perMonth: 1, currency: 'usd' } }))[0] ?? '',
    /^budget\.currency is no currency/,
  )
})
