import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { assertRefusal, makeDisk, Place } from '../end-to-end/place.ts'
import { Authority, certificateRequirement, type Certificate } from '../fixtures/certificates.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Fleet, Machine, Operator, type ServerProcess } from './fleet.ts'

const both = {
  name: `${redisRequirement.name} and ${certificateRequirement.name}`,
  programs: [...redisRequirement.programs, ...certificateRequirement.programs],
  remedy: `${redisRequirement.remedy}; ${certificateRequirement.remedy}`,
}

describeWith(both, 'bad input: the certificate of the service', () => {
  let place: Place
  let fleet: Fleet
  let authority: Authority
  let good: Certificate
  before(async () => {
    place = await Place.empty()
    await place.answers('init')
    await makeDisk(place.file('disk.img'), 1)
    fleet = new Fleet(place)
    await mkdir(place.file('certificates'))
    authority = await Authority.create(place.file('certificates'), 'authority')
    good = await authority.issue('good', 'IP:127.0.0.1,DNS:localhost')
  })
  after(async () => {
    await fleet.stop()
    await place.untilNoProcess()
    await place[Symbol.asyncDispose]()
  })

  async function serve({ certPath, keyPath }: Certificate, ...more: readonly string[]): Promise<ServerProcess> {
    return await fleet.serve(['--tls-cert', certPath, '--tls-key', keyPath, ...more])
  }

  async function refusal(address: string, code: Parameters<typeof assertRefusal>[1], ...more: readonly string[]) {
    const token = `strata-enrol-${'1'.repeat(32)}-${'2'.repeat(32)}-${Buffer.alloc(32).toString('base64url')}`
    const args = ['agent', 'enroll', '--service', address, '--token', token, '--name', 'x', ...more]
    return assertRefusal(await new Machine(place, 'refused').start(args).ended, code)
  }

  test('with its authority given a machine enrols and backs up; without, it says why not', async () => {
    const server = await serve(good)
    assert.match(server.address, /^https:/)
    const machine = await fleet.machine('web1', server, { enroll: ['--ca', authority.certPath] })
    assert.equal((await machine.backUp(place.file('disk.img'))).kind, 'full')
    const { message, hint } = await refusal(server.address, 'E_SERVICE_CERTIFICATE')
    assert.match(message, /UNABLE_TO_VERIFY_LEAF_SIGNATURE/)
    assert.match(hint, /--ca/)
    const other = await Authority.create(place.file('certificates'), 'other')
    await refusal(server.address, 'E_SERVICE_CERTIFICATE', '--ca', other.certPath)
    await refusal(server.address, 'E_CONFIGURATION', '--ca', place.file('nowhere'))
    await refusal(server.address, 'E_CONFIGURATION', '--ca', good.keyPath)
    // The one speaks TLS and the other does not.
    await refusal(server.address.replace('https:', 'http:'), 'E_SERVICE_UNREACHABLE')
    const plain = await fleet.serve()
    await refusal(plain.address.replace('http:', 'https:'), 'E_SERVICE_UNREACHABLE')
  })

  test('an authority that the machine trusts need not be given', async () => {
    const server = await serve(good)
    for (const name of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']) {
      const machine = new Machine(place, `trusting-${name}`)
      const args = ['--service', server.address, '--token', await new Operator(place).newToken(), '--name', name]
      await machine.answer(['agent', 'enroll', ...args], { [name]: authority.certPath })
    }
  })

  test('one of another name', async () => {
    const server = await serve(await authority.issue('elsewhere', 'DNS:backup.example'))
    const { message } = await refusal(server.address, 'E_SERVICE_CERTIFICATE', '--ca', authority.certPath)
    assert.match(message, /ERR_TLS_CERT_ALTNAME_INVALID/)
  })

  test('one that expires ends a run at once; when it is renewed the next run goes on', async () => {
    const first = await serve(good)
    const machine = await fleet.machine('web2', first, { enroll: ['--ca', authority.certPath] })
    await first.stop()
    const expired = await serve(await authority.issue('expired', 'IP:127.0.0.1', -1))
    const pointAt = async ({ address }: ServerProcess): Promise<void> => {
      const path = place.file('machine-web2/identity.json')
      const identity = JSON.parse(await readFile(path, 'utf8')) as object
      await writeFile(path, JSON.stringify({ ...identity, serviceUrl: address }), { mode: 0o600 })
    }
    await pointAt(expired)
    const run = await machine.start(['agent', 'run', `disk=${place.file('disk.img')}`]).ended
    assert.match(assertRefusal(run, 'E_SERVICE_CERTIFICATE').message, /CERT_HAS_EXPIRED/)
    await expired.stop()
    await pointAt(await serve(good))
    assert.equal((await machine.backUp(place.file('disk.img'))).kind, 'full')
  })

  test('a service whose certificate cannot be read, or is of another key, does not start', async () => {
    const args = ['--json', 'serve', '--listen', '127.0.0.1:0', '--tls-cert', good.certPath, '--tls-key']
    assertRefusal(await place.run([...args, place.file('nowhere')]), 'E_CONFIGURATION')
    const other = await authority.issue('another', 'IP:127.0.0.1')
    assertRefusal(await place.run([...args, other.keyPath]), 'E_CONFIGURATION')
    const { message } = assertRefusal(await place.run([...args, good.certPath]), 'E_CONFIGURATION')
    assert.ok(!message.includes('BEGIN'), message)
  })
})
