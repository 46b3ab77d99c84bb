import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Worker } from 'bullmq'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { smallSegmentBytesMax } from '@strata/shared/limits.ts'
import { handOverQueues, stagedQueues, type HandOverJob, type StagedJob } from '@strata/shared/queue/ingest-job.ts'
import { JobQueues } from '@strata/workers/gateway/job-queues.ts'
import { RedisGuard } from '@strata/workers/redis-guard.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

const ids = { tenant: 'a'.repeat(32), set: 'b'.repeat(32), session: 'c'.repeat(32) }

describeWith(redisRequirement, 'small segments', () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  test('wait for no worker that has a large one; what is small is told by its bytes, if they are known', async (t) => {
    const own = { address: { url: redis.url }, prefix: 'small-own' }
    const shared = { ...own, prefix: 'small-shared' }
    const guard = await RedisGuard.begin(own)
    const queues = new JobQueues({ own, shared }, guard, systemRandomBytes)
    const [mayEnd, hasLarge] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
    const packed: string[] = []
    const all = [...Object.entries(handOverQueues), ...Object.entries(stagedQueues)]
    const workers = all.map(([size, name]) => {
      const { prefix } = name.startsWith('hand-over') ? own : shared
      const pack = async ({ data }: { data: HandOverJob | StagedJob }): Promise<{ packBytes: number }> => {
        if (size === 'large') {
          hasLarge.resolve(undefined)
          await mayEnd.promise
        }
        packed.push(`${data.from} ${size} ${String(data.segment)}`)
        return { packBytes: 1 }
      }
      return new Worker(name, pack, { connection: { url: redis.url }, prefix, concurrency: 1 })
    })
    t.after(async () => {
      await Promise.all(workers.map((worker) => worker.close()))
      await queues.close()
      guard.close()
    })
    const handOver = (segment: number, bytes?: number): Promise<unknown> => {
      const job = { ...ids, from: 'handOver', segment, segmentFile: `${ids.session}-1.segment`, sealed: true } as const
      return queues.handOver(job, { bytes })
    }
    const large = [handOver(0, smallSegmentBytesMax + 1), handOver(1)]
    await hasLarge.promise
    await handOver(2, smallSegmentBytesMax)
    assert.deepEqual(packed, ['handOver small 2'])
    const staged = { ...ids, from: 'staging', attempt: 'd'.repeat(16) } as const
    await queues.stage({ ...staged, segment: 3, bytes: smallSegmentBytesMax + 1 })
    await queues.stage({ ...staged, segment: 4, bytes: smallSegmentBytesMax })
    mayEnd.resolve(undefined)
    await Promise.all(large)
    const deadlineMs = performance.now() + 30_000
    while (packed.length < 5 && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(packed.sort(), [
      'handOver large 0',
      'handOver large 1',
      'handOver small 2',
      'staging large 3',
      'staging small 4',
    ])
  })
})
