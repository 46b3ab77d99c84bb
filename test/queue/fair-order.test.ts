import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { fairBytes, jobPriorityMax } from '@strata/shared/limits.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type SessionId, type TenantId } from '@strata/shared/types.ts'
import { Admission, type Upload } from '@strata/workers/gateway/admission.ts'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

describeWith(redisRequirement, 'the order of jobs', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  interface Bench {
    readonly prefix: string
    readonly queue: Queue
    readonly admission: Admission
    /** Gives jobs for the next `count` segments of a tenant. */
    readonly give: (tenant: string, count: number, bytes?: number) => Promise<void>
    /** Does so many jobs, one by one, and says whose they were. */
    readonly work: (count: number, onDone?: (tenant: string) => Promise<void>) => Promise<string>
  }

  function bench(t: TestContext): Bench {
    const prefix = t.name.replaceAll(/[^a-z]+/g, '-')
    const connection = { url: redis.url, maxRetriesPerRequest: null }
    const queue = new Queue('ingest', { connection, prefix })
    const place = { address: { url: redis.url }, prefix }
    const admission = new Admission(place, 'ingest', seededRandom(t.name))
    t.after(async () => {
      admission.close()
      await queue.close()
    })
    const given = new Map<string, number>()
    const give = async (tenant: string, count: number, bytes = fairBytes): Promise<void> => {
      for (let job = 0; job < count; job += 1) {
        const segment = given.get(tenant) ?? 0
        given.set(tenant, segment + 1)
        const upload = uploadOf(tenant, segment, bytes)
        await queue.add(tenant, upload, {
          priority: await admission.queued(upload),
          jobId: `${tenant}-${String(segment)}`,
        })
      }
    }
    const work = async (count: number, onDone?: (tenant: string) => Promise<void>): Promise<string> => {
      const worker = new Worker(queue.name, undefined, { connection, prefix })
      let done = ''
      while (done.length < count) {
        const job = await worker.getNextJob('token')
        await admission.release(job.data as Upload)
        await job.moveToCompleted(true, 'token', false)
        done += job.name
        await onDone?.(job.name)
      }
      await worker.close()
      return done
    }
    return { prefix, queue, admission, give, work }
  }

  function uploadOf(tenant: string, segment: number, bytes = fairBytes): Upload {
    const id = tenant.padStart(32, '0')
    return { tenant: asId<TenantId>(id), session: asId<SessionId>(id), segment, bytes }
  }

  test('BullMQ takes jobs without a priority first, then the lowest one, and of equal ones the oldest', async (t) => {
    const { queue, work } = bench(t)
    const jobs: readonly [string, number][] = [
      ['f', jobPriorityMax],
      ['c', 2],
      ['e', 3],
      ['d', 2],
      ['b', 1],
      ['a', 0],
    ]
    for (const [name, priority] of jobs) await queue.add(name, uploadOf(name, 0), { priority })
    assert.equal(await work(6), 'abcdef')
    await assert.rejects(queue.add('g', {}, { priority: jobPriorityMax + 1 }), /Priority should be/)
  })

  test('who comes late goes first with what one session has in flight, and then has every other turn', async (t) => {
    const { give, work } = bench(t)
    await give('a', 20)
    await work(10)
    await give('b', 8)
    assert.equal(await work(18), 'bbbbababababaaaaaa')
  })

  test('nobody is held up by a tenant that always has a few jobs there', async (t) => {
    const { give, work } = bench(t)
    await give('a', 20)
    await give('b', 2)
    // As soon as one of b's is done, it has the next one there.
    const done = await work(30, async (tenant) => {
      if (tenant === 'b') await give('b', 1)
    })
    assert.match(done, /^(?:(?:ab|ba)){15}$/)
  })

  test('small segments have their turns by what is in them', async (t) => {
    const { give, work } = bench(t)
    await give('a', 4, fairBytes)
    await give('b', 16, fairBytes / 4)
    const done = await work(20)
    for (const [start, end] of [
      [0, 5],
      [5, 10],
      [10, 15],
    ]) {
      assert.match(done.slice(start, end), /^b*ab*$/, done)
    }
  })

  test('a queue that went idle owes nobody anything', async (t) => {
    const { give, work } = bench(t)
    await give('a', 30)
    await work(30)
    await give('a', 3)
    await give('b', 3)
    assert.equal(await work(6), 'ababab')
  })

  test('a queue that is emptied now and then, and is never idle, owes nobody anything either', async (t) => {
    const { queue, admission, give, work } = bench(t)
    // It is on its way to a worker all the time.
    await admission.queued(uploadOf('c', 0))
    await give('a', 30)
    await work(30)
    await give('b', 8)
    await give('a', 8)
    assert.equal(await work(16), 'bbbbbbababaaaaaa')
    assert.equal(await queue.count(), 0)
  })

  test('a repeat has the same turn', async (t) => {
    const { admission, give } = bench(t)
    await give('a', 5)
    assert.equal(await admission.queued(uploadOf('a', 3)), 4)
    assert.equal(await admission.queued(uploadOf('a', 3)), 4)
    assert.equal(await admission.queued(uploadOf('a', 5)), 6)
  })

  test('when it is forgotten whose turn it is, the jobs that wait tell', async (t) => {
    const { prefix, give, work } = bench(t)
    await give('a', 20)
    await work(10)
    const client = new Redis(redis.url)
    await client.del(await client.keys(`${prefix}:admission:*`))
    client.disconnect()
    await give('b', 8)
    assert.equal(await work(8), 'bbbbabab')
  })

  test('when the numbers are used up, the order is that of arrival', async (t) => {
    const { prefix, give, work } = bench(t)
    await give('c', 1)
    const client = new Redis(redis.url)
    await client.hset(`${prefix}:admission:order:ingest`, 'now', fairBytes * jobPriorityMax)
    client.disconnect()
    await give('a', 6)
    await give('b', 6)
    assert.equal(await work(13), 'cabababaaabbb')
  })
})
