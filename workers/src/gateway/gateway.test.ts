import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { decodeDocument } from '@strata/shared/format/document.ts'
import { manifestName, packName, sessionEndName, sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { pinLifeMs, sendingsPerSegmentMax } from '@strata/shared/limits.ts'
import type { SessionInfo } from '@strata/shared/protocol/uplink.ts'
import { isReadable, listPoints } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger, withGone, withMark } from '@strata/shared/repository/retention/ledger.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository, seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { runCommit } from '../commit/commit-job.ts'
import { LocalSessions } from '../local/local-sessions.ts'
import { localGateway } from '../testing/local-parts.ts'
import { findOwnNumber, takeNumber } from '../commit/take-number.ts'
import { endOfZeroSession, zeroSession } from '../testing/zero-session.ts'
import type { JobQueues } from './job-queues.ts'

interface Bench {
  readonly sessions: LocalSessions
  readonly repository: Repository
  readonly session: SessionInfo
}

type Commit = JobQueues['commit']

/** Nothing is given up for taking long. */
const patientClock: Clock = { ...standingClock, sleep: () => new Promise(() => undefined) }

/** A gateway whose commits are done at once, without Redis, as `around` has it. */
async function bench(
  t: TestContext,
  around: (commit: Commit) => Commit,
  methods: (store: ObjectStore) => Partial<ObjectStore> = () => ({}),
): Promise<Bench> {
  const made = makeTestRepository()
  const store = storeWith(made.store, methods(made.store))
  const repository = new Repository(store, made.repository.ingestKeys, seededRandom('gateway'))
  const path = await mkdtemp(join(tmpdir(), 'strata-gateway-'))
  t.after(() => rm(path, { recursive: true }))
  const commit: Commit = async (job) => await runCommit(repository, job, undefined)
  const queues = { commit: around(commit) } as unknown as JobQueues
  const sessions = new LocalSessions(localGateway(repository, queues, patientClock), path)
  return { sessions, repository, session: (await sessions.open(zeroSession)).info }
}

async function pointsOf(repository: Repository): Promise<string[]> {
  const entries = await Array.fromAsync(listPoints(repository))
  return entries.map((entry) => (isReadable(entry) ? entry.manifest.point : 'no point'))
}

const redisLost = (): StrataError => new StrataError('E_REDIS_LOST', 'Redis is gone')

test('a point that was published is reported, though Redis was lost before it could say so', async (t) => {
  const { sessions, repository, session } = await bench(t, (commit) => async (...parameters) => {
    await commit(...parameters)
    throw redisLost()
  })
  const committed = await sessions.finish(session, endOfZeroSession(session))
  assert.equal(committed.point, session.session)
  assert.deepEqual(await pointsOf(repository), [session.session])
})

test('Redis that is lost before anything was published ends the run', async (t) => {
  const { sessions, repository, session } = await bench(t, () => () => Promise.reject(redisLost()))
  await assert.rejects(sessions.finish(session, endOfZeroSession(session)), { code: 'E_REDIS_LOST' })
  assert.deepEqual(await pointsOf(repository), [])
})

test('what cannot be cleared away after the commit is a warning: the point is made', async (t) => {
  const away = (): Promise<never> => Promise.reject(new StrataError('E_STORE_UNREACHABLE', 'the cable is out'))
  const { sessions, repository, session } = await bench(
    t,
    (commit) => commit,
    () => ({ delete: away }),
  )
  const committed = await sessions.finish(session, endOfZeroSession(session))
  assert.deepEqual(
    committed.warnings.map(({ code }) => code),
    ['W_LEFT_OVER'],
  )
  assert.deepEqual(await pointsOf(repository), [session.session])
})

function placeOf(repository: Repository, { set, chain, session }: SessionInfo): SessionPlace {
  return { ...repository.placeOf(set), chain, session }
}

/** As a sweeper does when the session is over. */
async function giveUp(repository: Repository, { set, session }: SessionInfo, last: number): Promise<void> {
  const search = { repository, set, session, unreadable: 'refused' } as const
  assert.equal(await findOwnNumber(search, 0, last), undefined)
  await takeNumber(search, last, (facts) => ({ strata: 'void', version: 1, session, ...facts }))
}

async function storedNames({ store }: Repository): Promise<string[]> {
  return (await Array.fromAsync(store.list('tenants/'))).map(({ name }) => name)
}

test('a commit that is done once more finds its documents swept away: the point is reported', async (t) => {
  const { sessions, repository, session } = await bench(t, (commit) => async (...parameters) => {
    await commit(...parameters)
    const place = placeOf(repository, session)
    await repository.store.delete(sessionEndName(place, place.session))
    await repository.store.delete(sessionName(place, place.session))
    return await commit(...parameters)
  })
  const committed = await sessions.finish(session, endOfZeroSession(session))
  assert.deepEqual([committed.point, committed.sequence], [session.session, 1])
})

