import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { MiB, Place, writeAt } from '../end-to-end/place.ts'
import type { PointAnswer } from '../fixtures/strata-program.ts'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { Fleet, Operator } from './fleet.ts'

interface EndpointAnswer {
  readonly id: string
  readonly name: string
  readonly state: string
}

describeWith(redisRequirement, 'the bucket alone', () => {
  test('Redis emptied, the server gone with its state: points restore meanwhile, and all is back with a new server', async () => {
    await using cleanUp = new AsyncDisposableStack()
    const redis = await startRedis()
    cleanUp.defer(() => redis.stop())
    const place = cleanUp.use(await Place.empty({ STRATA_REDIS_URL: redis.url }))
    await place.answers('init')
    const operator = new Operator(place)
    const policy = place.file('policy.yaml')
    await writeFile(policy, 'schedule: { every: 4h }\nretention: { last: 5, minimumAge: 1d }\n')
    await operator.answers('policy', 'apply', policy)
    const fleet = new Fleet(place)
    const first = await fleet.serve()
    // Agents know one address, whichever server is behind it.
    let address = first.address
    const balancer = await startFaultInjector(() => address)
    cleanUp.defer(() => balancer.stop())
    const machine = await fleet.machine('web1', { address: balancer.origin })
    const disk = place.file('disk.img')
    await writeFile(disk, randomBytes(6 * MiB))
    await machine.backUp(disk)
    await writeAt(disk, MiB, randomBytes(MiB))
    const second = await machine.backUp(disk)
    await operator.answers('hold', 'add', second.point, '--note', 'the last of the old server')
    const before = await whatIsKnown(operator)

    first.kill('SIGKILL')
    await first.run.ended
    const client = new Redis(redis.url)
    await client.flushall()
    client.disconnect()
    // All that the server had of its own; what a restore needs is the store and the passphrase.
    await rm(place.file('hand-over'), { recursive: true })
    await mkdir(place.file('hand-over'))
    await rm(place.file('state'), { recursive: true })
    await place.assertRestores('latest:web1', disk)
    assert.deepEqual(await whatIsKnown(operator), before)

    const next = await fleet.serve()
    ;({ address } = next)
    await writeAt(disk, 3 * MiB, randomBytes(MiB))
    const third = await machine.backUp(disk)
    assert.equal(third.kind, 'incremental')
    assert.ok(third.changedBytes <= 2 * MiB, String(third.changedBytes))
    await next.stop()
    await place.assertRestores('latest:web1', disk)
    const points = await place.points()
    assert.deepEqual(points.length, 3)
  })
})

/** Points, endpoints, policy and holds, as an operator sees them. */
async function whatIsKnown(operator: Operator): Promise<object> {
  return {
    points: await operator.answers<PointAnswer[]>('points'),
    endpoints: await operator.answers<EndpointAnswer[]>('endpoint', 'list'),
    policy: await operator.answers('policy', 'show'),
    holds: await operator.answers('hold', 'list'),
  }
}
