import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { assertRefusal, MiB, Place } from '../end-to-end/place.ts'
import { Authority, certificateRequirement } from '../fixtures/certificates.ts'
import { startAzurite } from '../servers/azurite.ts'
import { startForwardProxy, type ForwardProxy } from '../servers/forward-proxy.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Fleet, Machine, Operator, type ServerProcess } from './fleet.ts'

/** A proxy between a machine and its service, and TLS through it. (certificates.test.ts: those that are refused.) */

describeWith(redisRequirement, 'by way of a proxy', () => {
  let place: Place
  let fleet: Fleet
  let disk: string
  before(async () => {
    place = await Place.empty()
    await place.answers('init')
    disk = place.file('disk.img')
    await writeFile(disk, randomBytes(2 * MiB))
    fleet = new Fleet(place)
  })
  after(async () => {
    await fleet.stop()
    await place[Symbol.asyncDispose]()
  })

  test('to the service and to the staging area', async (t) => {
    const proxy = await startedProxy(t)
    const azurite = await startAzurite()
    t.after(() => azurite.stop())
    await azurite.createBucket('staging')
    const server = await fleet.serve(['--staging', azurite.storeUrl('staging')], { env: azurite.env })
    const machine = await fleet.machine('far', server, { enroll: ['--proxy', proxy.url] })
    await machine.backUp(disk)
    const passed = (method: string, origin: string): boolean =>
      proxy.passed.some((line) => line.startsWith(`${method} ${origin}/`))
    assert.ok(passed('POST', server.address))
    assert.ok(passed('PUT', new URL(azurite.endpoint).origin))
    assert.equal(proxy.refusals, 0)
    // Before its store goes.
    await server.stop()
  })

  test('one that does not know us is told of by its answer, and no password is shown', async (t) => {
    await assertTurnedAway(t, await fleet.serve())
  })

  describeWith(certificateRequirement, 'over TLS', () => {
    let server: ServerProcess
    before(async () => {
      const authority = await Authority.create(place.directory.path, 'authority')
      const { certPath, keyPath } = await authority.issue('gateway', 'IP:127.0.0.1')
      server = await fleet.serve(['--tls-cert', certPath, '--tls-key', keyPath])
    })

    test('it passes on what it cannot read', async (t) => {
      const proxy = await startedProxy(t)
      const enroll = ['--ca', place.file('authority.pem'), '--proxy', proxy.url]
      const machine = await fleet.machine('branch', server, { enroll })
      await machine.backUp(disk)
      assert.deepEqual(new Set(proxy.passed), new Set([`CONNECT ${new URL(server.address).host}`]))
      assert.equal(proxy.refusals, 0)
    })

    test('one that opens no tunnel for us is told of by its answer as well', async (t) => {
      await assertTurnedAway(t, server)
    })

    test('certificates that were named by a relative path are found from wherever a run begins', async () => {
      const machine = await fleet.machine('relative', server, { enroll: ['--ca', 'authority.pem'] })
      assert.ok(isAbsolute((await machine.identity())['caFile'] ?? ''))
      await machine.backUp(disk)
    })
  })

  async function assertTurnedAway(t: TestContext, server: ServerProcess): Promise<void> {
    const proxy = await startedProxy(t)
    const machine = new Machine(place, 'stray')
    const wrong = proxy.url.replace(proxy.password, 'a-wrong-password')
    const token = await new Operator(place).newToken()
    const args = ['--service', server.address, '--token', token, '--proxy', wrong]
    const run = await machine.start(['agent', 'enroll', ...args]).ended
    assert.match(assertRefusal(run, 'E_SERVICE_PROXY').message, /407/)
    assert.deepEqual([proxy.passed, proxy.refusals], [[], 1])
    assert.ok(![wrong, token, 'a-wrong-password'].some((secret) => (run.messages + run.output).includes(secret)))
  }
})

async function startedProxy(t: TestContext): Promise<ForwardProxy> {
  const proxy = await startForwardProxy()
  t.after(() => proxy.stop())
  return proxy
}
