import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { StrataError } from '@strata/shared/errors.ts'
import { lapsedClaims } from '@strata/workers/queue-claim.ts'
import type { QueuePlace } from '@strata/workers/queue-place.ts'
import { checkRedis } from '@strata/workers/redis-connection.ts'
import { RedisGuard, type GuardOptions } from '@strata/workers/redis-guard.ts'
import { Redis } from 'ioredis'
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
    const guard = await RedisGuard.begin(placeIn(redis), { lostMsMax, beatIntervalMs: 100, ...options })
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

  test('one that comes back after it was lost is taken again', async () => {
    await guarded(async (guard) => {
      process.kill(redis.process.pid, 'SIGSTOP')
      try {
        await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_LOST' })
        await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_LOST' })
      } finally {
        process.kill(redis.process.pid, 'SIGCONT')
      }
      const deadlineMs = performance.now() + 10_000
      const works = async (): Promise<boolean> =>
        await guard.whileConnected(sleep(10, true)).catch((error: unknown) => {
          assert.ok(error instanceof StrataError && error.code === 'E_REDIS_LOST')
          return false
        })
      while (!(await works())) {
        assert.ok(performance.now() < deadlineMs)
        await sleep(20)
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
    const { promise: died, resolve } = Promise.withResolvers<StrataError>()
    await guarded(
      async (guard) => {
        resolve(new StrataError('E_REDIS_LOST', 'it ended'))
        await assert.rejects(guard.whileConnected(never), { message: 'it ended' })
      },
      { lostMsMax: 60_000, died },
    )
  })

  test('one that goes away is lost after a while', async () => {
    const other = await startRedis()
    const guard = await RedisGuard.begin(placeIn(other), { lostMsMax, beatIntervalMs: 100 })
    try {
      await other.stop()
      await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_LOST', message: /has been away for 1 s/ })
    } finally {
      guard.close()
    }
  })

  test('one that goes away and comes back in time is not lost', async () => {
    const other = await startRedis()
    const guard = await RedisGuard.begin(placeIn(other), { lostMsMax: 5 * lostMsMax, beatIntervalMs: 100 })
    try {
      const over = new AbortController()
      const work = guard.whileConnected(untilAborted(over.signal))
      await other.kill()
      await sleep(lostMsMax / 4)
      await other.startAgain()
      await renewed(other)
      // The rest of its time and as much again: it would be lost by now.
      await sleep(6 * lostMsMax)
      over.abort()
      assert.equal(await work, 'done')
    } finally {
      guard.close()
      await other.stop()
    }
  })

  test('one that answers and takes nothing is given up with its own words, and not before its time', async () => {
    await guarded(async (guard) => {
      const client = new Redis(redis.url)
      try {
        const work = guard.whileConnected(sleep(3 * lostMsMax, 'done'))
        for (let round = 0; round < 4; round += 1) {
          await client.config('SET', 'maxmemory', '1')
          await sleep(lostMsMax / 4)
          await client.config('SET', 'maxmemory', '0')
          await sleep(lostMsMax / 4)
        }
        assert.equal(await work, 'done')
        await client.config('SET', 'maxmemory', '1')
        await assert.rejects(guard.whileConnected(never), { code: 'E_REDIS_REFUSES', message: /for 1 s: .*OOM/ })
      } finally {
        await client.config('SET', 'maxmemory', '0')
        client.disconnect()
      }
    })
  })

  test('the claim on the queues lasts as long as the guard, and no longer', async () => {
    const client = new Redis(redis.url)
    const place = { ...placeIn(redis), prefix: 'strata-0123456789abcdef' }
    const guard = await RedisGuard.begin(place, { lostMsMax, beatIntervalMs: 50 })
    try {
      // As if it had been silent for long: the next beat makes up for it.
      await client.zadd('strata-claims', 1, place.prefix)
      assert.deepEqual(await lapsedClaims(client), [place.prefix])
      while ((await lapsedClaims(client)).length > 0) await sleep(10)
      await guard.giveBack()
      await sleep(200)
      assert.equal(await client.zscore('strata-claims', place.prefix), null)
    } finally {
      guard.close()
      client.disconnect()
    }
  })
})

function placeIn({ url }: TestRedis): QueuePlace {
  return { address: { url }, prefix: 'guarded' }
}

async function untilAborted(signal: AbortSignal): Promise<string> {
  await once(signal, 'abort')
  return 'done'
}

/** Resolves when a guard has reached this Redis, which has lost all that it knew. */
async function renewed({ url }: TestRedis): Promise<void> {
  const client = new Redis(url)
  while ((await client.exists('strata-claims')) === 0) await sleep(10)
  client.disconnect()
}

test('a Redis that is too old is refused', async (t) => {
  const old = createServer((socket) => {
    socket.on('data', (commands) => {
      const info = '# Server\r\nredis_version:6.0.20\r\nmaxmemory_policy:noeviction\r\nloading:0\r\n'
      for (const command of commands
        .toString()
        .split(/^\*[0-9]+\r\n/m)
        .slice(1)) {
        const isInfo = /^\$4\r\ninfo\r\n/i.test(command)
        socket.write(isInfo ? `$${String(info.length)}\r\n${info}\r\n` : '+OK\r\n')
      }
    })
  })
  const url = await listening(t, old)
  await assert.rejects(checkRedis({ url }), { code: 'E_REDIS_OLD', message: /6\.0\.20/ })
})

test('something that takes connections and says nothing cannot be reached', { timeout: 20_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const silent = createServer((socket) => {
    socket.once('data', () => {
      t.mock.timers.tick(60_000)
    })
  })
  const url = await listening(t, silent)
  await assert.rejects(checkRedis({ url }), { code: 'E_REDIS_UNREACHABLE' })
})

async function listening(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return `redis://127.0.0.1:${String(port)}`
}
