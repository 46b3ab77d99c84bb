import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { ScrubLedger } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { makeTestRepository, standingClock } from '@strata/shared/testing/test-repository.ts'
import { TestSession } from '../../testing/test-session.ts'
import { BackgroundScrub } from './background-scrub.ts'

/** A clock that says when somebody begins to sleep, and lets nobody wake but by the signal. */
function sleepyClock(): { clock: Clock; asleep: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const sleep: Clock['sleep'] = (_ms, signal) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
      resolve(undefined)
    })
  return { clock: { ...standingClock, sleep }, asleep: promise }
}

async function scrubbed(
  t: TestContext,
  options: { hasPolicy: boolean; spoil?: (pack: string, store: ObjectStore) => Promise<void> },
) {
  const { repository } = makeTestRepository()
  const session = await new TestSession({ repository, number: 1 }).open()
  const pack = await session.pack(0, [{ block: 1, content: 'one' }])
  await session.end(1, [new Map([[1, 'one']])])
  await session.commit()
  await options.spoil?.(pack, repository.store)
  if (options.hasPolicy) {
    await appendPolicy(new Registry(repository), { strata: 'policy', version: 1, schedule: { every: '1d' } })
  }
  const { clock, asleep } = sleepyClock()
  const notes: string[] = []
  const scrub = new BackgroundScrub({ repositories: () => [repository], clock, onNote: (note) => notes.push(note) })
  t.after(() => scrub.stop())
  await asleep
  return { notes, state: await new ScrubLedger(repository).read(session.place.set) }
}

test('the sets of a tenant with a policy are read back', async (t) => {
  const { notes, state } = await scrubbed(t, { hasPolicy: true })
  assert.equal(state?.takenIn, 1)
  assert.deepEqual(notes, [])
})

test('without a policy nothing is read', async (t) => {
  assert.equal((await scrubbed(t, { hasPolicy: false })).state, undefined)
})

test('what is damaged is noted', async (t) => {
  const { notes } = await scrubbed(t, { hasPolicy: true, spoil: (pack, store) => store.delete(pack) })
  assert.match(notes.join(), /^E_POINT_DAMAGED: set [0-9a-f]{32}: 1 points are damaged in 1 places$/)
})