test('a session that a sweeper has given up makes no point', async (t) => {
  const { sessions, repository, session } = await bench(t, (commit) => commit)
  await giveUp(repository, session, 0)
  await assert.rejects(sessions.finish(session, endOfZeroSession(session)), {
    code: 'E_SESSION_UNKNOWN',
    message: /number 1 of its set is a void/,
  })
  assert.deepEqual(await pointsOf(repository), ['no point'])
})

test('a session that begins after voids counts them, and builds on the point before them', async (t) => {
  const { sessions, repository, session } = await bench(t, (commit) => commit)
  const openOf = async (info: SessionInfo): Promise<Session> => {
    const name = sessionName(placeOf(repository, info), info.session)
    return decodeDocument(sessionType, name, await repository.store.get(name), repository.indexKeys)
  }
  await giveUp(repository, session, 0)
  // Only a void so far: the set has no point to build on.
  const first = (await sessions.open(zeroSession)).info
  assert.deepEqual([first.kind, first.warnings, (await openOf(first)).sequenceAtOpen], ['full', [], 1])
  const { sequence, point } = await sessions.finish(first, endOfZeroSession(first))
  assert.equal(sequence, 2)
  const second = (await sessions.open(zeroSession)).info
  await giveUp(repository, second, 2)
  const third = (await sessions.open(zeroSession)).info
  assert.deepEqual([third.kind, third.base?.point, (await openOf(third)).sequenceAtOpen], ['incremental', point, 3])
  assert.equal((await sessions.finish(third, endOfZeroSession(third))).sequence, 4)
})

test('a session that is given up leaves nothing; where that fails half-way, what tells of the rest stays', async (t) => {
  let isAway = false
  const { sessions, repository, session } = await bench(
    t,
    (commit) => commit,
    (store) => ({
      delete: async (name) => {
        if (isAway && name.endsWith('2')) throw new StrataError('E_STORE_UNREACHABLE', 'the cable is out')
        await store.delete(name)
      },
    }),
  )
  const second = (await sessions.open(zeroSession)).info
  for (const info of [session, second]) {
    const place = placeOf(repository, info)
    for (const attempt of ['0000000000000001', '0000000000000002']) {
      const name = packName(place, 'data', { session: place.session, number: 0, attempt })
      await repository.store.put(name, [Uint8Array.of(1)])
    }
  }
  await sessions.abandon(session)
  const left = await storedNames(repository)
  assert.deepEqual(
    left.filter((name) => name.includes(session.session)),
    [],
  )
  isAway = true
  await assert.rejects(sessions.abandon(second), { code: 'E_STORE_UNREACHABLE' })
  assert.ok(await repository.store.head(sessionName(placeOf(repository, second), second.session)))
})

test('a session that others have made a point of is no open one, whatever a gateway remembers', async () => {
  const { repository } = makeTestRepository()
  const gateway = localGateway(repository, {} as unknown as JobQueues, patientClock)
  const info = await gateway.open(zeroSession, 'a'.repeat(32))
  const ref = { set: info.set, session: info.session }
  assert.equal((await gateway.state(ref, 0)).state, 'open')
  await gateway.end(ref, 0, endOfZeroSession(info))
  assert.equal((await gateway.state(ref, 0)).state, 'ended')
  await runCommit(repository, { tenant: repository.tenant, ...ref, after: 0 }, undefined)
  assert.equal((await gateway.state(ref, 0)).state, 'committed')
})

test('an end may be repeated when the point was made; and nothing comes of one for a session that was given up', async () => {
  const { repository } = makeTestRepository()
  const gateway = localGateway(repository, {} as unknown as JobQueues, patientClock)
  const elsewhere = localGateway(repository, {} as unknown as JobQueues, patientClock)
  const made = await gateway.open(zeroSession, 'a'.repeat(32))
  await gateway.end(made, 0, endOfZeroSession(made))
  const { tenant, set, session } = placeOf(repository, made)
  await runCommit(repository, { tenant, set, session, after: 0 }, undefined)
  for (const any of [gateway, elsewhere]) {
    await any.end(made, 0, endOfZeroSession(made))
    assert.equal((await any.setOf(made, 0)).setName, zeroSession.setName)
  }
  const given = await gateway.open(zeroSession, 'b'.repeat(32))
  await elsewhere.abandon(given)
  for (const any of [gateway, elsewhere]) {
    await assert.rejects(any.end(given, 1, endOfZeroSession(given)), { code: 'E_SESSION_UNKNOWN' })
  }
  for (const info of [made, given]) {
    const name = sessionEndName(placeOf(repository, info), info.session)
    assert.equal(await repository.store.head(name), undefined)
  }
})

test('of a session that is given up when Redis was lost the document stays: a pack of it may still come', async () => {
  for (const isLost of [true, false]) {
    const { repository } = makeTestRepository()
    const handOver = (): Promise<never> =>
      Promise.reject(isLost ? redisLost() : new StrataError('E_HANDOVER_LOST', 'gone'))
    const gateway = localGateway(repository, { handOver } as unknown as JobQueues, patientClock)
    const info = await gateway.open(zeroSession, 'a'.repeat(32))
    await assert.rejects(gateway.handedOver(info, 0, { segmentFile: 'x', sealed: false }))
    await gateway.abandon(info)
    const left = await repository.store.head(sessionName(placeOf(repository, info), info.session))
    assert.equal(left !== undefined, isLost)
  }
})

