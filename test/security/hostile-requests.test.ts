import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { gatewayBodyBytesMax, strangerBodyBytesMax } from '@strata/shared/limits.ts'
import { pathOf, protocolHeader, protocolVersion, routes } from '@strata/shared/protocol/routes.ts'
import { until } from '../end-to-end/place.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { sendPlain, type PlainAnswer } from './plain-http.ts'
import { SecurityBench, type Endpoint } from './security-bench.ts'
import { blockBytes, diskBytes, openBody, SmallSession, zeros } from './small-session.ts'

/** What is said to the gateway beside the segments: well signed, by an endpoint that lies. */
describeWith(redisRequirement, 'hostile requests', () => {
  let bench: SecurityBench
  let hostile: Endpoint
  const made: string[] = []
  before(async () => {
    bench = await SecurityBench.start()
    hostile = await bench.enrol(bench.one, 'hostile')
  })
  after(() => bench[Symbol.asyncDispose]())

  async function open(more: Readonly<Record<string, unknown>>): Promise<PlainAnswer> {
    return await bench.ask(routes.open, { by: hostile, body: openBody(hostile, more) })
  }

  test('open: disks that cannot be', async () => {
    const disk = { name: 'disk', sizeBytes: diskBytes, identity: {}, blockBytes }
    const sizes = [0, -1, 1.5, 2 ** 53, 1e308, '1000', null, [], {}, true, Number.MAX_SAFE_INTEGER, 2 ** 50 + 1]
    for (const sizeBytes of sizes) {
      assert.equal((await open({ disks: [{ ...disk, sizeBytes }] })).status, 422, JSON.stringify(sizeBytes))
    }
    for (const size of [0, 1, -65_536, 65_537, 196_608, 2 ** 23, 1e308, 'x', null]) {
      assert.equal((await open({ disks: [{ ...disk, blockBytes: size }] })).status, 422, JSON.stringify(size))
    }
    for (const name of [
      '',
      '../x',
      '/etc/passwd',
      'a/b',
      'a\u0000',
      '..',
      '-',
      'd\u0456sk',
      'x'.repeat(10_000),
      7,
      null,
    ]) {
      const { status, code } = await open({ disks: [{ ...disk, name }] })
      assert.equal(status, 422, JSON.stringify(name))
      assert.ok(code === 'E_DISK_NAME' || code === 'E_REQUEST_INVALID')
    }
    const named = (count: number): object[] =>
      Array.from({ length: count }, (_, at) => ({ ...disk, name: `disk${String(at)}` }))
    assert.equal((await open({ disks: named(65) })).code, 'E_REQUEST_INVALID')
    assert.equal((await open({ disks: named(64), setName: 'hostile@64' })).status, 201)
    assert.equal((await open({ disks: [disk, disk] })).code, 'E_DISK_NAME')
    for (const disks of [[], {}, null, 'disk', [null], [[]], [{}]]) {
      assert.equal((await open({ disks })).code, 'E_REQUEST_INVALID', JSON.stringify(disks))
    }
    for (const identity of [[], null, 'x', { gpt: 'x'.repeat(1000) }, { gpt: 7 }]) {
      assert.equal((await open({ disks: [{ ...disk, identity }] })).code, 'E_REQUEST_INVALID', JSON.stringify(identity))
    }
    // What JSON has no words for.
    const text = JSON.stringify(openBody(hostile)).replace(`"sizeBytes":${String(diskBytes)}`, '"sizeBytes":NaN')
    assert.equal((await bench.ask(routes.open, { by: hostile, body: Buffer.from(text) })).code, 'E_REQUEST_INVALID')
  })

  test('open: kinds, attempts and fingerprints that are none', async () => {
    for (const more of [
      { kind: 'all' },
      { kind: '__proto__' },
      { attempt: 'x' },
      { attempt: '../'.repeat(11) },
      { attempt: ['a'] },
      { machineFingerprint: 'X'.repeat(64) },
      { setName: '' },
      { setName: 7 },
      { setName: 'hostile\u0000' },
      { setName: 'hostile@\u202e' },
      { setName: `hostile@${'x'.repeat(300)}` },
    ]) {
      assert.equal((await open(more)).status, 422, JSON.stringify(more))
    }
    // Spelled in another way it is the same set.
    const [one, other] = [await open({ setName: 'hostile@\u00e9' }), await open({ setName: 'hostile@e\u0301' })]
    assert.deepEqual([one.status, other.status], [201, 201])
    const setOf = ({ text }: PlainAnswer): unknown => (JSON.parse(text) as { set: string }).set
    assert.equal(setOf(one), setOf(other))
  })

  test('one attempt gives one session, also at the same moment', async () => {
    const body = openBody(hostile)
    const answers = await Promise.all(Array.from({ length: 8 }, () => bench.ask(routes.open, { by: hostile, body })))
    const sessions = new Set(answers.map(({ text }) => (JSON.parse(text) as { session: string }).session))
    assert.equal(sessions.size, 1)
  })

  test('digests: ranges that are absurd', async () => {
    const first = await SmallSession.open(bench, hostile, { setName: 'hostile@digests' })
    made.push(await first.commit())
    const session = await SmallSession.open(bench, hostile, { setName: 'hostile@digests' })
    const ask = (query: Readonly<Record<string, string | number>>): Promise<PlainAnswer> =>
      session.ask(routes.digests, { query })
    const whole = await ask({ disk: 0, firstPage: 0, pageCount: 16 })
    assert.deepEqual([whole.status, whole.body.length % 32], [200, 0])
    for (const query of [
      { disk: 0, firstPage: 65_536, pageCount: 16 },
      { disk: 0, firstPage: 1, pageCount: 1 },
      { disk: 0, firstPage: 0, pageCount: 0 },
    ]) {
      const { status, body } = await ask(query)
      assert.deepEqual([status, body.length], [200, 0], JSON.stringify(query))
    }
    for (const query of [
      { disk: 1, firstPage: 0, pageCount: 1 },
      { disk: 63, firstPage: 0, pageCount: 1 },
      { disk: 64, firstPage: 0, pageCount: 1 },
      { disk: -1, firstPage: 0, pageCount: 1 },
      { disk: 0, firstPage: 65_537, pageCount: 1 },
      { disk: 0, firstPage: 0, pageCount: 17 },
      { disk: 0, firstPage: 0, pageCount: '9'.repeat(300) },
      { disk: '0x0', firstPage: '1e1', pageCount: ' 1' },
      { disk: 0, firstPage: 0 },
      {},
    ]) {
      assert.equal((await ask(query as Record<string, string>)).status, 422, JSON.stringify(query))
    }
    const target = `${pathOf(routes.digests, session.params)}?disk=0&disk=1&firstPage=0&pageCount=1&__proto__=x`
    const headers = { [protocolHeader]: '1', authorization: await hostile.authorization('GET', target) }
    assert.equal((await sendPlain(bench.address, { method: 'GET', target, headers })).code, 'E_REQUEST_INVALID')
  })

  test('end: an end that lies makes no point', async () => {
    for (const [more, code] of [
      [{ contentRoots: [randomBytes(32).toString('hex')] }, 'E_CONTENT_ROOT'],
      [{ contentRoots: [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')] }, 'E_CONTENT_ROOT'],
      [{ segments: 0 }, 'E_CONTENT_ROOT'],
      [{ segments: 2 }, 'E_SEGMENTS_MISSING'],
      [{ segments: 4_194_304 }, 'E_SEGMENTS_MISSING'],
    ] as const) {
      const session = await SmallSession.open(bench, hostile)
      assert.equal((await session.put(0, session.sealedSegment())).status, 204)
      const body = session.endBody({
        ...more,
        contentRoots: [...('contentRoots' in more ? more.contentRoots : session.endBody().contentRoots)],
      })
      assert.equal((await session.ask(routes.end, { body })).status, 202)
      const { event, data } = await session.outcome()
      assert.deepEqual([event, data['code']], ['failed', code], JSON.stringify(data))
      const line = new RegExp(`commit: session ${session.info.session} of set [0-9a-f]{32}, .*: ${code}: `)
      await until(() => Promise.resolve(bench.servers.some(({ run }) => line.test(run.messages)) || undefined))
      // Told as it is, it becomes one.
      const good = session.endBody({ attempt: 2 })
      assert.equal((await session.ask(routes.end, { body: good })).status, 202)
      assert.equal((await session.outcome(2)).event, 'committed')
      made.push(session.info.session)
    }
  })

  test('end: members that cannot be are refused', async () => {
    const session = await SmallSession.open(bench, hostile)
    const warning = { code: 'W_X', message: 'x' }
    for (const more of [
      { segments: -1 },
      { segments: 4_194_305 },
      { segments: 0.5 },
      { attempt: 0 },
      { attempt: 1001 },
      { contentRoots: [] },
      { contentRoots: Array.from({ length: 65 }, () => '0'.repeat(64)) },
      { contentRoots: ['0'.repeat(63)] },
      { capturedAt: 'yesterday' },
      { capturedAt: '2026-13-01T00:00:00.000Z' },
      { consistency: 'perfect' },
      { scannedBytes: -1 },
      { changedBytes: 2 ** 60 },
      { warnings: Array.from({ length: 201 }, () => warning) },
      { warnings: [{ ...warning, message: 'x'.repeat(2001) }] },
      { machine: { hostName: 'x'.repeat(256), system: '', architecture: '' } },
      { machine: [] },
    ]) {
      const body = { ...session.endBody(), ...more }
      const answer = await session.ask(routes.end, { body })
      assert.deepEqual([answer.status, answer.code], [422, 'E_REQUEST_INVALID'], JSON.stringify(more).slice(0, 100))
    }
    assert.equal((await session.ask(routes.events, { query: { ...session.after, attempt: 1 } })).status, 200)
  })

  test('what an endpoint says of itself cannot steer a terminal', async () => {
    const session = await SmallSession.open(bench, hostile, { setName: 'hostile@terminal' })
    assert.equal((await session.put(0, session.sealedSegment())).status, 204)
    const nasty = '\u001b[2J\u202e\u0007\u2028 gone'
    const body = session.endBody({
      machine: { hostName: nasty, system: nasty, architecture: nasty },
      warnings: [{ code: nasty, message: nasty }],
    })
    assert.equal((await session.ask(routes.end, { body })).status, 202)
    assert.equal((await session.outcome()).event, 'committed')
    made.push(session.info.session)
    const env = { STRATA_KEYRING: bench.place.file('keyrings/one.json') }
    for (const args of [['points'], ['--json', 'points'], ['endpoint', 'list'], ['token', 'list']]) {
      const run = await bench.place.run(args, { env })
      assert.equal(run.exitCode, 0, run.messages)
      assert.doesNotMatch((run.output + run.messages).replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    }
  })

  test('history: as many points as there can be, and no more', async () => {
    const session = await SmallSession.open(bench, hostile)
    const points = (count: number): object[] =>
      Array.from({ length: count }, (_, at) => ({ sequence: at + 1, manifestDigest: 'f'.repeat(64) }))
    assert.equal((await session.ask(routes.history, { body: { points: points(64) } })).status, 200)
    assert.equal((await session.ask(routes.history, { body: { points: points(65) } })).status, 422)
    const odd = { points: [{ sequence: 0, manifestDigest: 'f'.repeat(64) }] }
    assert.equal((await session.ask(routes.history, { body: odd })).status, 422)
  })

  test('JSON that is deep, huge, double, or no object', async () => {
    const send = async (text: string | Uint8Array): Promise<PlainAnswer> =>
      await bench.ask(routes.open, { by: hostile, body: Buffer.from(text) })
    const good = JSON.stringify(openBody(hostile))
    const deep = '['.repeat(500_000) + ']'.repeat(500_000)
    for (const text of [
      deep,
      '['.repeat(1_000_000),
      good.replace('"identity":{}', `"identity":${deep.slice(400_000, 600_000)}`),
      good.replace('"identity":{}', `"identity":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`).slice(0, -1),
      'null',
      '[]',
      '7',
      '"open"',
      '{}',
      '',
      ' ',
      '{"__proto__":{"setName":"hostile"}}',
      Buffer.from([0xff, 0xfe, 0x7b, 0x7d]),
      `\ufeff${good}`,
      good.slice(0, -1),
      `${good}${good}`,
    ]) {
      assert.equal((await send(text)).code, 'E_REQUEST_INVALID', text.toString().slice(0, 50))
    }
    // The last of two members counts, for the check as for the work.
    const twice = good.replace('"setName":"hostile"', '"setName":"hostile","setName":"other"')
    assert.equal((await send(twice)).code, 'E_SET_FOREIGN')
    const polluting = good.replace('{', '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"x":1}},')
    assert.equal((await send(polluting)).status, 201)
    assert.equal((await send(`${good}${' '.repeat(gatewayBodyBytesMax)}`)).code, 'E_REQUEST_INVALID')
  })

  test('whoever has no token gets little kept', async () => {
    const post = async (bytes: number): Promise<PlainAnswer> =>
      await sendPlain(bench.address, {
        method: 'POST',
        target: routes.enrol.path,
        headers: { [protocolHeader]: String(protocolVersion), 'content-type': 'application/json' },
        body: Buffer.alloc(bytes, ' '),
      })
    assert.match((await post(strangerBodyBytesMax)).text, /is no JSON/)
    assert.match((await post(strangerBodyBytesMax + 1)).text, /BODY_TOO_LARGE/)
  })

  test('paths that are none', async () => {
    const { set, session } = (await SmallSession.open(bench, hostile)).params
    for (const target of [
      `/v1/sets/${set}/sessions/${'x'.repeat(2000)}`,
      `/v1/sets/${set}/sessions/%zz`,
      `/v1/sets/${set}/sessions/%2e%2e%2f`,
      `/v1/sets/%00/sessions/${session}?after=0`,
      `/v1/sets/${set.toUpperCase()}/sessions/${session}?after=0`,
      `/v1/sets/${set}/sessions/${session}?after=-1`,
      `/v1/sets/${set}/sessions/${session}?after=${'9'.repeat(500)}`,
      `/v1/sets/${set}/sessions/${session}?after[x]=1`,
      `/v1/sets/${set}/sessions/${session}?${'a=b&'.repeat(500)}`,
    ]) {
      const headers = {
        [protocolHeader]: '1',
        authorization: await hostile.authorization('GET', target.slice(0, 2000)),
      }
      const answer = await sendPlain(bench.address, { method: 'GET', target, headers })
      assert.ok(answer.status >= 400 && answer.status < 500 && answer.code !== undefined, `${target} ${answer.text}`)
    }
  })

  test('a disk of zeros needs no segment, and a block may be sent many times', async () => {
    const session = await SmallSession.open(bench, hostile, { setName: 'hostile@zeros' })
    const root = session.contentRoot(() => zeros)
    const body = session.endBody({ segments: 0, contentRoots: [root] })
    assert.equal((await session.ask(routes.end, { body })).status, 202)
    assert.equal((await session.outcome()).event, 'committed')
    made.push(session.info.session)
    const again = await SmallSession.open(bench, hostile, { setName: 'hostile@again' })
    for (let segment = 0; segment < 3; segment += 1) {
      assert.equal((await again.put(segment, again.sealedSegment(segment))).status, 204)
    }
    assert.equal((await again.ask(routes.end, { body: again.endBody({ segments: 3 }) })).status, 202)
    assert.equal((await again.outcome()).event, 'committed')
    made.push(again.info.session)
  })

  test('the service lives, knows of no defect, and nothing else became visible', async () => {
    await bench.requireAlive()
    assert.doesNotMatch(bench.server.run.messages, /E_BUG| 50[0-9] /)
    assert.deepEqual((await bench.points()).sort(), made.sort())
  })
})
