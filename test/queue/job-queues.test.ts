import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { jobCheckIntervalMs } from '@strata/shared/limits.ts'
import { commitQueue } from '@strata/shared/queue/commit-job.ts'
import { JobQueues } from '@strata/workers/gateway/job-queues.ts'
import { RedisGuard } from '@strata/workers/redis-guard.ts'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const job = { tenant: 'a'.repeat(32), set: 'b'.repeat(32), session: 'c'.repeat(32), after: 0 }

describeWith(redisRequirement, 'queues of jobs', () => {
  let redis: TestRedis
  let client: Redis
  before(async () => {
    redis = await startRedis()
    client = new Redis(redis.url)
  })
  after(async () => {
    client.disconnect()
    await redis.stop()
  })

  async function open(prefix: string): Promise<{ queues: JobQueues; close: () => Promise<void> }> {
    const place = { address: { url: redis.url }, prefix }
    const guard = await RedisGuard.begin(place)
    const queues = new JobQueues({ own: place, shared: place }, guard, systemRandomBytes)
    const close = async (): Promise<void> => {
      await queues.close()
      guard.close()
    }
    return { queues, close }
  }

  test('whoever waits for a job when the queues close hears so, and nothing is rejected unheard', async (t) => {
    // In the very steps after the job was added: where BullMQ's own waiting asks how the job is.
    for (let steps = 0; steps < 10; steps += 1) {
      const { queues, close } = await open(`closing-${String(steps)}`)
      let closed: Promise<void> | undefined
      // eslint-disable-next-line @typescript-eslint/unbound-method -- called on the queue it was taken from
      const { add } = Queue.prototype
      const closing = t.mock.method(
        Queue.prototype,
        'add',
        async function (this: Queue, ...job: Parameters<typeof add>) {
          const added = await add.apply(this, job)
          closed = stepsLater(steps, close)
          return added
        },
      )
      await assert.rejects(queues.commit(job, 1), { code: 'E_INTERRUPTED' })
      await closed
      closing.mock.restore()
    }
    // What was rejected and heard by nobody would show by now, and fail the test.
    await sleep(200)
  })

  test('a job that is given while the queues close is not waited for', async () => {
    const { queues, close } = await open('early')
    const refused = assert.rejects(queues.commit(job, 1), { code: 'E_INTERRUPTED' })
    await close()
    await refused
  })

  test('an answer whose event was lost on its way is found all the same', async () => {
    const { queues, close } = await open('lost')
    const answer = queues.commit(job, 1)
    const jobKey = `lost:${commitQueue}:${job.session}-commit-1`
    while ((await client.exists(jobKey)) === 0) await sleep(10)
    // Whoever waits for events needs a second to connect again; meanwhile the job is done, and its event goes.
    for (const id of await blockedClients(client)) await client.call('CLIENT', 'KILL', 'ID', id)
    const worker = new Worker(commitQueue, () => Promise.resolve({ sequence: 7 }), {
      connection: { url: redis.url },
      prefix: 'lost',
    })
    while ((await client.hexists(jobKey, 'finishedOn')) === 0) await sleep(10)
    await client.xtrim(`lost:${commitQueue}:events`, 'MAXLEN', 0)
    assert.deepEqual(await answer, { sequence: 7 })
    await worker.close()
    await close()
  })

  test('a job that Redis does not take is given again until it does', async () => {
    const { queues, close } = await open('full')
    await client.config('SET', 'maxmemory', '1')
    const answer = queues.commit(job, 1)
    await sleep(2 * jobCheckIntervalMs)
    const jobKey = `full:${commitQueue}:${job.session}-commit-1`
    assert.equal(await client.exists(jobKey), 0)
    await client.config('SET', 'maxmemory', '0')
    const worker = new Worker(commitQueue, () => Promise.resolve({ sequence: 8 }), {
      connection: { url: redis.url },
      prefix: 'full',
    })
    assert.deepEqual(await answer, { sequence: 8 })
    await worker.close()
    await close()
  })

  test('a job whose workers fall silent again and again is no bug of the program', async () => {
    const { queues, close } = await open('silent')
    const answer = assert.rejects(queues.commit(job, 1), { code: 'E_WORKER_DIED' })
    const { promise: dead, resolve: wake } = Promise.withResolvers<undefined>()
    const silent = new Worker(commitQueue, () => dead, {
      connection: { url: redis.url },
      prefix: 'silent',
      lockDuration: 100,
      stalledInterval: 100,
      skipLockRenewal: true,
      maxStalledCount: 0,
      // Free for the job when it is taken from the first one, which is what ends it.
      concurrency: 2,
    })
    silent.on('error', () => undefined)
    await answer
    wake(undefined)
    await silent.close()
    await close()
  })
})

async function stepsLater(steps: number, action: () => Promise<void>): Promise<void> {
  for (let step = 0; step < steps; step += 1) await Promise.resolve()
  await action()
}

/** Those that wait for something in Redis. */
async function blockedClients(client: Redis): Promise<string[]> {
  const list = (await client.client('LIST')) as string
  return list
    .split('\n')
    .flatMap((line) => (line.includes(' cmd=xread ') ? (/^id=([0-9]+)/.exec(line)?.[1] ?? []) : []))
}
