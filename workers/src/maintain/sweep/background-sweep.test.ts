import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { sessionName } from '@strata/shared/format/names.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository, standingClock, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import { objects, overMs, seenBy, sentSession, through } from '../../testing/dead-sessions.ts'
import type { Around } from '../../testing/stepped-store.ts'
import { BackgroundSweep } from './background-sweep.ts'

interface Begun {
  readonly sweep: BackgroundSweep
  /** Resolves with the first note. */
  readonly noted: Promise<string>
  readonly notes: readonly string[]
}

function begin(test: TestRepository, around: Around, signal?: AbortSignal): Begun {
  const { store } = seenBy(test, around)
  const repository = through(test, storeWith(store, { now: () => Promise.resolve(overMs) }), 0)
  const clock = { ...standingClock, nowMs: () => overMs }
  const notes: string[] = []
  const noted = Promise.withResolvers<string>()
  const onNote = (note: string): void => {
    notes.push(note)
    noted.resolve(note)
  }
  return { sweep: new BackgroundSweep({ repository, clock, signal, onNote }), noted: noted.promise, notes }
}

const atOnce: Around = (request) => request()

test('it clears away what is dead, without a word', async () => {
  const test = makeTestRepository()
  await sentSession(test, 1)
  const isClear = Promise.withResolvers<undefined>()
  const around: Around = async (request) => {
    const result = await request()
    if ((await objects(test, 'sessions/')).every((name) => name.endsWith('/over'))) isClear.resolve(undefined)
    return result
  }
  const { sweep, notes } = begin(test, around)
  await isClear.promise
  await sweep.stop()
  assert.deepEqual(notes, [])
})

test('a store that is away is a note, and so are sessions that cannot be read', async () => {
  const test = makeTestRepository()
  const { place, id } = await sentSession(test, 1)
  const away = begin(test, () => Promise.reject(new StrataError('E_STORE_UNREACHABLE', 'the cable is out')))
  assert.match(await away.noted, /stays there for now: the cable is out/)
  await away.sweep.stop()
  await test.store.put(sessionName(place, id), [new Uint8Array(100)])
  const unreadable = begin(test, atOnce)
  assert.match(await unreadable.noted, /^1 of the sessions that are over stay in the store: E_FORMAT_DAMAGED/)
  await unreadable.sweep.stop()
  assert.equal(unreadable.notes.length, 1)
})

test('stopping it waits for the request that is under way, and no longer; nothing is said of it', async () => {
  for (const by of ['stop', 'signal'] as const) {
    const test = makeTestRepository()
    await sentSession(test, 1)
    const before = await objects(test)
    const [isAsked, mayGoOn] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
    let requests = 0
    const around: Around = async (request) => {
      requests += 1
      isAsked.resolve(undefined)
      await mayGoOn.promise
      return await request()
    }
    const stopping = new AbortController()
    const { sweep, notes } = begin(test, around, stopping.signal)
    await isAsked.promise
    if (by === 'signal') stopping.abort()
    const stopped = sweep.stop()
    mayGoOn.resolve(undefined)
    await stopped
    assert.equal(requests, 1)
    assert.deepEqual(notes, [])
    assert.deepEqual(await objects(test), before)
  }
})
