import assert from 'node:assert/strict'
import { mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { deadPort } from '../servers/processes.ts'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertRefusal, describeRun, Hold, killOwn, MiB, Place, withLimits, writeAt } from './place.ts'

/** A queue that is absent, unfit, or goes away. */
describeWith(redisRequirement, 'bad input: Redis', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good']
  })
  after(() => place[Symbol.asyncDispose]())

  const using = (url: string): { env: Readonly<Record<string, string>> } => ({ env: { STRATA_REDIS_URL: url } })

  test('no redis-server to be found: said with what to install; what needs no queue works', async () => {
    const folder = place.file('bin')
    await mkdir(folder)
    const { hint } = await place.refuses('E_REDIS_MISSING', args, { env: { PATH: folder } })
    assert.match(hint, /apt-get install redis-server/)
    await place.assertStillGood()
  })

  test('a redis-server that does not start', async () => {
    const folder = place.file('broken')
    await mkdir(folder)
    await symlink('/bin/false', join(folder, 'redis-server'))
    await place.refuses('E_REDIS_UNREACHABLE', args, { env: { PATH: `${folder}:${place.env['PATH'] ?? ''}` } })
  })

  test('STRATA_REDIS_URL that leads nowhere, or is none; no password is repeated', async () => {
    const port = String(deadPort)
    const urls = [
      `redis://user:secret@127.0.0.1:${port}`,
      'http://secret@127.0.0.1/',
      'secret',
      `rediss://127.0.0.1:${port}`,
    ]
    for (const url of urls) {
      const error = await place.refuses('E_REDIS_UNREACHABLE', args, using(url))
      assert.doesNotMatch(JSON.stringify(error), /secret/)
    }
    await place.assertStillGood()
  })

  test('a Redis of somebody else: wrong password, or one that throws keys away', async () => {
    const redis = await startRedis()
    try {
      await configure(redis.url, ['maxmemory-policy', 'allkeys-lru', 'requirepass', 'right'])
      const at = (user: string): string => `redis://${user}127.0.0.1:${String(redis.port)}`
      for (const user of ['', ':wrong@', 'nobody:right@']) {
        const error = await place.refuses('E_REDIS_REFUSES', args, using(at(user)))
        assert.match(error.message, /NOAUTH|WRONGPASS/)
        assert.doesNotMatch(JSON.stringify(error), /right|wrong@/)
      }
      await place.refuses('E_REDIS_REFUSES', args, using(`${at(':right@')}/99`))
      const { hint } = await place.refuses('E_REDIS_EVICTS', args, using(at(':right@')))
      assert.match(hint, /noeviction/)
    } finally {
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('a healthy Redis of our own is used, and nothing stays in it, whether a run succeeds or not', async () => {
    const redis = await startRedis()
    const client = new Redis(redis.url)
    try {
      await client.set('theirs', 'kept')
      await writeAt(place.file('disk.img'), 2 * MiB, Buffer.alloc(MiB, 'more'))
      await place.answersWith(using(redis.url), ...args)
      assert.deepEqual(await client.keys('*'), ['theirs'])
      await place.refuses('E_SOURCE_MISSING', ['backup', 'nowhere', '--set', 'good'], using(redis.url))
      await place.refuses(
        'E_DISK_SET_CHANGED',
        ['backup', `x=${place.file('disk.img')}`, '--set', 'good'],
        using(redis.url),
      )
      assert.deepEqual(await client.keys('*'), ['theirs'])
    } finally {
      client.disconnect()
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('a Redis that is full: said at once, with its words', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '1'] })
    try {
      const error = await place.refuses('E_REDIS_REFUSES', args, using(redis.url))
      assert.match(error.message, /OOM/)
    } finally {
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('a Redis that is full in the middle is waited for, and not for ever', async () => {
    const redis = await startRedis()
    try {
      const before = (await place.points('good')).length
      const limits = { redisBeatIntervalMs: 500, redisLostMsMax: 5000, jobLockMs: 1000 }
      for (const [isForGood, points] of [
        [false, before + 1],
        [true, before + 1],
      ] as const) {
        await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, `for good: ${String(isForGood)} `))
        const hold = await Hold.at(place, /\/data-/)
        const env = withLimits(limits, { ...hold.env, STRATA_REDIS_URL: redis.url })
        const run = place.start([...args, '--json'], { env })
        await hold.reached(run)
        await configure(redis.url, ['maxmemory', '1'])
        await hold.release()
        if (!isForGood) {
          await sleep(limits.redisBeatIntervalMs)
          await configure(redis.url, ['maxmemory', '0'])
        }
        const ended = await run.ended
        if (isForGood) assert.match(assertRefusal(ended, 'E_REDIS_REFUSES').message, /OOM/)
        else assert.equal(ended.exitCode, 0, describeRun(ended))
        await place.assertNothingLeft(ended)
        assert.equal((await place.points('good')).length, points)
      }
    } finally {
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('what a killed service has left in Redis goes with the next, and what a running one needs stays', async () => {
    const redis = await startRedis()
    const client = new Redis(redis.url)
    const prefixes = async (): Promise<string[]> =>
      [...new Set((await client.keys('strata-*:*')).map((key) => key.slice(0, key.indexOf(':'))))].sort()
    try {
      await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, 'left'))
      const killed = await Hold.at(place, /\/data-/)
      const first = place.start([...args, '--json'], { env: { ...killed.env, STRATA_REDIS_URL: redis.url } })
      await killed.reached(first)
      killOwn(await place.processOf('service'), 'SIGKILL')
      assertRefusal(await first.ended, 'E_WORKER_DIED')
      const [left, ...others] = await prefixes()
      assert.ok(left !== undefined && others.length === 0)
      const held = await Hold.at(place, /\/data-/)
      const second = place.start([...args, '--json'], { env: { ...held.env, STRATA_REDIS_URL: redis.url } })
      await held.reached(second)
      assert.equal((await prefixes()).length, 2)
      // As if it had been killed a while ago.
      await client.zadd('strata-claims', 'XX', 1, left)
      const other = ['backup', `x=${place.file('disk.img')}`, '--set', 'good', '--json']
      assertRefusal(await place.run(other, using(redis.url)), 'E_DISK_SET_CHANGED')
      const stay = await prefixes()
      assert.equal(stay.length, 1)
      assert.ok(!stay.includes(left))
      await held.release()
      const ended = await second.ended
      assert.equal(ended.exitCode, 0, describeRun(ended))
      assert.deepEqual(await client.keys('*'), [])
    } finally {
      client.disconnect()
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('a service that was paused for longer than a worker may be silent goes on where it was', async () => {
    await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, 'asleep'))
    const hold = await Hold.at(place, /\/data-/)
    const jobLockMs = 1000
    const run = place.start([...args, '--json'], { env: withLimits({ jobLockMs }, hold.env) })
    await hold.reached(run)
    const service = await place.processOf('service')
    killOwn(service, 'SIGSTOP')
    await sleep(3 * jobLockMs)
    killOwn(service, 'SIGCONT')
    await sleep(jobLockMs)
    await hold.release()
    const ended = await run.ended
    assert.equal(ended.exitCode, 0, describeRun(ended))
    await place.assertNothingLeft(ended)
    await place.assertStillGood()
  })

  test('the private Redis dies in the middle: the run ends and nothing is visible', async () => {
    const before = (await place.points('good')).length
    for (const moment of [/\/open$/, /\/data-/, /\/end$/]) {
      await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, moment.source))
      const hold = await Hold.at(place, moment)
      const run = place.start([...args, '--json'], { env: hold.env })
      await hold.reached(run)
      killOwn(await place.processOf('redis'), 'SIGKILL')
      // What is held goes on, as a slow disk would; the job has nobody left who waits for it.
      await hold.release()
      assertRefusal(await run.ended, 'E_REDIS_LOST')
      await place.assertNothingLeft()
      assert.equal((await place.points('good')).length, before)
    }
    await place.assertStillGood()
  })

  test('a Redis that comes back without its data: jobs that vanished are missed', async () => {
    const redis = await startRedis()
    const client = new Redis(redis.url)
    try {
      await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, 'flushed'))
      const hold = await Hold.at(place, /\/data-/)
      const run = place.start([...args, '--json'], { env: { ...hold.env, STRATA_REDIS_URL: redis.url } })
      await hold.reached(run)
      await client.flushall()
      await hold.release()
      const ended = await run.ended
      assertRefusal(ended, 'E_REDIS_LOST')
      await place.assertNothingLeft()
      assert.deepEqual(await client.keys('*'), [])
    } finally {
      client.disconnect()
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('a Redis that goes away for a moment and comes back with its data is waited for', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    try {
      await writeAt(place.file('disk.img'), 3 * MiB, Buffer.alloc(MiB, 'paused'))
      const hold = await Hold.at(place, /\/data-/)
      const run = place.start([...args, '--json'], { env: { ...hold.env, STRATA_REDIS_URL: redis.url } })
      await hold.reached(run)
      await redis.kill()
      await hold.release()
      await redis.startAgain()
      const ended = await run.ended
      assert.equal(ended.exitCode, 0, describeRun(ended))
      await place.assertNothingLeft()
    } finally {
      await redis.stop()
    }
    await place.assertStillGood()
  })

  test('neither blocks nor keys nor names are in Redis while a backup runs', async () => {
    const redis = await startRedis()
    const client = new Redis(redis.url)
    try {
      const secret = 'a very plain secret '
      await writeAt(place.file('disk.img'), 4 * MiB, Buffer.alloc(MiB, secret))
      const hold = await Hold.at(place, /\/data-/)
      const run = place.start([...args, '--json'], { env: { ...hold.env, STRATA_REDIS_URL: redis.url } })
      await hold.reached(run)
      const { indexKeys } = JSON.parse(await readFile(place.file('state/keyring.json'), 'utf8')) as {
        indexKeys: { key: string }[]
      }
      const dump = await everythingIn(client)
      assert.ok(dump.length > 0)
      for (const text of [secret, 'disk.img', '"good"', ...indexKeys.map(({ key }) => key)]) {
        assert.ok(!dump.includes(text), text)
      }
      await hold.release()
      assert.equal((await run.ended).exitCode, 0)
    } finally {
      client.disconnect()
      await redis.stop()
    }
  })
})

async function configure(url: string, settings: readonly string[]): Promise<void> {
  const client = new Redis(url)
  await client.config('SET', ...(settings as [string, string]))
  client.disconnect()
}

async function everythingIn(client: Redis): Promise<string> {
  let text = ''
  for (const key of await client.keys('*')) {
    text += `${key}\n`
    const dump = await client.dumpBuffer(key)
    // Redis packs short values, but leaves text readable.
    text += dump.toString('latin1')
    if ((await client.type(key)) === 'hash') text += JSON.stringify(await client.hgetall(key))
    if ((await client.type(key)) === 'stream') text += JSON.stringify(await client.xrange(key, '-', '+'))
  }
  return text
}
