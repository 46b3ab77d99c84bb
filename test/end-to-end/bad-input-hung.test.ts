import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertHarmless, assertRefusal, describeRun, Hold, killOwn, Place, until, withLimits } from './place.ts'

/** A Redis or a store that is there and does not answer: nobody waits for ever, and no process stays behind. */
describeWith(redisRequirement, 'bad input: what hangs', () => {
  let place: Place
  let args: readonly string[]
  before(async () => {
    place = await Place.withPoint()
    args = ['backup', place.file('disk.img'), '--set', 'good', '--json']
  })
  after(() => place[Symbol.asyncDispose]())

  /** No process is left, no point was made, and the next backup is none the worse. */
  async function assertRecovered(pointsBefore: number): Promise<void> {
    await place.untilNoProcess()
    await place.assertNothingLeft()
    assert.equal((await place.manifests()).length, pointsBefore)
    await place.assertStillGood()
  }

  const soon = { redisLostMsMax: 2000, redisBeatIntervalMs: 200 }

  for (const moment of [/\/open$/, /\/data-/, /\/end$/]) {
    test(`a Redis that stops answering at ${moment.source}: the run ends`, async () => {
      await place.changeDisk()
      const before = (await place.manifests()).length
      const redis = await startRedis()
      try {
        const hold = await Hold.at(place, moment)
        const run = place.start(args, { env: { ...withLimits(soon, hold.env), STRATA_REDIS_URL: redis.url } })
        await hold.reached(run)
        killOwn(redis.process.pid, 'SIGSTOP')
        await hold.release()
        const { message } = assertRefusal(await run.ended, 'E_REDIS_LOST')
        assert.match(message, /has not answered/)
      } finally {
        await redis.stop()
      }
      await assertRecovered(before)
    })
  }

  test('the private Redis stops answering: it is ended as well', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.at(place, /\/data-/)
    const run = place.start(args, { env: withLimits(soon, hold.env) })
    await hold.reached(run)
    killOwn(await place.processOf('redis'), 'SIGSTOP')
    await hold.release()
    assertRefusal(await run.ended, 'E_REDIS_LOST')
    await assertRecovered(before)
  })

  test('a Redis that does not answer from the beginning', async () => {
    const redis = await startRedis()
    try {
      killOwn(redis.process.pid, 'SIGSTOP')
      const env = withLimits({ redisConnectTimeoutMs: 1000 })
      await place.refuses('E_REDIS_UNREACHABLE', args.slice(0, -1), { env: { ...env, STRATA_REDIS_URL: redis.url } })
    } finally {
      await redis.stop()
    }
  })

  const impatient = { abandonMsMax: 500, serviceCloseMsMax: 500, serviceEndMsMax: 1000 }

  test('who interrupts while Redis does not answer need not ask twice', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const redis = await startRedis()
    try {
      const hold = await Hold.at(place, /\/data-/)
      const run = place.start(args, { env: { ...withLimits(impatient, hold.env), STRATA_REDIS_URL: redis.url } })
      await hold.reached(run)
      killOwn(redis.process.pid, 'SIGSTOP')
      await hold.release()
      killOwn(await place.processOf('agent'), 'SIGINT')
      assertRefusal(await run.ended, 'E_INTERRUPTED', 130)
    } finally {
      await redis.stop()
    }
    await assertRecovered(before)
  })

  test('somebody who asks again and again does not wait, and leaves no process', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.at(place, /\/data-/)
    const run = place.start(args, { env: hold.env, asShellDoes: true })
    await hold.reached(run)
    const agent = await place.processOf('agent')
    let isOver = false
    void run.ended.then(() => (isOver = true))
    // The store still hangs: only the second wish ends the run.
    await until(() => {
      killOwn(agent, 'SIGINT')
      return Promise.resolve(isOver ? true : undefined)
    })
    const ended = await run.ended
    assert.equal(ended.exitCode, 130, describeRun(ended))
    assertHarmless(ended)
    // The store hangs on, and nobody but its own deadline ends the service; nothing plain waits for that.
    await assertRecovered(before)
    await hold.release()
  })

  test('who asks once does not wait for a store that hangs', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.at(place, /\/data-/)
    const run = place.start(args, { env: withLimits(impatient, hold.env) })
    await hold.reached(run)
    killOwn(await place.processOf('agent'), 'SIGINT')
    assertRefusal(await run.ended, 'E_INTERRUPTED', 130)
    await assertRecovered(before)
    await hold.release()
  })

  test('a service whose agent was killed clears away before all else, and then signals end it', async () => {
    await place.changeDisk()
    const before = (await place.manifests()).length
    const hold = await Hold.at(place, /\/data-/)
    const limits = { serviceCloseMsMax: 500_000, serviceEndMsMax: 600_000 }
    const run = place.start(args, { env: withLimits(limits, hold.env) })
    await hold.reached(run)
    const service = await place.processOf('service')
    killOwn(await place.processOf('agent'), 'SIGKILL')
    await run.ended
    await until(async () => ((await readdir(place.file('hand-over'))).length === 0 ? true : undefined))
    assert.ok((await place.processes()).includes(service), 'the store hangs still')
    killOwn(service, 'SIGTERM')
    await place.untilNoProcess()
    assert.equal((await place.manifests()).length, before)
    // What is not plain may wait for the next run.
    await place.assertStillGood()
    await place.assertNothingLeft()
    await hold.release()
  })
})
