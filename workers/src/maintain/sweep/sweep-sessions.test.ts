import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import { sealBox } from '@strata/shared/format/box.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import {
  manifestName,
  sessionEndName,
  sessionName,
  sessionOverName,
  tenantSessionsPrefix,
} from '@strata/shared/format/names.ts'
import { sessionType } from '@strata/shared/format/session.ts'
import { sessionLateMs } from '@strata/shared/limits.ts'
import { isReadable, isVoid } from '@strata/shared/repository/points.ts'
import { makeTestRepository, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import {
  assertComplete,
  assertDecided,
  later,
  nothing,
  numbersOf,
  objects,
  ofSession,
  openedMs,
  overMs,
  ownerOf,
  owners,
  seenBy,
  sendAll,
  sentSession,
  sweep,
} from '../../testing/dead-sessions.ts'
import type { Around } from '../../testing/stepped-store.ts'
import { TestSession } from '../../testing/test-session.ts'
import { giveUpSession } from './sweep-sessions.ts'

// ── what becomes of a session ──────────────────────────────────────────────────────────────────────────────────────

test('a dead session is given a void, and all that it has stored goes', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  await session.pack(7, [{ block: 1, content: 'x' }], { attempt: 'a000000000000000' })
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 1 })
  assert.deepEqual(await owners(test), [`void of ${session.id}`])
  const [entry] = await numbersOf(test)
  assert.ok(entry !== undefined && isVoid(entry))
  const { strata, version, sequence, previous, createdAt } = entry.void
  assert.deepEqual(
    [strata, version, sequence, previous, createdAt],
    ['void', 1, 1, null, new Date(overMs).toISOString()],
  )
  const number = manifestName(session.place, 1)
  assert.deepEqual(await objects(test), [number, sessionOverName(session.place, session.id)])
  assert.deepEqual(await sweep(test), nothing)
  assert.deepEqual(await objects(test), [number])
})

test('of a session that has become a point only the documents go', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  // Another attempt, which the commit did not take.
  await session.pack(0, [{ block: 2, content: 'other attempt' }], { attempt: 'a000000000000000' })
  await session.commit()
  const chains = await objects(test, 'chains/')
  assert.deepEqual(await sweep(test), { ...nothing, published: 1 })
  assert.deepEqual(await objects(test, 'chains/'), chains)
  assert.deepEqual(await objects(test, 'sessions/'), [])
  assert.deepEqual(await owners(test), [session.id])
  assert.equal(await assertDecided(test, session), 'point')
})

test('a session that was opened and nothing more is given a void as well', async () => {
  const test = makeTestRepository()
  const session = await new TestSession({ repository: test.repository, number: 1 }).open()
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 1 })
  assert.deepEqual(await owners(test), [`void of ${session.id}`])
})

test('an end without its session goes, and nothing else happens', async () => {
  const test = makeTestRepository()
  const lone = await sentSession(test, 1)
  const live = await sentSession(test, 2, { expiresAt: later })
  const last = await sentSession(test, 3)
  for (const { place, id } of [lone, last]) await test.store.delete(sessionName(place, id))
  const chains = await objects(test, 'chains/')
  assert.deepEqual(await sweep(test), { ...nothing, kept: 1 })
  assert.deepEqual(await objects(test, 'chains/'), chains)
  assert.deepEqual(ofSession(await objects(test, 'sessions/'), live), await objects(test, 'sessions/'))
  assert.deepEqual(await objects(test, 'points/'), [])
})

test('what lies among the sessions and is none of their documents is passed over', async () => {
  const test = makeTestRepository()
  const prefix = tenantSessionsPrefix(test.repository.tenant)
  const id = 'a'.repeat(32)
  const names = [
    `${prefix}note`,
    `${prefix}${id}/x/open`,
    `${prefix}${id}/${id}/other`,
    `${prefix}${id}/${id}/open.old`,
  ]
  for (const name of names) await test.store.put(name, [Uint8Array.of(1)])
  assert.deepEqual(await sweep(test), nothing)
  assert.deepEqual((await objects(test, 'sessions/')).sort(), names.sort())
})

