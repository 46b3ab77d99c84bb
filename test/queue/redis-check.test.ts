import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkRedis } from '@strata/workers/redis-connection.ts'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'

describeWith(redisRequirement, 'what is asked of a Redis before it is used', () => {
  for (const [title, args, isVolatile] of [
    ['keeps nothing', [], true],
    ['writes snapshots', ['--save', '3600 1'], false],
    ['writes a log', ['--appendonly', 'yes'], false],
    ['lets nobody ask', ['--rename-command', 'CONFIG', ''], undefined],
    ['lets nobody ask, and writes a log', ['--rename-command', 'CONFIG', '', '--appendonly', 'yes'], false],
  ] as const) {
    test(`one that ${title}`, async () => {
      const redis = await startRedis({ args })
      try {
        assert.deepEqual(await checkRedis({ url: redis.url }), { isVolatile })
      } finally {
        await redis.stop()
      }
    })
  }

  test('one that evicts is refused', async () => {
    for (const policy of ['allkeys-lru', 'volatile-ttl']) {
      const redis = await startRedis({ args: ['--maxmemory-policy', policy] })
      try {
        await assert.rejects(checkRedis({ url: redis.url }), { code: 'E_REDIS_EVICTS', message: new RegExp(policy) })
      } finally {
        await redis.stop()
      }
    }
  })
})
