import assert from 'node:assert/strict'
import { createHmac, randomBytes, sign } from 'node:crypto'
import { after, before, test } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { digestOfBody, signRequest } from '@strata/shared/protocol/request-token.ts'
import { pathOf, protocolHeader, protocolVersion, routes } from '@strata/shared/protocol/routes.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { rawConnection, sendPlain, sendRaw, type PlainAnswer } from './plain-http.ts'
import { SecurityBench, type Endpoint } from './security-bench.ts'
import { openBody, SmallSession } from './small-session.ts'

type Claims = Readonly<Record<string, unknown>>

/** A token as nobody should make one, over the real gateways of one service. */
describeWith(redisRequirement, 'tokens of requests', () => {
  let bench: SecurityBench
  let endpoint: Endpoint
  let session: SmallSession
  let target: string
  before(async () => {
    bench = await SecurityBench.start({ servers: 2, args: ['--roles', 'gateway,ingest,commit'] })
    endpoint = await bench.enrol(bench.one, 'web1')
    session = await SmallSession.open(bench, endpoint)
    target = pathOf(routes.state, session.params, session.resuming)
  })
  after(() => bench[Symbol.asyncDispose]())

  function claims(more: Claims = {}): Claims {
    const now = Math.floor(Date.now() / 1000)
    return {
      iss: endpoint.endpoint,
      tenant: endpoint.tenant,
      aud: endpoint.repository,
      iat: now,
      exp: now + 60,
      jti: randomBytes(16).toString('hex'),
      htm: 'GET',
      htu: target,
      body: digestOfBody(new Uint8Array()).toString('hex'),
      ...more,
    }
  }

  function encoded(value: unknown): string {
    return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url')
  }

  /** Signed with the endpoint's own key, whatever it says. */
  function signed(more: Claims = {}, header: Claims = { alg: 'EdDSA', typ: 'strata-request+jwt' }): string {
    const content = `${encoded(header)}.${encoded(claims(more))}`
    return `${content}.${sign(null, Buffer.from(content), endpoint.privateKey).toString('base64url')}`
  }

  async function get(authorization: string, more: { readonly target?: string; readonly method?: string } = {}) {
    const headers = { [protocolHeader]: String(protocolVersion), authorization }
    return await sendPlain(bench.address, { method: 'GET', target, headers, ...more })
  }

  async function refused(authorization: string, code = 'E_TOKEN_INVALID', more = {}): Promise<PlainAnswer> {
    const answer = await get(authorization, more)
    assert.deepEqual([answer.status, answer.code], [401, code], `${authorization} ${answer.text}`)
    return answer
  }

  test('a token that is as it should be is taken, made by hand or by an agent', async () => {
    assert.equal((await get(`Strata ${signed()}`)).status, 200)
    assert.equal((await get(await endpoint.authorization('GET', target))).status, 200)
  })

  test('a request is taken once, whichever gateway it comes to, one after the other or at once', async () => {
    const [one, two] = bench.servers.map(({ address }) => address)
    assert.ok(one !== undefined && two !== undefined)
    const send = (address: string, authorization: string): Promise<PlainAnswer> =>
      sendPlain(address, { method: 'GET', target, headers: { [protocolHeader]: '1', authorization } })
    for (const [first, second] of [
      [one, one],
      [one, two],
      [two, one],
    ] as const) {
      const authorization = await endpoint.authorization('GET', target)
      assert.equal((await send(first, authorization)).status, 200)
      const again = await send(second, authorization)
      assert.deepEqual([again.status, again.code], [401, 'E_TOKEN_REPLAYED'])
    }
    const authorization = await endpoint.authorization('GET', target)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => send(at % 2 === 0 ? one : two, authorization)),
    )
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    assert.equal(answers.filter(({ code }) => code === 'E_TOKEN_REPLAYED').length, 19)
  })

  test('a request that ended a session does not do so again for somebody who has heard it', async () => {
    const other = await SmallSession.open(bench, endpoint, { setName: 'web1@ended' })
    const body = Buffer.from(JSON.stringify(other.endBody({ segments: 0 })))
    const path = pathOf(routes.end, other.params)
    const headers = {
      [protocolHeader]: '1',
      authorization: await endpoint.authorization('POST', path, body),
      'content-type': 'application/json',
    }
    const request = { method: 'POST', target: path, headers, body }
    assert.equal((await sendPlain(bench.address, request)).status, 202)
    assert.equal((await sendPlain(bench.address, request)).code, 'E_TOKEN_REPLAYED')
  })

  test('a token is for its time', async () => {
    const signedAt = async (byMs: number): Promise<string> => {
      const request = { method: 'GET', target, bodyDigest: digestOfBody(new Uint8Array()) }
      return `Strata ${await signRequest(endpoint, request, Date.now() + byMs, systemRandomBytes)}`
    }
    assert.equal((await get(await signedAt(-50_000))).status, 200)
    assert.equal((await get(await signedAt(50_000))).status, 200)
    const late = await refused(await signedAt(-130_000), 'E_TOKEN_EXPIRED')
    assert.match(late.text, /"serviceTime":"20[0-9]{2}-/)
    await refused(await signedAt(-365 * 24 * 3600_000), 'E_TOKEN_EXPIRED')
    await refused(await signedAt(70_000), 'E_CLOCK_SKEW')
    await refused(await signedAt(365 * 24 * 3600_000), 'E_CLOCK_SKEW')
  })

  test('its life cannot be stretched, not even by whoever has the key', async () => {
    const now = Math.floor(Date.now() / 1000)
    for (const [iat, exp] of [
      [now, now + 121],
      [now - 3600, now + 60],
      [now, now + 10 ** 9],
      [now, now],
      [now, now - 1],
      [0, Number.MAX_SAFE_INTEGER],
      [now, 1e308],
      [-1, now + 60],
      [now + 0.5, now + 60.5],
      [String(now), String(now + 60)],
      [null, null],
    ]) {
      await refused(`Strata ${signed({ iat, exp })}`)
    }
  })

  test('it is for one method, path, query, repository, tenant and endpoint', async () => {
    const otherTenant = await bench.enrol(bench.other, 'web1')
    const neighbour = await bench.enrol(bench.one, 'web2')
    const changes: readonly Claims[] = [
      { htm: 'DELETE' },
      { htm: 'get' },
      { htm: 'HEAD' },
      { htu: target.replace('?after=0', '') },
      { htu: target.replace('after=0', 'after=1') },
      { htu: `${target}&after=0` },
      { htu: target.toUpperCase() },
      { htu: `${bench.address}${target}` },
      { htu: pathOf(routes.open) },
      { aud: '9'.repeat(32) },
      { aud: [endpoint.repository] },
      { aud: undefined },
      { tenant: otherTenant.tenant },
      { tenant: '9'.repeat(32) },
      { iss: neighbour.endpoint },
      { iss: otherTenant.endpoint },
      { iss: '9'.repeat(32) },
      { iss: `../${endpoint.endpoint}`.slice(0, 32) },
      { jti: '' },
      { jti: 'x' },
      { jti: 'a'.repeat(64) },
      { jti: '*'.repeat(32) },
      { body: 'comes later' },
      { body: digestOfBody(Buffer.from('{}')).toString('hex') },
    ]
    for (const change of changes) await refused(`Strata ${signed(change)}`)
    const token = signed({ htm: 'DELETE', htu: target })
    assert.equal((await get(`Strata ${token}`)).code, 'E_TOKEN_INVALID')
    // Refused for what it was not made for, it is not used up.
    assert.equal((await get(`Strata ${token}`, { method: 'DELETE' })).status, 204)
    session = await SmallSession.open(bench, endpoint)
    target = pathOf(routes.state, session.params, session.resuming)
  })

  test('it is for one body', async () => {
    const path = pathOf(routes.open)
    const body = Buffer.from(JSON.stringify(openBody(endpoint)))
    const altered = Buffer.from(JSON.stringify(openBody(endpoint, { kind: 'full' })))
    const headers = async (): Promise<Record<string, string>> => ({
      [protocolHeader]: '1',
      authorization: await endpoint.authorization('POST', path, body),
      'content-type': 'application/json',
    })
    for (const other of [altered, Buffer.concat([body, Buffer.from(' ')]), body.subarray(1), Buffer.alloc(0)]) {
      const answer = await sendPlain(bench.address, {
        method: 'POST',
        target: path,
        headers: await headers(),
        body: other,
      })
      assert.equal(answer.code, 'E_TOKEN_INVALID', other.toString())
    }
    const octets = { ...(await headers()), 'content-type': 'application/octet-stream' }
    const asSegment = await sendPlain(bench.address, { method: 'POST', target: path, headers: octets, body })
    assert.equal(asSegment.code, 'E_REQUEST_INVALID')
    const right = await sendPlain(bench.address, { method: 'POST', target: path, headers: await headers(), body })
    assert.equal(right.status, 201)
  })

  test('only the key of the endpoint signs, in only one way', async () => {
    const content = (header: Claims): string => `${encoded(header)}.${encoded(claims())}`
    const typ = 'strata-request+jwt'
    const publicKey = Buffer.from(endpoint.privateKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    const unsigned = content({ alg: 'none', typ })
    const withHmac = content({ alg: 'HS256', typ })
    const tokens = [
      `${unsigned}.`,
      `${unsigned}.AA`,
      `${withHmac}.${createHmac('sha256', publicKey).update(withHmac).digest('base64url')}`,
      `${withHmac}.${createHmac('sha256', '').update(withHmac).digest('base64url')}`,
      `${content({ alg: 'EdDSA', typ })}.${Buffer.alloc(64).toString('base64url')}`,
      signed({}, { alg: 'EdDSA', typ: 'JWT' }),
      signed({}, { alg: 'EdDSA' }),
      signed({}, { alg: 'EdDSA', typ, jwk: endpoint.privateKey.export({ format: 'jwk' }) }),
      signed({}, { alg: 'EdDSA', typ, kid: '../../keys' }),
      signed({}, { alg: 'EdDSA', typ, crit: ['b64'], b64: false }),
      signed({}, { alg: ['EdDSA'], typ }),
      signed({}, { alg: 'Ed25519', typ }),
      signed().slice(0, -2),
      `${signed()}.`,
      `.${signed()}`,
      signed().replace(/\./g, '..'),
      signed({ padding: 'x'.repeat(8192) }),
      '..',
      'a.b.c',
      '\u00e9.b.c',
    ]
    for (const token of tokens) await refused(`Strata ${token}`)
  })

  test('a token is where it belongs, once', async () => {
    for (const authorization of [
      `strata ${signed()}`,
      `STRATA ${signed()}`,
      `Bearer ${signed()}`,
      `Strata  ${signed()}`,
      `Strata\t${signed()}`,
      `Strata ${signed()}, Strata ${signed()}`,
      signed(),
      'Strata',
      'Basic c3RyYXRhOg==',
    ]) {
      await refused(authorization)
    }
    // Two headers: the first one counts, and the second has no say.
    const head = (...lines: readonly string[]): string =>
      [`GET ${target} HTTP/1.1`, 'host: x', 'connection: close', ...lines, '', ''].join('\r\n')
    const [good, bad] = [`authorization: Strata ${signed()}`, `authorization: Strata ${signed({ htm: 'PUT' })}`]
    assert.match(await sendRaw(bench.address, head('strata-protocol: 1', good, bad)), /^HTTP\/1.1 200 /)
    const again = `authorization: Strata ${signed()}`
    assert.match(await sendRaw(bench.address, head('strata-protocol: 1', bad, again)), /^HTTP\/1.1 401 /)
    assert.match(await sendRaw(bench.address, head('strata-protocol: 1, 1', again)), /^HTTP\/1.1 426 /)
  })

  test('what is no request, or has too much of a head, ends its own connection and nothing else', async () => {
    const huge = `GET ${target} HTTP/1.1\r\nhost: x\r\nauthorization: Strata ${'x'.repeat(20_000)}\r\n\r\n`
    assert.match(await sendRaw(bench.address, huge), /^HTTP\/1.1 431 [^]*"code":"E_REQUEST_INVALID"/)
    const lines = Array.from({ length: 5000 }, (_, at) => `x-${String(at)}: y`).join('\r\n')
    assert.match(
      await sendRaw(bench.address, `GET ${target} HTTP/1.1\r\nhost: x\r\n${lines}\r\n\r\n`),
      /^HTTP\/1.1 431 /,
    )
    const smuggled = [
      'GARBAGE\r\n\r\n',
      '\u0016\u0003\u0001\u0002\u0000',
      `GET ${target} HTTP/9.9\r\n\r\n`,
      `POST ${pathOf(routes.open)} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      `POST ${pathOf(routes.open)} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef`,
      `POST ${pathOf(routes.open)} HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n`,
      `GET ${target} HTTP/1.1\r\nhost: x\r\nauthorization : Strata x\r\n\r\n`,
      `GET ${target} HTTP/1.1\r\nhost: x\r\nx: a\u0000b\r\n\r\n`,
    ]
    for (const bytes of smuggled) {
      const { socket, ended } = rawConnection(bench.address)
      socket.end(Buffer.from(bytes, 'latin1'))
      assert.match(await ended, /^HTTP\/1.1 400 [^]*"code":"E_REQUEST_INVALID"/, JSON.stringify(bytes))
    }
    await bench.requireAlive()
  })

  test('what was refused is in the log without tokens, bodies or queries', () => {
    for (const { run } of bench.servers) {
      assert.doesNotMatch(run.messages, /eyJ|Strata |after=|[0-9a-f]{32}|E_BUG/)
    }
    assert.match(bench.server.run.messages, /GET \/v1\/sets\/:set\/sessions\/:session: 401 E_TOKEN_REPLAYED/)
  })
})