test('several sets and sessions, dead and alive, are told apart', async () => {
  const test = makeTestRepository()
  const published = await sentSession(test, 1)
  await published.commit()
  const dead = [await sentSession(test, 2), await sentSession(test, 3, { sequenceAtOpen: 1 })]
  const live = await sentSession(test, 4, { sequenceAtOpen: 1, expiresAt: later })
  const before = await objects(test)
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 2, published: 1, kept: 1 })
  assert.deepEqual(await owners(test), [published.id, ...dead.map(({ id }) => `void of ${id}`)])
  const after = await objects(test)
  for (const { id, place } of dead) {
    assert.deepEqual(
      after.filter((name) => name.includes(id)),
      [sessionOverName(place, id)],
      `session ${id} in ${place.set}`,
    )
  }
  assert.deepEqual(ofSession(after, live), ofSession(before, live))
  assert.equal((await live.commit()).manifest.sequence, 4)
})

// ── when ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('nothing goes before both clocks say that it is time', async () => {
  for (const times of [{ storeMs: overMs - 1 }, { ownMs: overMs - 1 }, { storeMs: openedMs }, { ownMs: 0 }]) {
    const test = makeTestRepository()
    await sentSession(test, 1)
    const before = await objects(test)
    assert.deepEqual(await sweep(test, times), { ...nothing, kept: 1 })
    assert.deepEqual(await objects(test), before)
    assert.deepEqual(await sweep(test), { ...nothing, cleared: 1 })
  }
})

test('a session that says it lives longer does', async () => {
  const test = makeTestRepository()
  await sentSession(test, 1, { expiresAt: later })
  const before = await objects(test)
  assert.deepEqual(await sweep(test), { ...nothing, kept: 1 })
  assert.deepEqual(await objects(test), before)
})

test('sessions that are young cost one listing, however many there are', async () => {
  const test = makeTestRepository()
  for (let number = 1; number <= 20; number += 1) await sentSession(test, number)
  test.requests.length = 0
  assert.deepEqual(await sweep(test, { storeMs: openedMs + 1000, ownMs: openedMs + 1000 }), { ...nothing, kept: 20 })
  assert.deepEqual(
    test.requests.map(({ kind }) => kind),
    ['list'],
  )
})

test('without sessions a sweep is one listing', async () => {
  const test = makeTestRepository()
  await sweep(test)
  assert.deepEqual(
    test.requests.map(({ kind }) => kind),
    ['list'],
  )
})

// ── what cannot be read ────────────────────────────────────────────────────────────────────────────────────────────

async function assertUntouched(test: TestRepository, code: string): Promise<void> {
  const before = await objects(test)
  const { problem, ...counts } = await sweep(test)
  assert.deepEqual(counts, { cleared: 0, published: 0, kept: 0, unreadable: 1 })
  assert.equal(problem?.code, code)
  assert.deepEqual(await objects(test), before)
}

/** As after a point was made. */
async function forget({ store }: TestRepository, { place, id }: TestSession): Promise<void> {
  await store.delete(sessionEndName(place, id))
  await store.delete(sessionName(place, id))
}

async function rewrite(test: TestRepository, name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await test.store.put(name, [change(await test.store.get(name))])
}

const flipped = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes).with(-1, (bytes.at(-1) ?? 0) ^ 1)

test('a number that cannot be read may be the point of the session: nothing of it is touched', async () => {
  const newer = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes).with(6, 2)
  for (const [change, code] of [
    [flipped, 'E_SEAL_BROKEN'],
    [newer, 'E_FORMAT_NEWER'],
  ] as const) {
    for (const own of [true, false]) {
      const test = makeTestRepository()
      const session = await sentSession(test, 1)
      const other = own ? session : await sentSession(test, 2)
      await other.commit()
      if (!own) await forget(test, other)
      const name = manifestName(session.place, 1)
      const whole = await test.store.get(name)
      await rewrite(test, name, change)
      await assertUntouched(test, code)
      await test.store.put(name, [whole])
      assert.deepEqual(await sweep(test), { ...nothing, ...(own ? { published: 1 } : { cleared: 1 }) })
    }
  }
})

test('a number that was there when the session began, and is missing, or one after it: nothing is touched', async () => {
  const test = makeTestRepository()
  for (const number of [1, 2, 3]) {
    const session = await sentSession(test, number, { sequenceAtOpen: number - 1 })
    await session.commit()
    await forget(test, session)
  }
  const session = await sentSession(test, 4, { sequenceAtOpen: 1 })
  await test.store.delete(manifestName(session.place, 2))
  await assertUntouched(test, 'E_OBJECT_MISSING')
  await forget(test, session)
  await sentSession(test, 5, { sequenceAtOpen: 4 })
  await assertUntouched(test, 'E_OBJECT_MISSING')
})

