import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { StrataError } from '../errors.ts'
import { parseDocument } from '../format/document.ts'
import { durationFrom, durationText } from './duration.ts'
import { policyType, readPolicy } from './policy.ts'
import { nextRun } from './schedule.ts'

const policy = (members: object): unknown => ({ strata: 'policy', version: 1, ...members })
const scheduled = (schedule: unknown): unknown => policy({ schedule })

function refusal(value: unknown): StrataError {
  try {
    readPolicy(value)
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
    bytesPerSecondMax: undefined,
  })
  const { schedule } = readPolicy(scheduled({ cron: '0 2 * * *' })).policy
  assert.equal(schedule.kind === 'cron' && schedule.timeZone, 'UTC')
  assert.equal(nextRun(readPolicy(scheduled({ every: '1d' })).policy.schedule, '0'.repeat(32), 1), 24 * 3600_000)
})

test('members that are not known are left out of account, told of and kept', () => {
  const value = policy({ schedule: { every: '1d', onEvent: 'logon' }, shedule: 1, retention: { daily: 7 } })
  const { ignored, document } = readPolicy(value)
  assert.deepEqual(ignored, ['shedule', 'retention', 'schedule.onEvent'])
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
