import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { after, before, test } from 'node:test'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { assertRefusal, MiB, Place } from '../end-to-end/place.ts'
import { startAzurite } from '../servers/azurite.ts'
import { startForwardProxy, type ForwardProxy } from '../servers/forward-proxy.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { issue, makeAuthority, opensslRequirement, type Certificate } from './certificates.ts'
import { Fleet, Machine, Operator, type ServerProcess } from './fleet.ts'

/** What lies between a machine and its service: certificates of an authority of one's own, and a proxy. */

const here = 'IP:127.0.0.1'

describeWith(redisRequirement, 'the way to the service', () => {
  let place: Place
  let fleet: Fleet
  before(async () => {
    place = await Place.empty()
    await place.answers('init')
    await writeFile(place.file('disk.img'), randomBytes(2 * MiB))
    fleet = new Fleet(place)
  })
  after(async () => {
    await fleet.stop()
    await place[Symbol.asyncDispose]()
  })

  const serve = async ({ certPath, keyPath }: Certificate, listen = '127.0.0.1:0'): Promise<ServerProcess> =>
    await fleet.serve(['--listen', listen, '--tls-cert', certPath, '--tls-key', keyPath])

  const assertNoEnrolment = async (
    name: string,
    server: ServerProcess,
    more: readonly string[],
    code: ErrorCode,
    reason: RegExp,
  ): Promise<void> => {
    const machine = new Machine(place, name)
    const token = await new Operator(place).newToken()
    const run = await machine.start(['agent', 'enroll', '--service', server.address, '--token', token, ...more]).ended
    assert.match(assertRefusal(run, code).message, reason)
    assert.ok(!run.messages.includes(token))
  }

  describeWith(opensslRequirement, 'over TLS', () => {
    let authority: Certificate
    let good: Certificate
    let outdated: Certificate
    let elsewhere: Certificate
    let stranger: Certificate
    before(async () => {
      const directory = place.directory.path
      authority = await makeAuthority(directory, 'authority')
      stranger = await makeAuthority(directory, 'stranger')
      good = await issue(directory, authority, { name: 'good', subject: here, days: 2 })
      outdated = await issue(directory, authority, { name: 'outdated', subject: here, days: -1 })
      elsewhere = await issue(directory, authority, { name: 'elsewhere', subject: 'DNS:another.example', days: 2 })
    })

    test('an authority of its own is trusted, from wherever the agent is run; another one is not', async () => {
      const server = await serve(good)
      assert.match(server.address, /^https:/)
      const machine = await fleet.machine('trusting', server, { enroll: ['--ca', 'authority.pem'] })
      assert.ok(isAbsolute((await machine.identity())['caFile'] ?? ''))
      const { point } = await machine.backUp(place.file('disk.img'))
      assert.match(point, /^[0-9a-f]{32}$/)
      const unknown = /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/
      await assertNoEnrolment('wary', server, [], 'E_SERVICE_CERTIFICATE', unknown)
      await assertNoEnrolment('misled', server, ['--ca', stranger.certPath], 'E_SERVICE_CERTIFICATE', unknown)
      await assertNoEnrolment('keyless', server, ['--ca', stranger.keyPath], 'E_CONFIGURATION', /no certificate/)
    })

    test('a certificate that has run out, or is for another host, is refused', async () => {
      const ca = ['--ca', authority.certPath]
      await assertNoEnrolment('late', await serve(outdated), ca, 'E_SERVICE_CERTIFICATE', /CERT_HAS_EXPIRED/)
      await assertNoEnrolment(
        'lost',
        await serve(elsewhere),
        ca,
        'E_SERVICE_CERTIFICATE',
        /ERR_TLS_CERT_ALTNAME_INVALID/,
      )
    })

    test('one that runs out later ends the next run at once, and the one after goes on when it is renewed', async () => {
      const server = await serve(good)
      const machine = await fleet.machine('faithful', server, { enroll: ['--ca', authority.certPath] })
      const listen = new URL(server.address).host
      await server.stop()
      const late = await serve(outdated, listen)
      const run = await machine.start(['agent', 'run', `disk=${place.file('disk.img')}`]).ended
      assert.match(assertRefusal(run, 'E_SERVICE_CERTIFICATE').message, /CERT_HAS_EXPIRED/)
      await late.stop()
      await serve(good, listen)
      assert.equal((await machine.backUp(place.file('disk.img'))).kind, 'full')
    })

    test('a proxy lets it through without seeing what is said', async (t) => {
      const proxy = await startedProxy(t)
      const server = await serve(good)
      const enroll = ['--ca', authority.certPath, '--proxy', proxy.url]
      const machine = await fleet.machine('branch', server, { enroll })
      await machine.backUp(place.file('disk.img'))
      assert.deepEqual(new Set(proxy.passed), new Set([`CONNECT ${new URL(server.address).host}`]))
      assert.equal(proxy.refusals, 0)
    })
  })

  test('by way of a proxy, to the service and to the staging area', async (t) => {
    const proxy = await startedProxy(t)
    const azurite = await startAzurite()
    t.after(() => azurite.stop())
    await azurite.createBucket('staging')
    const staging = azurite.storeUrl('staging')
    const server = await fleet.serve(['--staging', staging], { env: azurite.env })
    const machine = await fleet.machine('far', server, { enroll: ['--proxy', proxy.url] })
    await machine.backUp(place.file('disk.img'))
    const passed = (method: string, origin: string): boolean =>
      proxy.passed.some((line) => line.startsWith(`${method} ${origin}/`))
    assert.ok(passed('POST', server.address))
    assert.ok(passed('PUT', new URL(azurite.endpoint).origin))
    await server.stop()
  })

  test('a proxy that does not know us is named, its password is not', async (t) => {
    const proxy = await startedProxy(t)
    const server = await fleet.serve()
    const wrong = proxy.url.replace(proxy.password, 'a-wrong-password')
    await assertNoEnrolment('stray', server, ['--proxy', wrong], 'E_SERVICE_ANSWER', /407/)
    assert.deepEqual([proxy.passed, proxy.refusals], [[], 1])
    assert.ok(place.runs.every(({ messages, output }) => !(messages + output).includes('a-wrong-password')))
  })
})

async function startedProxy(t: { after(stop: () => Promise<void>): void }): Promise<ForwardProxy> {
  const proxy = await startForwardProxy()
  t.after(() => proxy.stop())
  return proxy
}
