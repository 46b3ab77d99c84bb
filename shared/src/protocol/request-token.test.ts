import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { hasCode, type ErrorCode } from '../errors.ts'
import {
  requestClockSkewMsMax,
  requestTargetCharsMax,
  requestTokenCharsMax,
  requestTokenLifeMs,
  requestTokenLifeMsMax,
} from '../limits.ts'
import { ramp } from '../testing/layout.ts'
import { seededRandom } from '../testing/test-repository.ts'
import { asId, type EndpointId, type Id, type TenantId } from '../types.ts'
import { endpointKeyFrom, publicKeyFrom, publicKeyOf } from './endpoint-key.ts'
import {
  digestOfBody,
  originOf,
  requireBody,
  signRequest,
  verifyRequest,
  type RequestExpectation,
  type RequestSigner,
  type SignedRequest,
} from './request-token.ts'

const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0, 250)
const random = seededRandom('request token')
const privateKey = endpointKeyFrom(ramp(1, 32))
const publicKey = publicKeyFrom(publicKeyOf(privateKey))
const signer: RequestSigner = {
  endpoint: asId<EndpointId>('1'.repeat(32)),
  tenant: asId<TenantId>('2'.repeat(32)),
  repository: asId<Id>('3'.repeat(32)),
  privateKey,
}
const body = Buffer.from('{"set":"web1"}')
const request: SignedRequest = {
  method: 'POST',
  target: '/v1/sets/web1/sessions?kind=auto&x=%2F',
  bodyDigest: digestOfBody(body),
}
const { privateKey: _, ...origin } = signer
const expectation: RequestExpectation = { ...origin, ...request }

const signed = (change: Partial<SignedRequest & RequestSigner> = {}, atMs = nowMs): Promise<string> =>
  signRequest({ ...signer, ...change }, { ...request, ...change }, atMs, random)

const verify = (token: string, change: Partial<RequestExpectation> = {}, atMs = nowMs, key = publicKey) =>
  verifyRequest(token, { ...expectation, ...change }, key, atMs)

