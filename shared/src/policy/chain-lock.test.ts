import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainLockFrom, isClosed, objectLockOf, pointLockEndMs, strongerLock } from './chain-lock.ts'
import { readPolicy, type Policy } from './policy.ts'
import { dayMs } from './wall-time.ts'

const nowMs = Date.UTC(2026, 0, 1)

function policyOf(members: object): Policy {
  const head = { strata: 'policy', version: 1, schedule: { every: '1d' }, retention: { last: 5, undoWindow: '2d' } }
  return readPolicy({ ...head, chain: { maxAge: '30d' }, ...members }).policy
}

test('a chain closes after its age, and every point of it is protected for its days and the undo window', () => {
  const lock = chainLockFrom(policyOf({ immutability: { mode: 'compliance', days: 10 } }), nowMs)
  assert.ok(lock !== undefined)
  const [closesMs, untilMs] = [Date.parse(lock.closesAt), Date.parse(lock.until)]
  assert.deepEqual([closesMs - nowMs, untilMs - nowMs], [30 * dayMs, 42 * dayMs])
  assert.deepEqual(objectLockOf(lock), { mode: 'compliance', untilMs })
  for (const createdMs of [nowMs, closesMs]) {
    assert.ok(!isClosed(lock, createdMs))
    assert.ok(pointLockEndMs(lock, new Date(createdMs).toISOString()) + 2 * dayMs <= untilMs)
  }
  assert.ok(isClosed(lock, closesMs + 1))
})

test('without immutability there is no lock', () => {
  assert.equal(chainLockFrom(policyOf({}), nowMs), undefined)
})

test('of two locks neither is given up', () => {
  const loose = { mode: 'governance', untilMs: 2 } as const
  const strict = { mode: 'compliance', untilMs: 1 } as const
  assert.deepEqual(strongerLock(loose, undefined), loose)
  for (const [a, b] of [
    [loose, strict],
    [strict, loose],
  ] as const) {
    assert.deepEqual(strongerLock(a, b), { mode: 'compliance', untilMs: 2 })
  }
})