test('a document that gives an old point for a session which began later has nothing of that point removed', async () => {
  const test = makeTestRepository()
  const published = await sentSession(test, 1)
  await published.commit()
  await forget(test, published)
  await (await sentSession(test, 2, { sequenceAtOpen: 1, expiresAt: later })).commit()
  const before = await objects(test, 'chains/')
  await new TestSession({ repository: test.repository, number: 1, sequenceAtOpen: 2 }).open()
  const name = manifestName(published.place, 1)
  const whole = await test.store.get(name)
  await test.store.put(name, [flipped(whole)])
  const { problem, ...counts } = await sweep(test)
  assert.deepEqual([problem?.code, counts], ['E_SEAL_BROKEN', { cleared: 0, published: 0, kept: 1, unreadable: 1 }])
  await test.store.put(name, [whole])
  assert.deepEqual(await sweep(test), { ...nothing, published: 1, kept: 1 })
  assert.deepEqual(await objects(test, 'chains/'), before)
  assert.equal(await assertDecided(test, published), 'point')
})

test('a session document that cannot be read, or is of another session, is left alone', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  const name = sessionName(session.place, session.id)
  const whole = await test.store.get(name)
  await test.store.put(name, [flipped(whole)])
  await assertUntouched(test, 'E_SEAL_BROKEN')
  const other = new TestSession({ repository: test.repository, number: 2 })
  Object.assign(other, { id: session.id })
  await test.store.delete(name)
  await other.open()
  await assertUntouched(test, 'E_FORMAT_DAMAGED')
  await test.store.put(name, [whole])
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 1 })
})

test('a session whose time means nothing stays', async () => {
  const test = makeTestRepository()
  const { document, id, place } = await sentSession(test, 1)
  const { indexKeys } = test.repository
  const text = Buffer.from(JSON.stringify({ ...document, expiresAt: '2026-99-99T99:99:99.999Z' }))
  await rewrite(test, sessionName(place, id), () =>
    sealBox(sessionType.kind, sessionName(place, id), text, indexKeys, test.repository.nonce()),
  )
  await assertUntouched(test, 'E_FORMAT_DAMAGED')
})

test("one session that cannot be read is in no other one's way", async () => {
  const test = makeTestRepository()
  const [first] = [await sentSession(test, 1), await sentSession(test, 2)]
  await rewrite(test, sessionName(first.place, first.id), flipped)
  const { problem, ...counts } = await sweep(test)
  assert.deepEqual(counts, { cleared: 1, published: 0, kept: 0, unreadable: 1 })
  assert.equal(problem?.code, 'E_SEAL_BROKEN')
})

test('a store that is away ends the sweep', async () => {
  const test = makeTestRepository()
  await sentSession(test, 1)
  const around: Around = async (request) => {
    if ((await objects(test, 'points/')).length > 0) throw new StrataError('E_STORE_UNREACHABLE', 'the cable is out')
    return await request()
  }
  await assert.rejects(sweep(test, { around }), { code: 'E_STORE_UNREACHABLE' })
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 1 })
})

// ── workers and sessions that go on ────────────────────────────────────────────────────────────────────────────────

/** Given up while a pack is stored just before request number `step`. @returns how many requests that took */
async function giveUpWithPackAt(step: number): Promise<number> {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  let requests = 0
  const stepped = seenBy(test, async (request) => {
    requests += 1
    if (requests === step) await session.pack(7, [{ block: 1, content: 'late' }], { attempt: 'b000000000000000' })
    return await request()
  })
  await giveUpSession(stepped, session.place.set, session.id)
  assert.deepEqual(await sweep(test, { storeMs: openedMs + sessionLateMs - 1 }), nothing)
  assert.ok(await test.store.head(sessionOverName(session.place, session.id)))
  for (let sweeps = 1; sweeps <= 2; sweeps += 1) await sweep(test, { storeMs: openedMs + sessionLateMs })
  assert.deepEqual(ofSession(await objects(test), session), [], `step ${String(step)} of ${String(requests)}`)
  return requests
}

test('whenever a pack comes while its session is given up, a day later it is not there', async () => {
  const requests = await giveUpWithPackAt(0)
  for (let step = 1; step <= requests + 1; step += 1) await giveUpWithPackAt(step)
})