async function refused(token: string, code: ErrorCode = 'E_TOKEN_INVALID', atMs = nowMs): Promise<void> {
  await assert.rejects(verify(token, {}, atMs), (error) => {
    assert.ok(hasCode(error, code), inspect(error))
    // Nothing in it tells why.
    if (code === 'E_TOKEN_INVALID') assert.equal(error.message, "the request's token is not valid")
    return true
  })
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token put together by hand, with whatever header and claims, signed with whatever key. */
function handmade(header: unknown, claims: unknown, key: KeyObject = privateKey): string {
  const input = `${encoded(header)}.${encoded(claims)}`
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`
}

const header = { alg: 'EdDSA', typ: 'strata-request+jwt' }
const nowS = Math.floor(nowMs / 1000)
const claims = {
  iss: signer.endpoint,
  tenant: signer.tenant,
  aud: signer.repository,
  iat: nowS,
  exp: nowS + 60,
  jti: 'ab'.repeat(16),
  htm: request.method,
  htu: request.target,
  body: Buffer.from(request.bodyDigest).toString('hex'),
}

test('a token is a JWS with our type and the claims of its request', async () => {
  const [head = '', payload = ''] = (await signed()).split('.')
  const decoded = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  assert.deepEqual(decoded(head), header)
  const { jti, ...others } = decoded(payload) as typeof claims
  const { jti: __, ...expected } = claims
  assert.deepEqual(others, { ...expected, exp: nowS + requestTokenLifeMs / 1000 })
  assert.match(jti, /^[0-9a-f]{32}$/)
})

test('a request is taken as it was signed, and each has another id', async () => {
  const tokens = await Promise.all([signed(), signed()])
  const ids = await Promise.all(tokens.map(async (token) => (await verify(token)).tokenId))
  assert.equal(new Set(ids).size, 2)
  const [token] = tokens
  assert.deepEqual(originOf(token), { endpoint: signer.endpoint, tenant: signer.tenant })
  const verified = await verify(token)
  assert.equal(verified.endpoint, signer.endpoint)
  assert.deepEqual(Buffer.from(verified.bodyDigest), request.bodyDigest)
})

test('one that was put together by hand is taken too: nothing but what is said here counts', async () => {
  await verify(handmade(header, claims))
  await verify(handmade({ typ: header.typ, alg: header.alg }, { ...claims, more: 1 }))
})

test('for another endpoint, tenant, repository, method, path, query or body it is good for nothing', async () => {
  const token = await signed()
  const others: Partial<RequestExpectation>[] = [
    { endpoint: asId<EndpointId>('9'.repeat(32)) },
    { tenant: asId<TenantId>('9'.repeat(32)) },
    { repository: asId<Id>('9'.repeat(32)) },
    { method: 'PUT' },
    { method: 'post' },
    { target: '/v1/sets/web2/sessions?kind=auto&x=%2F' },
    { target: '/v1/sets/web1/sessions' },
    { target: '/v1/sets/web1/sessions?kind=full&x=%2F' },
    { target: '/v1/sets/web1/sessions?kind=auto&x=/' },
    { target: '/v1/sets/web1/sessions/?kind=auto&x=%2F' },
    { bodyDigest: digestOfBody(Buffer.from('{"set":"web2"}')) },
    { bodyDigest: digestOfBody(Buffer.alloc(0)) },
    { bodyDigest: new Uint8Array(0) },
  ]
  for (const other of others) {
    await assert.rejects(verify(token, other), { code: 'E_TOKEN_INVALID' }, JSON.stringify(other))
  }
})

test('a body that comes later is compared when it is there', async () => {
  const verified = await verify(await signed(), { bodyDigest: 'comes later' })
  requireBody(verified, digestOfBody(body))
  assert.throws(
    () => {
      requireBody(verified, digestOfBody(Buffer.from('x')))
    },
    { code: 'E_TOKEN_INVALID' },
  )
})

test('every claim counts: altered, missing or of another form it is refused, signed or not', async () => {
  const altered = {
    iss: '9'.repeat(32),
    tenant: '9'.repeat(32),
    aud: '9'.repeat(32),
    iat: nowS + 1,
    exp: nowS + 61,
    jti: 'cd'.repeat(16),
    htm: 'GET',
    htu: '/',
    body: 'ef'.repeat(32),
  }
  assert.deepEqual(Object.keys(altered), Object.keys(claims))
  const signature = handmade(header, claims).split('.')[2] ?? ''
  for (const [name, value] of Object.entries(altered)) {
    // The old signature under other claims.
    await refused(`${encoded(header)}.${encoded({ ...claims, [name]: value })}.${signature}`)
    await refused(handmade(header, { ...claims, [name]: undefined }))
    for (const wrong of [null, [], {}, -1, 1.5, '', 'x'.repeat(3000), '\u0000']) {
      await refused(handmade(header, { ...claims, [name]: wrong }))
    }
  }
  for (const name of ['iss', 'tenant', 'aud', 'htm', 'htu', 'body'] as const) {
    await refused(handmade(header, { ...claims, [name]: altered[name] }))
  }
  for (const payload of [null, [], 'text', 1]) await refused(handmade(header, payload))
})

test('another key, no key, another algorithm: refused', async () => {
  await refused(await signed({ privateKey: endpointKeyFrom(ramp(2, 32)) }))
  const none = `${encoded({ ...header, alg: 'none' })}.${encoded(claims)}`
  await refused(`${none}.`)
  await refused(`${none}.AA`)
  // The public key taken for a secret, which is how libraries that let the header choose were fooled.
  for (const secret of [
    publicKey.export({ format: 'pem', type: 'spki' }),
    publicKey.export({ format: 'der', type: 'spki' }),
    Buffer.from(publicKeyOf(privateKey), 'hex'),
  ]) {
    const input = `${encoded({ ...header, alg: 'HS256' })}.${encoded(claims)}`
    await refused(`${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`)
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const input = `${encoded({ ...header, alg: 'RS256' })}.${encoded(claims)}`
  await refused(`${input}.${sign('sha256', Buffer.from(input), rsa).toString('base64url')}`)
  for (const alg of ['Ed25519', 'eddsa', 'ES256', '', null, undefined])
    await refused(handmade({ ...header, alg }, claims))
})

test('a header that says anything else is refused, whoever signed it', async () => {
  const other = endpointKeyFrom(ramp(2, 32))
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKeyOf(other), 'hex').toString('base64url') }
  await refused(handmade({ ...header, jwk }, claims, other))
  for (const more of [
    { typ: 'JWT' },
    { typ: undefined },
    { typ: 'dpop+jwt' },
    { crit: ['exp'], exp: 1 },
    { crit: ['b64'], b64: false },
    { crit: [] },
    { b64: true },
    { kid: 'x' },
    { jwk },
    { x5u: 'https://example.org' },
  ]) {
    await refused(handmade({ ...header, ...more }, claims))
  }
})

test('it lives from one end of the tolerance to the other, and not a moment longer', async () => {
  const token = await signed()
  const issuedMs = nowS * 1000
  const expiresMs = issuedMs + requestTokenLifeMs
  for (const atMs of [issuedMs - requestClockSkewMsMax, nowMs, expiresMs, expiresMs + requestClockSkewMsMax - 1]) {
    const { rememberMs } = await verify(token, {}, atMs)
    // It is remembered until nobody would take it any more.
    await refused(token, 'E_TOKEN_EXPIRED', atMs + rememberMs)
    assert.ok(Number.isSafeInteger(rememberMs) && rememberMs > 0)
    assert.ok(rememberMs <= requestTokenLifeMsMax + 2 * requestClockSkewMsMax)
  }
  await refused(token, 'E_CLOCK_SKEW', issuedMs - requestClockSkewMsMax - 1)
  await refused(token, 'E_TOKEN_EXPIRED', expiresMs + requestClockSkewMsMax)
  await assert.rejects(verify(token, {}, expiresMs + 1e9), (error) => {
    assert.ok(hasCode(error, 'E_TOKEN_EXPIRED'))
    assert.equal(error.details?.['serviceTime'], new Date(expiresMs + 1e9).toISOString())
    return true
  })
})

test('a life that was stretched is refused although it is signed, and so is none', async () => {
  const life = requestTokenLifeMsMax / 1000
  await verify(handmade(header, { ...claims, exp: nowS + life }))
  for (const exp of [nowS + life + 1, nowS + 1e6, Number.MAX_SAFE_INTEGER, nowS, nowS - 1]) {
    await refused(handmade(header, { ...claims, exp }))
  }
  await refused(handmade(header, { ...claims, iat: nowS - life, exp: nowS + 1 }))
})

test('who does not own the key does not learn that a token is old', async () => {
  const foreign = await signed({ privateKey: endpointKeyFrom(ramp(2, 32)) }, nowMs - 1e9)
  await refused(foreign)
  // Nor does who sends one for something else.
  await assert.rejects(verify(await signed({}, nowMs - 1e9), { target: '/' }), { code: 'E_TOKEN_INVALID' })
})

test('what is no token, or too long to be one, is refused before anything is computed', async () => {
  const token = await signed()
  const wrong = [
    '',
    '.',
    '..',
    'a.b',
    'a.b.c.d',
    ` ${token}`,
    `${token}\n`,
    `${token}=`,
    token.replaceAll('.', '..'),
    token.slice(0, -20),
    'a'.repeat(requestTokenCharsMax + 1),
    `a.${'a'.repeat(requestTokenCharsMax)}.a`,
  ]
  for (const one of wrong) {
    await refused(one)
    if (!one.startsWith(token.slice(0, 100)))
      assert.throws(() => originOf(one), { code: 'E_TOKEN_INVALID' }, one.slice(0, 80))
  }
})

test('the longest request that can be signed fits a token, and a longer one is a bug', async () => {
  const target = `/${'x'.repeat(requestTargetCharsMax - 1)}`
  const token = await signed({ target })
  assert.ok(token.length <= requestTokenCharsMax)
  await verify(token, { target })
  for (const wrong of [
    { target: `${target}x` },
    { target: 'v1' },
    { target: '/\u00e9' },
    { target: '/ ' },
    { method: 'post' },
    { bodyDigest: ramp(0, 31) },
  ]) {
    await assert.rejects(signed(wrong), { code: 'E_BUG' })
  }
})

test('property: any other text is refused by its code', async () => {
  const parts = fc.array(fc.oneof(fc.base64String(), fc.string()), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(parts, async (some) => {
      await refused(some.join('.'))
    }),
  )
})

test('property: one changed character of a token makes it worthless', async () => {
  const token = await signed()
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...Array.from(letters)), async (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1)
      // The last character of the signature has bits that say nothing.
      const says = (text: string): string => Buffer.from(text.split('.')[2] ?? '', 'base64url').toString('hex')
      const isSame = changed.slice(0, -1) === token.slice(0, -1) && says(changed) === says(token)
      if (!isSame) await refused(changed)
    }),
    { numRuns: 200 },
  )
})

test('property: what is signed is taken for just that request', async () => {
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE')
  const target = fc
    .webPath()
    .filter((path) => path.startsWith('/'))
    .map((path) => path.slice(0, requestTargetCharsMax))
  await fc.assert(
    fc.asyncProperty(method, target, fc.uint8Array(), async (anyMethod, anyTarget, anyBody) => {
      const asked = { method: anyMethod, target: anyTarget, bodyDigest: digestOfBody(anyBody) }
      await verify(await signed(asked), asked)
      await assert.rejects(verify(await signed(asked), { ...asked, target: `${anyTarget}x` }), {
        code: 'E_TOKEN_INVALID',
      })
    }),
    { numRuns: 50 },
  )
})

// ── keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('a key pair is that of RFC 8032, and shows nothing of its private half', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
  const key = endpointKeyFrom(seed)
  assert.equal(publicKeyOf(key), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
  const shown = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify({ key })
  assert.ok(!shown.includes('9d61b19d'))
  assert.throws(() => endpointKeyFrom(ramp(0, 31)), { code: 'E_BUG' })
  assert.throws(() => publicKeyFrom('00'), { code: 'E_BUG' })
})
