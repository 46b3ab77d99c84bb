import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { StrataError } from '@strata/shared/errors.ts'
import { checkRedis } from '@strata/workers/redis-connection.ts'
import { RedisGuard, type GuardOptions } from '@strata/workers/redis-guard.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const lostMsMax = 1000
const never = new Promise<never>(() => undefined)

describeWith(redisRequirement, 'the guard of Redis', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  async function guarded(work: (guard: RedisGuard) => Promise<void>, options: GuardOptions = {}): Promise<void> {
    const guard = new RedisGuard({ url: redis.url }, { lostMsMax, beatIntervalMs: 100, ...options })
    try {
      await work(guard)
    } finally {
      guard.close()
    }
  }

  test('while Redis answers, work ends as it ends', async () => {
    await guarded(async (guard) => {
      assert.equal(await guard.whileConnected(sleep(2 * lostMsMax, 'done')), 'done')
      await assert.rejects(guard.whileConnected(Promise.reject(new Error('failed'))), /failed/)
    })
  })

  test('a Redis that is there and does not answer is lost, and not before its time', async () => {
    await guarded(async (guard) => {
      await sleep(lostMsMax / 2)
      const startedMs = performance.now()
      process.kill(redis.process.pid, 'SIGSTOP')
      try {
        await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_LOST', message: /has not answered for 1 s/ })
        assert.ok(performance.now() - startedMs > lostMsMax / 2)
      } finally {
        process.kill(redis.process.pid, 'SIGCONT')
      }
    })
  })

  test('one that answers again in time is not lost', async () => {
    const pauseMs = 400
    await guarded(
      async (guard) => {
        const work = guard.whileConnected(sleep(10 * pauseMs, 'done'))
        for (let pause = 0; pause < 8; pause += 1) {
          process.kill(redis.process.pid, 'SIGSTOP')
          await sleep(pauseMs)
          process.kill(redis.process.pid, 'SIGCONT')
          await sleep(pauseMs / 4)
        }
        assert.equal(await work, 'done')
      },
      { lostMsMax: 6 * pauseMs },
    )
  })

  test('one that is known to have died is lost at once', async () => {
    const died = Promise.resolve(new StrataError('E_REDIS_LOST', 'it ended'))
    await guarded((guard) => assert.rejects(guard.whileConnected(never), { message: 'it ended' }), {
      lostMsMax: 60_000,
      died,
    })
  })

  test('one that goes away is lost after a while, unless it is there again', async () => {
    const other = await startRedis()
    const guard = new RedisGuard({ url: other.url }, { lostMsMax, beatIntervalMs: 100 })
    try {
      await sleep(lostMsMax / 4)
      await other.stop()
      await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_LOST', message: /has been away for 1 s/ })
    } finally {
      guard.close()
    }
  })
})

test('something that takes connections and says nothing cannot be reached', { timeout: 20_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const silent = createServer((socket) => {
    socket.once('data', () => {
      t.mock.timers.tick(60_000)
    })
  })
  await new Promise<void>((resolve) => {
    silent.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => silent.close())
  const { port } = silent.address() as AddressInfo
  await assert.rejects(checkRedis({ url: `redis://127.0.0.1:${String(port)}` }), { code: 'E_REDIS_UNREACHABLE' })
})
