import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { protocolHeader, protocolVersion, routes } from '@strata/shared/protocol/routes.ts'
import { assertRefusal, dayMs, makeDisk, Place, preload, withLimits } from '../end-to-end/place.ts'
import { sendPlain } from '../security/plain-http.ts'
import { redisRequirement, startRedis } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { Fleet, Machine, type ServerProcess } from './fleet.ts'

/** An agent and a service that do not fit each other, tokens that are not good, clocks that are wrong. */
describeWith(redisRequirement, 'bad input: an agent and its service', () => {
  let place: Place
  let fleet: Fleet
  let server: ServerProcess
  let disk: string
  before(async () => {
    place = await Place.empty()
    await place.answers('init')
    disk = place.file('disk.img')
    await makeDisk(disk, 1)
    fleet = new Fleet(place)
    // A gateway sees at once that an endpoint has another key.
    server = await fleet.serve([], { env: withLimits({ endpointRecheckMs: 1 }) })
  })
  after(async () => {
    await fleet.stop()
    await place.untilNoProcess()
    await place[Symbol.asyncDispose]()
  })

  async function token(...args: readonly string[]): Promise<{ token: string; id: string }> {
    const run = await place.run(['--json', 'token', 'create', ...args])
    assert.equal(run.exitCode, 0, run.messages)
    return JSON.parse(run.output) as { token: string; id: string }
  }

  const enrolling = (line: string, name: string): readonly string[] => [
    ...['agent', 'enroll', '--service', server.address],
    ...['--token', line, '--name', name],
  ]

  test('an agent that is older or newer than the service is told so, whatever it asks', async () => {
    for (const version of ['0', '2', '999999', '1000000', '-1', '1.0', '01', ' ', 'one', '1;2', undefined]) {
      const headers = version === undefined ? {} : { [protocolHeader]: version }
      for (const { method, path } of Object.values(routes)) {
        const target = path.replace(':set', '1'.repeat(32)).replace(':session', '2'.repeat(32)).replace(':segment', '0')
        const answer = await sendPlain(server.address, { method, target, headers })
        if (target === routes.health.path) {
          assert.equal(answer.status, 200)
          assert.equal((JSON.parse(answer.text) as { protocol: number }).protocol, protocolVersion)
        } else {
          assert.deepEqual([answer.status, answer.code], [426, 'E_PROTOCOL_VERSION'], `${method} ${path}`)
          const { details } = JSON.parse(answer.text) as { details: { protocolVersion: number } }
          assert.equal(details.protocolVersion, protocolVersion)
        }
      }
    }
  })

  test('an agent shows what a newer service says, also with codes that it does not know', async () => {
    const machine = await fleet.machine('newer', server)
    const documents = {
      E_PROTOCOL_VERSION: { code: 'E_PROTOCOL_VERSION', kind: 'permanent', message: 'version 1, and 7', hint: 'x' },
      E_SERVICE_REFUSED: { code: 'E_MOON_PHASE', kind: 'permanent', message: 'not today', hint: 'Wait for the moon.' },
      E_SERVICE_ANSWER: 'a page of a proxy',
    } as const
    for (const [code, document] of Object.entries(documents)) {
      const newer = createServer((_, response) => {
        response.writeHead(code === 'E_PROTOCOL_VERSION' ? 426 : 418, { 'content-type': 'application/json' })
        response.end(JSON.stringify(document))
      })
      newer.listen(0, '127.0.0.1')
      await once(newer, 'listening')
      const path = place.file('machine-newer/identity.json')
      const identity = JSON.parse(await readFile(path, 'utf8')) as object
      const serviceUrl = `http://127.0.0.1:${String((newer.address() as AddressInfo).port)}`
      await writeFile(path, JSON.stringify({ ...identity, serviceUrl }), { mode: 0o600 })
      const run = await machine.start(['agent', 'run', `disk=${disk}`]).ended
      const { message, hint } = assertRefusal(run, code as keyof typeof documents)
      assert.ok(hint.length > 0)
      if (code === 'E_SERVICE_REFUSED') assert.match(message, /E_MOON_PHASE: not today/)
      newer.close()
    }
  })

  test('enrolment with a token that is wrong, cut, expired, revoked or used', async () => {
    const { token: line, id } = await token()
    const wrong = line.replace(/.{43}$/, Buffer.alloc(32, 7).toString('base64url'))
    const refusals = [
      ['not a token', 'E_ENROLMENT_TOKEN'],
      [line.slice(0, -1), 'E_ENROLMENT_TOKEN'],
      [`${line}x`, 'E_ENROLMENT_TOKEN'],
      [wrong, 'E_ENROLMENT_TOKEN'],
    ] as const
    for (const [text, code] of refusals) {
      const run = await new Machine(place, 'refused').start(enrolling(text, 'refused')).ended
      assertRefusal(run, code)
      assert.ok(!(run.output + run.messages).includes(line.slice(-43)), run.messages)
    }
    const revoking = await place.run(['--json', 'token', 'revoke', id])
    assert.equal(revoking.exitCode, 0, revoking.messages)
    assertRefusal(await new Machine(place, 'refused').start(enrolling(line, 'refused')).ended, 'E_ENROLMENT_REVOKED')
    const { token: once } = await token()
    await new Machine(place, 'first').answer(enrolling(once, 'first'))
    assertRefusal(await new Machine(place, 'second').start(enrolling(once, 'second')).ended, 'E_ENROLMENT_USED_UP')
    assertRefusal(
      await new Machine(place, 'third').start(enrolling((await token()).token, 'first')).ended,
      'E_ENDPOINT_NAME_TAKEN',
    )
    assert.equal(existsSync(place.file('machine-third/identity.json')), false)
  })

  test('enrolling twice: refused on the machine, and by the service when its files are gone', async () => {
    const machine = await fleet.machine('twice', server)
    const { token: line } = await token()
    assertRefusal(await machine.start(enrolling(line, 'twice')).ended, 'E_IDENTITY_EXISTS')
    assert.equal((await machine.backUp(disk)).kind, 'full')
    const { endpoint } = await machine.identity()
    await rm(place.file('machine-twice'), { recursive: true })
    assertRefusal(await machine.start(enrolling(line, 'anew')).ended, 'E_ENDPOINT_DUPLICATE')
    // With a token for its endpoint it goes on where it was.
    const { token: bound } = await token('--endpoint', endpoint ?? '')
    await machine.answer(enrolling(bound, 'ignored'))
    assert.equal((await machine.backUp(disk)).kind, 'incremental')
  })

  for (const [wrong, shiftMs] of [
    ['nine years ahead', 9 * 365 * dayMs],
    ['nine years behind', -9 * 365 * dayMs],
    ['before it began', -Date.now()],
  ] as const) {
    test(`a machine whose clock is ${wrong} enrols and backs up: it takes the time of the service`, async () => {
      const env = {
        NODE_OPTIONS: `--import=${preload('shift-clock.mjs')}`,
        STRATA_TEST_CLOCK_SHIFT_MS: String(shiftMs),
      }
      const name = `clock-${wrong.replaceAll(' ', '-')}`
      const machine = new Machine(place, name)
      await machine.answer(enrolling((await token()).token, name), env)
      const answer = await machine.answer<{ kind: string; createdAt: string }>(['agent', 'run', `disk=${disk}`], env)
      assert.equal(answer.kind, 'full')
      assert.ok(Math.abs(Date.parse(answer.createdAt) - Date.now()) < dayMs, answer.createdAt)
      assert.equal((await machine.backUp(disk)).kind, 'incremental')
    })
  }

  test('a service whose port somebody has says so, and ends', async () => {
    const { host } = new URL(server.address)
    assertRefusal(await place.run(['--json', 'serve', '--listen', host]), 'E_CONFIGURATION')
  })

  test('a service on a Redis that keeps nothing says so, and serves', async () => {
    const args = ['--json', 'serve', '--listen', '127.0.0.1:0']
    const volatile = await startRedis()
    const kept = await startRedis({ args: ['--appendonly', 'yes'] })
    const evicting = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
    try {
      const warned = await fleet.serve([], { env: { STRATA_REDIS_URL: volatile.url } })
      assert.match(warned.run.messages, /W_REDIS_VOLATILE: .*ids of used tokens/)
      const quiet = await fleet.serve([], { env: { STRATA_REDIS_URL: kept.url } })
      assert.doesNotMatch(quiet.run.messages, /W_REDIS/)
      await Promise.all([warned.stop(), quiet.stop()])
      assertRefusal(await place.run(args, { env: { STRATA_REDIS_URL: evicting.url } }), 'E_REDIS_EVICTS')
      assertRefusal(await place.run(args, { env: { STRATA_REDIS_URL: 'redis://127.0.0.1:1' } }), 'E_REDIS_UNREACHABLE')
    } finally {
      await Promise.all([volatile, kept, evicting].map((redis) => redis.stop()))
    }
  })
})
