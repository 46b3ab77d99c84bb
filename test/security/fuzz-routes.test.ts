import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { isErrorCode } from '@strata/shared/errors.ts'
import { misfit } from '@strata/shared/format/schema.ts'
import { pathOf, protocolHeader, routes, type Route, type RouteName } from '@strata/shared/protocol/routes.ts'
import { errorAnswerSchema } from '@strata/shared/protocol/wire.ts'
import { fuzzing, nearly } from '../fuzz/mutate.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { sendPlain, type PlainAnswer } from './plain-http.ts'
import { machine, SecurityBench, type Endpoint } from './security-bench.ts'
import { openBody, SmallSession } from './small-session.ts'

const { runs, seed } = fuzzing()
const names = Object.keys(routes) as RouteName[]

interface Request {
  readonly target: string
  readonly body: Uint8Array | undefined
}

/**
 * Requests that are nearly right, with good tokens: whatever they are, the gateway answers in its own words, has no
 * defect, and makes no point of them.
 */
describeWith(redisRequirement, 'fuzz: routes of the gateway', () => {
  let bench: SecurityBench
  let endpoint: Endpoint
  let session: SmallSession
  before(async () => {
    bench = await SecurityBench.start()
    endpoint = await bench.enrol(bench.one, 'fuzz')
    session = await SmallSession.open(bench, endpoint)
  })
  after(() => bench[Symbol.asyncDispose]())

  /** A request that the route takes, but for content roots, which no disk has. */
  function good(name: RouteName): Request {
    const params = { ...session.params, segment: '0' }
    const jsonOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
    const upload = { bytes: 1000, sha256: '0'.repeat(64) }
    const bodies: Partial<Record<RouteName, () => Uint8Array>> = {
      enrol: () =>
        jsonOf({
          token: `strata-enrol-${'1'.repeat(32)}-${'2'.repeat(32)}-${Buffer.alloc(32).toString('base64url')}`,
          publicKey: '3'.repeat(64),
          machineFingerprint: '4'.repeat(64),
          name: 'x',
          machine,
        }),
      open: () => jsonOf(openBody(endpoint)),
      history: () => jsonOf({ points: [{ sequence: 1, manifestDigest: '0'.repeat(64) }] }),
      upload: () => jsonOf(upload),
      staged: () => jsonOf({ ...upload, attempt: '0'.repeat(16) }),
      segment: () => session.sealedSegment(),
      end: () => jsonOf(session.endBody({ contentRoots: [randomBytes(32).toString('hex')] })),
    }
    const queries: Partial<Record<RouteName, Readonly<Record<string, number | string>>>> = {
      state: session.resuming,
      digests: { disk: 0, firstPage: 0, pageCount: 1 },
      events: { after: 0, attempt: 1 },
      abandon: { after: 0 },
    }
    return { target: pathOf(routes[name], params, queries[name]), body: bodies[name]?.() }
  }

  async function send(route: Route, { target, body }: Request): Promise<PlainAnswer> {
    return await sendPlain(bench.address, {
      method: route.method,
      target,
      ...(body === undefined ? {} : { body }),
      headers: {
        [protocolHeader]: '1',
        ...(body === undefined
          ? {}
          : { 'content-type': route.body === 'segment' ? 'application/octet-stream' : 'application/json' }),
        ...(route.who === 'endpoint' && target.length <= 2000
          ? { authorization: await endpoint.authorization(route.method, target, body) }
          : {}),
      },
    })
  }

  function requireHonest(name: string, { status, text, headers }: PlainAnswer): void {
    assert.ok(status < 500, `${name}: ${String(status)} ${text}`)
    if (status < 400) return
    assert.match(String(headers['content-type']), /^application\/json/)
    const document = JSON.parse(text) as { code: string }
    assert.equal(misfit(errorAnswerSchema, document), undefined, text)
    assert.ok(isErrorCode(document.code) && document.code !== 'E_BUG', text)
  }

  /** Every request as it should be is taken, or refused for something that it says; so what is fuzzed gets far. */
  test('its examples', async () => {
    for (const name of names.filter((each) => each !== 'abandon' && each !== 'end')) {
      const answer = await send(routes[name], good(name))
      requireHonest(name, answer)
      assert.ok(!['E_REQUEST_INVALID', 'E_TOKEN_INVALID'].includes(answer.code ?? '') || name === 'staged', answer.text)
    }
  })

  const value = fc.oneof(
    fc.constantFrom<unknown>(0, -1, 1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, '', null, true, [], {}, [[]], [null]),
    fc.string({ maxLength: 40, unit: 'binary' }),
    fc.constantFrom('0'.repeat(32), 'f'.repeat(64), '../../x', '\u0000', 'x'.repeat(5000), '__proto__', 'fuzz@x'),
    fc.jsonValue({ maxDepth: 2 }),
  )

  /** Another value at some place of a document. */
  const withAnother = (text: Uint8Array): fc.Arbitrary<Uint8Array> =>
    fc.tuple(fc.nat(), value, fc.constantFrom('set', 'remove', 'add')).map(([place, other, how]) => {
      const document: unknown = JSON.parse(Buffer.from(text).toString())
      const places = placesOf(document)
      const chosen = places[place % places.length]
      if (chosen === undefined) return text
      if (how === 'remove') Reflect.deleteProperty(chosen.of, chosen.name)
      else Reflect.set(chosen.of, how === 'add' ? `${chosen.name}x` : chosen.name, other)
      return Buffer.from(JSON.stringify(document))
    })

  const target = (good: string): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 3, arbitrary: fc.constant(good) },
      nearly([Buffer.from(good)]).map((bytes) => encodeURI(`/${Buffer.from(bytes).toString('latin1').slice(1)}`)),
    )

  for (const name of names) {
    test(`fuzz: ${name}`, async (t) => {
      const numRuns = Math.ceil(runs / 20)
      t.diagnostic(`STRATA_FUZZ_SEED=${String(seed)} STRATA_FUZZ_RUNS=${String(runs)}`)
      const { target: path, body } = good(name)
      const bodies =
        body === undefined
          ? fc.constant(undefined)
          : routes[name].method === 'PUT'
            ? nearly([body])
            : fc.oneof(withAnother(body), withAnother(body), nearly([body]))
      await fc.assert(
        fc.asyncProperty(target(path), bodies, async (aim, sent) => {
          requireHonest(name, await send(routes[name], { target: aim, body: sent }))
        }),
        { numRuns, seed, endOnFailure: true },
      )
      await bench.requireAlive()
    })
  }

  test('nothing became visible, nothing is left on its way, and the service knows of no defect', async () => {
    assert.deepEqual(await bench.points(), [])
    assert.doesNotMatch(bench.server.run.messages, /E_BUG| 50[0-9] /)
    const honest = await SmallSession.open(bench, await bench.enrol(bench.one, 'honest'))
    const point = await honest.commit()
    assert.deepEqual(await bench.points(), [point])
  })
})

interface PlaceIn {
  readonly of: object
  readonly name: string
}

function placesOf(value: unknown): PlaceIn[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => [{ of: value, name }, ...placesOf(member)])
}
