import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import type { SessionInfo } from '@strata/shared/protocol/uplink.ts'
import { isReadable, listPoints } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository, seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { commitSession } from '../commit/commit-session.ts'
import { endOfZeroSession, zeroSession } from '../testing/zero-session.ts'
import { Gateway } from './gateway.ts'
import type { JobQueues } from './job-queues.ts'

interface Bench {
  readonly gateway: Gateway
  readonly repository: Repository
  readonly session: SessionInfo
}

type Commit = JobQueues['commit']

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
  const commit: Commit = async ({ set, session }) => {
    const { manifest } = await commitSession(repository, set as SessionInfo['set'], session as SessionInfo['session'])
    return { sequence: manifest.sequence }
  }
  const queues = { commit: around(commit) } as unknown as JobQueues
  const handOver = { path, segmentBytes: 1024 * 1024, remove: () => Promise.resolve() }
  const gateway = new Gateway(repository, queues, handOver, standingClock)
  return { gateway, repository, session: await gateway.open(zeroSession) }
}

async function pointsOf(repository: Repository): Promise<string[]> {
  const entries = await Array.fromAsync(listPoints(repository))
  return entries.map((entry) => (isReadable(entry) ? entry.manifest.point : 'no point'))
}

const redisLost = (): StrataError => new StrataError('E_REDIS_LOST', 'Redis is gone')

test('a point that was published is reported, though Redis was lost before it could say so', async (t) => {
  const { gateway, repository, session } = await bench(t, (commit) => async (...parameters) => {
    await commit(...parameters)
    throw redisLost()
  })
  const committed = await gateway.finish(session.session, endOfZeroSession(session))
  assert.equal(committed.point, session.session)
  assert.deepEqual(await pointsOf(repository), [session.session])
})

test('Redis that is lost before anything was published ends the run', async (t) => {
  const { gateway, repository, session } = await bench(t, () => () => Promise.reject(redisLost()))
  await assert.rejects(gateway.finish(session.session, endOfZeroSession(session)), { code: 'E_REDIS_LOST' })
  assert.deepEqual(await pointsOf(repository), [])
})

test('what cannot be cleared away after the commit is a warning: the point is made', async (t) => {
  const away = (): Promise<never> => Promise.reject(new StrataError('E_STORE_UNREACHABLE', 'the cable is out'))
  const { gateway, repository, session } = await bench(
    t,
    (commit) => commit,
    () => ({ delete: away }),
  )
  const committed = await gateway.finish(session.session, endOfZeroSession(session))
  assert.deepEqual(
    committed.warnings.map(({ code }) => code),
    ['W_LEFT_OVER'],
  )
  assert.deepEqual(await pointsOf(repository), [session.session])
})
