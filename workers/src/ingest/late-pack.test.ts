import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  attemptFromBytes,
  packName,
  sessionEndName,
  sessionName,
  type SessionPlace,
} from '@strata/shared/format/names.ts'
import { makeTestRepository, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import type { SessionId } from '@strata/shared/types.ts'
import { commitSession } from '../commit/commit-session.ts'
import { giveUpSession } from '../maintain/sweep/sweep-sessions.ts'
import { objects, ofSession, seenBy, sentSession } from '../testing/dead-sessions.ts'
import type { TestSession } from '../testing/test-session.ts'
import { removeIfLate } from './late-pack.ts'

/** A pack as a worker that was stalled stores it. */
async function storeLate({ store }: TestRepository, { place, id }: TestSession): Promise<string> {
  const name = packName(place, 'data', { session: id, number: 0, attempt: attemptFromBytes(new Uint8Array(8)) })
  await store.put(name, [new Uint8Array(64)], { ifAbsent: true })
  return name
}

async function removeDocuments({ store }: TestRepository, place: SessionPlace, session: SessionId): Promise<void> {
  await store.delete(sessionEndName(place, session))
  await store.delete(sessionName(place, session))
}

test('a pack that comes when its session was given up goes again', async () => {
  const made = makeTestRepository()
  const session = await sentSession(made, 1)
  await giveUpSession(made.repository, session.place.set, session.id)
  const late = await storeLate(made, session)
  await removeIfLate(made.repository, session.place, 0, late)
  assert.deepEqual(ofSession(await objects(made), session), [])
})

test('one of a session that has become a point stays, also where its documents are gone: it may be the chosen one', async () => {
  const made = makeTestRepository()
  const session = await sentSession(made, 1)
  await commitSession(made.repository, session.place.set, session.id)
  await removeDocuments(made, session.place, session.id)
  const [chosen = ''] = ofSession(await objects(made, 'chains/'), session)
  await removeIfLate(made.repository, session.place, 0, chosen)
  assert.ok((await objects(made)).includes(chosen))
})

test('one of a session of which nobody knows what it became stays', async () => {
  const made = makeTestRepository()
  const session = await sentSession(made, 1)
  await removeDocuments(made, session.place, session.id)
  const late = await storeLate(made, session)
  await removeIfLate(made.repository, session.place, 0, late)
  assert.ok((await objects(made)).includes(late))
})

/** @returns how many requests it took to give the session up */
async function giveUpWithPackAt(step: number, looksAtOnce: boolean): Promise<number> {
  const made = makeTestRepository()
  const session = await sentSession(made, 1)
  const look = (name: string): Promise<void> => removeIfLate(made.repository, session.place, 0, name)
  let requests = 0
  let late: string | undefined
  const stepped = seenBy(made, async (request) => {
    requests += 1
    if (requests === step) {
      late = await storeLate(made, session)
      if (looksAtOnce) await look(late)
    }
    return await request()
  })
  await giveUpSession(stepped, session.place.set, session.id)
  if (late !== undefined && !looksAtOnce) await look(late)
  assert.deepEqual(ofSession(await objects(made), session), [], `step ${String(step)} of ${String(requests)}`)
  return requests
}

test('whenever a pack comes while its session is given up, it is not there in the end', async () => {
  for (const looksAtOnce of [true, false]) {
    const requests = await giveUpWithPackAt(0, looksAtOnce)
    for (let step = 1; step <= requests; step += 1) await giveUpWithPackAt(step, looksAtOnce)
  }
})
