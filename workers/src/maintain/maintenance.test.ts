import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { maintainBeatMs, maintainIntervalMs, retiredLifeMs, stagedLeftLifeMs } from '@strata/shared/limits.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { retiredTags } from '@strata/shared/repository/retention/retired.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { stagedName } from '@strata/shared/staging/names.ts'
import { makeTestRepository, standingClock } from '@strata/shared/testing/test-repository.ts'
import { TestSession } from '../testing/test-session.ts'
import { testStaging } from '../testing/test-staging.ts'
import { Maintenance, type MaintenanceOptions } from './maintenance.ts'

/** A clock that goes on only when a beat is waited for; `beats` is told of each. */
function beatingClock(): { readonly clock: Clock; readonly beat: () => Promise<void> } {
  let nowMs = standingClock.nowMs()
  const startMs = nowMs
  let waiting = Promise.withResolvers<() => void>()
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
        waiting.resolve(() => {
          nowMs += ms
          resolve()
        })
      }),
  }
  return {
    clock,
    /** Resolves when the round before has ended, and lets the next one begin. */
    beat: async () => {
      const goOn = await waiting.promise
      waiting = Promise.withResolvers()
      goOn()
    },
  }
}

interface Bench {
  readonly beat: () => Promise<void>
  readonly commits: string[]
  readonly notes: string[]
  readonly marks: boolean[]
}

async function bench(t: TestContext, more: Partial<MaintenanceOptions> = {}): Promise<Bench> {
  const { repository } = makeTestRepository()
  const ended = await new TestSession({ repository, number: 1 }).open()
  await ended.end(0, [new Map()])
  const { clock, beat } = beatingClock()
  const commits: string[] = []
  const notes: string[] = []
  const marks: boolean[] = []
  const maintenance = new Maintenance({
    repositories: () => [repository],
    staging: undefined,
    jobs: {
      commit: ({ session }) => Promise.resolve(void commits.push(session)),
      stage: () => Promise.resolve(),
    },
    mark: () => Promise.resolve(marks.shift() ?? false),
    clock,
    onNote: (note) => notes.push(note),
    ...more,
  })
  t.after(() => maintenance.stop())
  return { beat, commits, notes, marks }
}

test('jobs are given again at the start, when Redis has lost its mark, and now and then', async (t) => {
  const { beat, commits, marks } = await bench(t)
  await beat()
  assert.equal(commits.length, 1)
  await beat()
  assert.equal(commits.length, 1)
  marks.push(true)
  await beat()
  await beat()
  assert.equal(commits.length, 2)
  for (let ms = 0; ms < maintainIntervalMs; ms += maintainBeatMs) await beat()
  assert.equal(commits.length, 3)
})

test('what cannot be done now is noted, and done in a later round', async (t) => {
  let isAway = true
  const done: string[] = []
  const { beat, notes } = await bench(t, {
    jobs: {
      commit: ({ session }) => {
        if (isAway) return Promise.reject(new StrataError('E_REDIS_LOST', 'Redis is gone'))
        return Promise.resolve(void done.push(session))
      },
      stage: () => Promise.resolve(),
    },
  })
  await beat()
  assert.match(notes.join(), /not now: Redis is gone/)
  isAway = false
  for (let ms = 0; ms < maintainIntervalMs; ms += maintainBeatMs) await beat()
  await beat()
  assert.equal(done.length, 1)
})

test('staged segments of sessions that are over go after their time, others stay', async (t) => {
  const { repository } = makeTestRepository()
  const { clock, beat } = beatingClock()
  const { staging, store } = testStaging(clock)
  const alive = await new TestSession({ repository, number: 1 }).open()
  const over = new TestSession({ repository, number: 2 })
  const names = [alive, over].map(({ place: { tenant, set, session } }) =>
    stagedName({ tenant, set, session, segment: 0, attempt: 'a'.repeat(16) }),
  )
  for (const name of names) await store.put(name, [new Uint8Array(1)])
  const maintenance = new Maintenance({
    repositories: () => [repository],
    staging,
    jobs: { commit: () => Promise.resolve(), stage: () => Promise.resolve() },
    mark: () => Promise.resolve(false),
    clock,
  })
  t.after(() => maintenance.stop())
  const left = async (): Promise<string[]> => (await Array.fromAsync(store.list(''))).map(({ name }) => name)
  await beat()
  assert.deepEqual((await left()).sort(), [...names].sort())
  for (let ms = 0; ms < stagedLeftLifeMs + maintainIntervalMs; ms += maintainBeatMs) await beat()
  await beat()
  assert.deepEqual(await left(), names.slice(0, 1))
})

test('what is retired goes a day later, where no bucket sees to it', async (t) => {
  const { clock, beat } = beatingClock()
  // By the store's clock: what was tagged an hour less than its life ago.
  let behindMs = retiredLifeMs - maintainIntervalMs
  const store = new MemoryStore({ clock: { ...clock, nowMs: () => clock.nowMs() - behindMs } })
  const { repository: template } = makeTestRepository()
  const repository = new Repository(store, template.ingestKeys, (count) => template.random(count))
  for (const name of ['retired', 'live']) await store.put(name, [new Uint8Array(1)])
  await store.setTags('retired', retiredTags)
  behindMs = 0
  const notes: string[] = []
  const maintenance = new Maintenance({
    // Two tenants of one store: it is looked through once.
    repositories: () => [repository, repository],
    staging: undefined,
    jobs: { commit: () => Promise.resolve(), stage: () => Promise.resolve() },
    mark: () => Promise.resolve(false),
    clock,
    onNote: (note) => notes.push(note),
  })
  t.after(() => maintenance.stop())
  const left = async (): Promise<string[]> => (await Array.fromAsync(store.list(''))).map(({ name }) => name)
  await beat()
  assert.deepEqual(await left(), ['live', 'retired'])
  for (let ms = 0; ms < maintainIntervalMs; ms += maintainBeatMs) await beat()
  await beat()
  assert.deepEqual([await left(), notes], [['live'], ['retired objects deleted: 1']])
})
