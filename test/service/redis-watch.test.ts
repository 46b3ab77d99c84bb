import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Redis } from 'ioredis'
import { until } from '../end-to-end/place.ts'
import { redisRequirement, startRedis, type TestRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { contentsOf, RedisWatch, unfinishedWork } from './redis-watch.ts'
import { SecretScan } from './secret-scan.ts'

/** Whatever is put into a Redis, in whatever way, is seen: else a search that finds nothing would say nothing. */
describeWith(redisRequirement, 'what is seen of a Redis', () => {
  let redis: TestRedis
  let watch: RedisWatch
  let client: Redis
  before(async () => {
    redis = await startRedis()
    watch = await RedisWatch.begin(redis)
    client = new Redis({ path: redis.socketPath })
  })
  after(async () => {
    client.disconnect()
    watch.end()
    await redis.stop()
  })

  const ways: Readonly<Record<string, (key: string, secret: Buffer) => Promise<unknown>>> = {
    'a string': (key, secret) => client.set(key, secret),
    'a list': (key, secret) => client.rpush(key, 'before', secret, 'behind'),
    'a set': (key, secret) => client.sadd(key, secret),
    'a sorted set': (key, secret) => client.zadd(key, 1, secret),
    'a value of a hash': (key, secret) => client.hset(key, 'field', secret),
    'a field of a hash': (key, secret) => client.hset(key, new Map([[secret, 'value']])),
    'an event of a stream': (key, secret) => client.xadd(key, '*', 'field', secret),
    'a script': (key, secret) => client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, key, secret),
  }

  for (const [title, put] of Object.entries(ways)) {
    test(`${title}, of any bytes`, async () => {
      // Every byte that Redis writes in another way is there, and a beginning that tells the secrets apart.
      const secret = Buffer.concat([randomBytes(16), Buffer.from('\\"\n\r\t\u0007\b\0 \\x41'), randomBytes(16)])
      const scan = new SecretScan()
      scan.addBytes('the secret', secret)
      await put(`key of ${title}`, secret)
      const contents = await contentsOf(redis)
      assert.equal(scan.look('contents', contents.get(`key of ${title}`) ?? Buffer.alloc(0)).length, 1)
      await until(() => Promise.resolve(scan.look('watch', watch.seen()).length === 1 ? true : undefined))
      await client.del(`key of ${title}`)
    })
  }

  test('a job that waits and a permit that was not given back are unfinished', async () => {
    const keys = ['strata-1:ingest:wait', 'strata-1:commit:failed', 'strata-1:admission:held']
    for (const key of [...keys, 'strata-1:commit:completed', 'strata-1:commit:meta']) await client.set(key, 'something')
    assert.deepEqual(unfinishedWork(await contentsOf(redis)).sort(), keys.toSorted())
  })
})
