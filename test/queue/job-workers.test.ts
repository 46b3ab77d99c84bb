import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { jobAttemptsMax } from '@strata/shared/limits.ts'
import { isReadable, listPoints } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { makeTestRepository, seededRandom, standingClock } from '@strata/shared/testing/test-repository.ts'
import { JobQueues } from '@strata/workers/gateway/job-queues.ts'
import { LocalSessions } from '@strata/workers/local/local-sessions.ts'
import { localGateway, localWorkers } from '@strata/workers/testing/local-parts.ts'
import { createHandOver } from '@strata/shared/spool/hand-over.ts'
import { RedisGuard } from '@strata/workers/redis-guard.ts'
import { endOfZeroSession, zeroSession } from '@strata/workers/testing/zero-session.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

describeWith(redisRequirement, 'jobs that fail', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  interface Bench {
    /** Opens a session and finishes it. */
    readonly backUp: () => Promise<string>
    readonly points: () => Promise<string[]>
  }

  /** Gateway, queues and workers over a store that answers its first manifests with errors. */
  async function bench(t: TestContext, manifestErrors: StrataError[]): Promise<Bench> {
    const made = makeTestRepository()
    const store = storeWith(made.store, {
      put: async (name, parts, options) => {
        const error = name.includes('/points/') ? manifestErrors.shift() : undefined
        if (error !== undefined) throw error
        await made.store.put(name, parts, options)
      },
    })
    const repository = new Repository(store, made.repository.ingestKeys, seededRandom(t.name))
    const handOver = await createHandOver(undefined)
    const place = { address: { url: redis.url }, prefix: t.name.replaceAll(/[^a-z]+/g, '-') }
    const guard = await RedisGuard.begin(place)
    const queues = new JobQueues({ own: place, shared: place }, guard, systemRandomBytes)
    const workers = localWorkers(repository, place, handOver.path)
    t.after(async () => {
      await workers.close()
      await queues.close()
      guard.close()
      await handOver.remove()
    })
    const gateway = localGateway(repository, queues, standingClock)
    const sessions = new LocalSessions(gateway, handOver.path)
    const backUp = async (): Promise<string> => {
      const { info } = await sessions.open(zeroSession)
      return (await sessions.finish(info, endOfZeroSession(info))).point
    }
    const points = async (): Promise<string[]> => {
      const entries = await Array.fromAsync(listPoints(repository))
      return entries.map((entry) => (isReadable(entry) ? entry.manifest.point : 'no point'))
    }
    return { backUp, points }
  }

  const away = (): StrataError => new StrataError('E_STORE_BUSY', 'the store is being moved')

  test('for a reason that passes are tried again', async (t) => {
    const errors = [away(), away()]
    const { backUp, points } = await bench(t, errors)
    const point = await backUp()
    assert.equal(errors.length, 0)
    assert.deepEqual(await points(), [point])
  })

  test('for a reason that passes are given up in the end, with that reason', async (t) => {
    const errors = Array.from({ length: jobAttemptsMax + 1 }, away)
    const { backUp, points } = await bench(t, errors)
    await assert.rejects(backUp(), { code: 'E_STORE_BUSY', message: 'the store is being moved' })
    assert.equal(errors.length, 1)
    assert.deepEqual(await points(), [])
  })

  test('for a reason that stays are not tried again', async (t) => {
    const errors = [new StrataError('E_STORE_DENIED', 'read only'), away()]
    const { backUp, points } = await bench(t, errors)
    await assert.rejects(backUp(), { code: 'E_STORE_DENIED' })
    assert.equal(errors.length, 1)
    assert.deepEqual(await points(), [])
  })
})