test('packs that are stored after the sweep make no point, and go a day later, as long as there are some', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  await sweep(test)
  for (let late = 0; late < 2; late += 1) {
    await sendAll(session, 1)
    await assert.rejects(session.commit(), { code: 'E_SESSION_UNKNOWN' })
    await test.store.delete(sessionEndName(session.place, session.id))
    assert.deepEqual(await sweep(test), nothing)
    const over = sessionOverName(session.place, session.id)
    assert.deepEqual(ofSession(await objects(test), session), [over])
  }
  assert.deepEqual(await sweep(test), nothing)
  assert.deepEqual(await objects(test), [manifestName(session.place, 1)])
})

test('a document that says that the session of a point is over has nothing of that point removed', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  const over = sessionOverName(session.place, session.id)
  const { indexKeys } = test.repository
  await test.store.put(over, [encodeDocument(sessionType, over, session.document, indexKeys, test.repository.nonce())])
  await session.commit()
  await forget(test, session)
  const chains = await objects(test, 'chains/')
  assert.deepEqual(await sweep(test), nothing)
  assert.deepEqual(await objects(test, 'chains/'), chains)
  assert.deepEqual(await objects(test, 'sessions/'), [])
  await assertDecided(test, session)
})

test('a live session that meets the void of another takes the next number, and names its digest', async () => {
  const test = makeTestRepository()
  const dead = await sentSession(test, 1)
  const live = await sentSession(test, 2, { expiresAt: later })
  let swept = false
  const around: Around = async (request) => {
    // Just before it takes number 1.
    if (!swept && (await objects(test, 'chains/')).some((name) => name.includes('/map-'))) {
      swept = true
      await sweep(test)
    }
    return await request()
  }
  const { manifest } = await live.commit(seenBy(test, around))
  assert.ok(swept)
  const [first, second] = await numbersOf(test)
  assert.equal(first === undefined ? undefined : ownerOf(first), `void of ${dead.id}`)
  assert.deepEqual([manifest.point, manifest.sequence, manifest.previous], [live.id, 2, first?.digest])
  assert.ok(second !== undefined && isReadable(second))
  await assertComplete(test, second)
  const third = await sentSession(test, 3, { sequenceAtOpen: 2 })
  await sweep(test)
  assert.deepEqual(await owners(test), [`void of ${dead.id}`, live.id, `void of ${third.id}`])
})

test('a void is found again whatever number it has, and a point counts before it', async () => {
  const test = makeTestRepository()
  const [early, late] = [await sentSession(test, 1, { expiresAt: later }), await sentSession(test, 2)]
  await early.commit()
  const saved = await Promise.all(
    [...(await objects(test, 'sessions/')), ...(await objects(test, 'chains/'))].map(
      async (name) => [name, await test.store.get(name)] as const,
    ),
  )
  await sweep(test)
  // As after a power cut in which the deletes were lost.
  for (const [name, bytes] of saved) await test.store.put(name, [bytes])
  await assert.rejects(late.commit(), { code: 'E_SESSION_UNKNOWN', message: /number 2 of its set is a void/ })
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 1, kept: 1 })
  // A void that nobody could read for a while, and a commit that took the next number therefore.
  const name = manifestName(late.place, 2)
  const whole = await test.store.get(name)
  await rewrite(test, name, flipped)
  for (const [saving, bytes] of saved) await test.store.put(saving, [bytes])
  await late.commit()
  await test.store.put(name, [whole])
  const chains = await objects(test, 'chains/')
  assert.deepEqual(await sweep(test), { ...nothing, published: 1, kept: 1 })
  assert.deepEqual(await objects(test, 'chains/'), chains)
})

test('a sweep that is stopped leaves the rest to the next one', async () => {
  const test = makeTestRepository()
  const session = await sentSession(test, 1)
  for (let number = 2; number < 20; number += 1) await session.pack(number, [])
  await sentSession(test, 2)
  const stopping = new AbortController()
  const around: Around = async (request) => {
    const result = await request()
    if (ofSession(await objects(test, 'chains/'), session).length < 20) stopping.abort()
    return result
  }
  await assert.rejects(sweep(test, { around, signal: stopping.signal }), { code: 'E_INTERRUPTED' })
  assert.ok(await test.store.head(sessionName(session.place, session.id)))
  assert.deepEqual(await sweep(test), { ...nothing, cleared: 2 })
  assert.equal((await owners(test)).length, 2)
})