test('a set that this gateway has seen is listed from its newest number on, and as a whole where that is gone', async () => {
  const made = makeTestRepository()
  const starts: (number | undefined)[] = []
  const list: ObjectStore['list'] = (prefix, options) => {
    starts.push(options?.startAfter === undefined ? undefined : Number(options.startAfter.split('/').at(-1)))
    return made.store.list(prefix, options)
  }
  const repository = new Repository(storeWith(made.store, { list }), made.repository.ingestKeys, seededRandom('seen'))
  const gateway = localGateway(repository, {} as unknown as JobQueues, patientClock)
  const opened = async (attempt: string): Promise<SessionInfo & { starts: typeof starts }> => {
    starts.length = 0
    const info = await gateway.open({ ...zeroSession, kind: 'full' }, attempt.repeat(32))
    return { ...info, starts: [...starts] }
  }
  for (const [index, attempt] of ['a', 'b', 'c', 'd'].entries()) {
    const info = await opened(attempt)
    assert.deepEqual([info.sequenceAtOpen, info.starts], [index, [index > 2 ? index - 2 : undefined]])
    const { tenant, set, session } = placeOf(repository, info)
    await gateway.end(info, index, endOfZeroSession(info))
    await runCommit(repository, { tenant, set, session, after: index }, undefined)
  }
  const { set, starts: last } = await opened('e')
  assert.deepEqual(last, [2])
  for (const sequence of [3, 4]) await made.store.delete(manifestName(repository.placeOf(set), sequence))
  const again = await opened('f')
  assert.deepEqual([again.sequenceAtOpen, again.starts], [2, [3, undefined]])
})

test('a segment may be handed over as often as an outage of Redis wants it, and not too often else', async () => {
  const { repository } = makeTestRepository()
  let isAway = true
  const handOver = (): Promise<never> =>
    Promise.reject(isAway ? redisLost() : new StrataError('E_HANDOVER_LOST', 'gone'))
  const gateway = localGateway(repository, { handOver } as unknown as JobQueues, patientClock)
  const { set, session } = await gateway.open(zeroSession, 'a'.repeat(32))
  const send = (): Promise<void> => gateway.handedOver({ set, session }, 0, { segmentFile: 'x', sealed: true })
  for (let sent = 0; sent < 2 * sendingsPerSegmentMax; sent += 1) await assert.rejects(send(), { code: 'E_REDIS_LOST' })
  isAway = false
  for (let sent = 0; sent < sendingsPerSegmentMax; sent += 1) await assert.rejects(send(), { code: 'E_HANDOVER_LOST' })
  await assert.rejects(send(), { code: 'E_LIMIT' })
})

/** The points of a set of zeros: a full, and as many on it as are asked for. */
async function makeZeroPoints({ sessions, session }: Bench, count: number): Promise<void> {
  let info = session
  for (let made = 0; made < count; made += 1) {
    await sessions.finish(info, endOfZeroSession(info))
    if (made + 1 < count) ({ info } = await sessions.open(zeroSession))
  }
}

test('a differential whose full retention lets go begins a new chain, and says why', async (t) => {
  const made = await bench(t, (commit) => commit)
  const { sessions, repository, session } = made
  await makeZeroPoints(made, 2)
  const asked = { ...zeroSession, kind: 'differential' } as const
  const before = await sessions.open(asked)
  assert.deepEqual([before.info.kind, before.info.base?.sequence], ['differential', 1])
  await sessions.abandon(before.info)
  const ledger = new RetentionLedger(repository)
  const dueAt = new Date(standingClock.nowMs() + pinLifeMs - 1).toISOString()
  const mark = { since: dueAt, dueAt, why: 'test' }
  await ledger.change(session.set, ({ state }) => ({ state: withMark(state, [1], mark), change: 'marked' }))
  const { info } = await sessions.open(asked)
  assert.deepEqual([info.kind, info.base, info.warnings.map(({ code }) => code)], ['full', null, ['W_FULL_RETIRED']])
  const onNewest = await sessions.open(zeroSession)
  assert.deepEqual([onNewest.info.kind, onNewest.info.base?.sequence], ['incremental', 2])
})

test('a full that goes while a differential is opened on it: the session is refused', async (t) => {
  let isPlanned = false
  const made = await bench(
    t,
    (commit) => commit,
    (store) => ({
      put: async (name, parts, options) => {
        await store.put(name, parts, options)
        if (!isPlanned || !name.endsWith('/open')) return
        isPlanned = false
        const ledger = new RetentionLedger(repository)
        await ledger.change(session.set, ({ state }) => ({ state: withGone(state, [1]), change: 'gone' }))
      },
    }),
  )
  const { sessions, repository, session } = made
  await makeZeroPoints(made, 2)
  isPlanned = true
  await assert.rejects(sessions.open({ ...zeroSession, kind: 'differential' }), { code: 'E_POINT_RETIRED' })
})
