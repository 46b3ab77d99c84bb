import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { runAttemptsMax, runRetryDelayMs } from '@strata/shared/limits.ts'
import { runByPolicy, type PolicyLoopOptions } from './policy-loop.ts'
import type { OfferedPolicy, ScheduledRun } from './schedule-keeper.ts'

const away = (): StrataError => new StrataError('E_SERVICE_UNREACHABLE', 'the line is down')
const offered: OfferedPolicy = { id: 'a'.repeat(32), version: 1, document: {} }

interface Said {
  readonly slept: number[]
  readonly taken: OfferedPolicy[]
  readonly problems: string[]
  readonly failures: (readonly [string, number | undefined])[]
  readonly backedUp: number[]
}

/** Runs a loop with so many scheduled times; pauses pass at once, but for the one between questions. */
async function loop(times: number, more: Partial<PolicyLoopOptions> = {}): Promise<Said> {
  const said: Said = { slept: [], taken: [], problems: [], failures: [], backedUp: [] }
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    sleep: (ms, signal) => {
      if (ms === runRetryDelayMs) {
        said.slept.push(ms)
        return Promise.resolve()
      }
      return new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
      })
    },
  }
  await runByPolicy({
    keeper: {
      runs: async function* (): AsyncGenerator<ScheduledRun, void, void> {
        for (let time = 1; time <= times; time += 1) yield await Promise.resolve({ scheduledMs: time, missed: 0 })
      },
      take: (policy) => said.taken.push(policy) > 0,
    },
    askPolicy: () => Promise.resolve(offered),
    backUp: ({ scheduledMs }) => Promise.resolve(void said.backedUp.push(scheduledMs)),
    clock,
    signal: new AbortController().signal,
    onPolicyProblem: ({ code }) => said.problems.push(code),
    onRunFailure: ({ code }, againInMs) => said.failures.push([code, againInMs]),
    ...more,
  })
  return said
}

test('each scheduled time is a backup, and the policy is asked for before the first', async () => {
  const { backedUp, taken, failures } = await loop(3)
  assert.deepEqual([backedUp, taken, failures], [[1, 2, 3], [offered], []])
})

test('with nobody to ask, or a policy that is not understood, the last one is kept to', async () => {
  const { backedUp, taken, problems } = await loop(2, { askPolicy: () => Promise.reject(away()) })
  assert.deepEqual([backedUp, taken, problems], [[1, 2], [], ['E_SERVICE_UNREACHABLE']])
  const none = await loop(1, { askPolicy: () => Promise.resolve(null) })
  assert.deepEqual([none.backedUp, none.taken, none.problems], [[1], [], []])
})

test('what may pass is tried again with pauses, and in the end left to the next time', async () => {
  let failing = 2
  const tried: number[] = []
  const backUp = ({ scheduledMs }: ScheduledRun): Promise<void> => {
    tried.push(scheduledMs)
    failing -= 1
    return failing >= 0 ? Promise.reject(away()) : Promise.resolve()
  }
  const passing = await loop(1, { backUp })
  assert.deepEqual(tried, [1, 1, 1])
  assert.deepEqual(passing.slept, [runRetryDelayMs, runRetryDelayMs])
  const lasting = await loop(2, { backUp: () => Promise.reject(away()) })
  assert.equal(lasting.failures.length, 2 * runAttemptsMax)
  assert.deepEqual(lasting.failures[runAttemptsMax - 1], ['E_SERVICE_UNREACHABLE', undefined])
})

test('what stays wrong is told once, and waits for the next time', async () => {
  const { failures, slept } = await loop(2, {
    backUp: () => Promise.reject(new StrataError('E_SOURCE_MISSING', 'no disk')),
  })
  assert.deepEqual(failures, [
    ['E_SOURCE_MISSING', undefined],
    ['E_SOURCE_MISSING', undefined],
  ])
  assert.deepEqual(slept, [])
})

test('who interrupts a run ends the loop', async () => {
  const interruption = new AbortController()
  const reason = new StrataError('E_INTERRUPTED', 'interrupted')
  await assert.rejects(
    loop(3, {
      signal: interruption.signal,
      backUp: () => {
        interruption.abort(reason)
        return Promise.reject(reason)
      },
    }),
    { code: 'E_INTERRUPTED' },
  )
})
