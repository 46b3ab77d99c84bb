import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readIdentity } from '@strata/agent/identity/agent-identity.ts'
import { routes } from '@strata/shared/protocol/routes.ts'
import { assertRefusal, filesBelow, until } from '../end-to-end/place.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Machine } from '../service/fleet.ts'
import { Endpoint, SecurityBench } from './security-bench.ts'
import { openBody, SmallSession } from './small-session.ts'

const MiB = 1024 * 1024

/** All that a machine has that was backed up, in the hands of somebody else. */
describeWith(redisRequirement, 'what an endpoint holds', () => {
  let bench: SecurityBench
  let machine: Machine
  let stolen: ReadonlyMap<string, Buffer>
  let other: SmallSession
  before(async () => {
    bench = await SecurityBench.start()
    other = await SmallSession.open(bench, await bench.enrol(bench.one, 'neighbour'))
    await other.commit()
    machine = new Machine(bench.place, 'web1')
    const { token } = await bench.one.token()
    const service = ['--service', bench.address, '--token', token.text(), '--name', 'web1']
    await machine.answer(['agent', 'enroll', ...service])
    const disk = bench.place.file('disk.img')
    await writeFile(disk, randomBytes(48 * MiB))
    await machine.backUp(disk)
    await writeFile(disk, randomBytes(48 * MiB))
    // Taken in the middle of a run, when there is most.
    const run = machine.start(['agent', 'run', `disk=${disk}`], { STRATA_BANDWIDTH_LIMIT: '20M' })
    await until(async () => ((await machine.acknowledged()) > 0 ? true : undefined))
    run.child.kill('SIGKILL')
    await run.ended
    stolen = await filesIn(machine.state)
  })
  after(() => bench[Symbol.asyncDispose]())

  /** Whoever has the identity file, on a machine of his own. */
  async function thief(): Promise<Endpoint> {
    const { endpoint, endpointName, privateKey } = await readIdentity(machine.state)
    return new Endpoint(bench.one.repository, endpoint, endpointName, privateKey, '0'.repeat(64))
  }

  test('its files are for their owner only', async () => {
    const names = [...stolen.keys()]
    assert.ok(names.includes('identity.json') && names.some((name) => name.startsWith('runs/')), names.join(' '))
    for (const name of names) {
      const { mode } = await stat(join(machine.state, name))
      assert.equal(mode & 0o077, 0, name)
    }
  })

  test('neither the store nor Redis, nor a key of the service, is in them', async () => {
    const { indexKeys } = bench.one.repository.ingestKeys
    const { block, tree } = bench.one.repository.digestKeysOf((await thief()).setNamed())
    const { info } = other
    const secrets: readonly (readonly [string, string | Uint8Array])[] = [
      ['the store', bench.place.file('store')],
      ['Redis', bench.redis.url],
      ['the port of Redis', `:${String(bench.redis.port)}`],
      ['the keyrings', bench.place.file('keyrings')],
      ['the key file', bench.place.file('key')],
      ['another endpoint', 'neighbour'],
      ['the set of another endpoint', info.set],
      ...[...indexKeys.values()].map((key) => ['the index key', key] as const),
      ['the digest key of its set', block],
      ['the key of its map', tree],
      ["another set's digest key", info.blockDigestKey],
      ["another session's transport key", info.transportKey],
    ]
    for (const [what, secret] of secrets) {
      for (const form of formsOf(secret)) {
        for (const [name, bytes] of stolen) assert.ok(!bytes.includes(form), `${what} is in ${name}`)
      }
    }
    // So that it is known to find what is there: the machine's own name and endpoint.
    const { endpoint } = await thief()
    assert.ok(formsOf(endpoint).some((form) => stolen.get('identity.json')?.includes(form)))
    const keyring = await readFile(bench.place.file('keyrings/one.json'))
    const [key] = indexKeys.values()
    assert.ok(key !== undefined && formsOf(key).some((form) => keyring.includes(form)))
  })

  test('with them no command of an operator works', async () => {
    const commands = [['points'], ['token', 'create'], ['endpoint', 'list'], ['restore', 'latest:web1', '--to', 'x']]
    for (const args of commands) {
      assertRefusal(await machine.start(args).ended, 'E_USAGE', 2)
      // Even where the store can be reached.
      const withStore = await machine.start(args, { STRATA_STORE: bench.place.storeUrl }).ended
      assertRefusal(withStore, 'E_KEYRING_MISSING')
    }
  })

  test('on another machine they open no session, and nobody’s sessions but its own tell anything', async () => {
    const by = await thief()
    assert.equal((await bench.ask(routes.open, { by, body: openBody(by) })).code, 'E_ENDPOINT_CLONED')
    const { params } = other
    const digests = { by, params, query: { disk: 0, firstPage: 0, pageCount: 16 } }
    assert.equal((await bench.ask(routes.digests, digests)).code, 'E_SESSION_UNKNOWN')
    const history = { points: [{ sequence: 1, manifestDigest: '0'.repeat(64) }] }
    assert.equal((await bench.ask(routes.history, { by, params, body: history })).code, 'E_SESSION_UNKNOWN')
  })
})

async function filesIn(directory: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const described of await filesBelow(directory)) {
    const name = described.slice(0, described.lastIndexOf(' '))
    files.set(name, await readFile(join(directory, name)))
  }
  return files
}

/** As they are, and in the ways that files spell bytes. */
function formsOf(secret: string | Uint8Array): Buffer[] {
  if (typeof secret === 'string') return [Buffer.from(secret)]
  const bytes = Buffer.from(secret)
  const texts = [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]
  return [bytes, ...texts.map((text) => Buffer.from(text))]
}
