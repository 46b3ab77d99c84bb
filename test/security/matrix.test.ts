import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { protocolHeader, protocolVersion, routes, type Route, type RouteName } from '@strata/shared/protocol/routes.ts'
import { findEndpoint, revokeEndpoint } from '@strata/shared/repository/registry/endpoints.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { redisRequirement } from '../servers/redis.ts'
import { describeWith } from '../servers/require-server.ts'
import { sendPlain, type PlainAnswer } from './plain-http.ts'
import { SecurityBench, type Asked, type Endpoint } from './security-bench.ts'
import { openBody, SmallSession } from './small-session.ts'

/**
 * Who may do what: every route of the table, for everybody that there is, on a session of their own and on that of
 * somebody else. It is an allow-list: the endpoint that a session is of gets through, and nobody else; and what others
 * get is, to the byte, what they get for a session that was never there.
 */
type OwnAnswer = (session: SmallSession) => Asked

/** A request to each route that its endpoint may make, and what comes of it. A route without an entry is a type error. */
const good: Readonly<Record<Exclude<RouteName, 'health' | 'enrol' | 'policy' | 'open'>, OwnAnswer>> = {
  state: ({ resuming: query }) => ({ query }),
  history: () => ({ body: { points: [{ sequence: 1, manifestDigest: '0'.repeat(64) }] } }),
  digests: () => ({ query: { disk: 0, firstPage: 0, pageCount: 1 } }),
  upload: () => ({ params: { segment: '0' }, body: { bytes: 1000, sha256: '0'.repeat(64) } }),
  staged: () => ({ params: { segment: '0' }, body: { bytes: 1000, sha256: '0'.repeat(64), attempt: '0'.repeat(16) } }),
  segment: (session) => ({ params: { segment: '0' }, body: session.sealedSegment() }),
  end: (session) => ({ body: session.endBody() }),
  events: ({ after: query }) => ({ query: { ...query, attempt: 1 } }),
  abandon: ({ after: query }) => ({ query }),
}
type SessionRoute = keyof typeof good
const sessionRoutes = Object.keys(good) as SessionRoute[]

/** Where it is not the success of the table: there is no staging area here. */
const otherStatus: Partial<Record<SessionRoute, number>> = { staged: 422 }

test('the matrix has every route', () => {
  assert.deepEqual(['health', 'enrol', 'policy', 'open', ...sessionRoutes].sort(), Object.keys(routes).sort())
  for (const [name, { who }] of Object.entries(routes) as [RouteName, Route][]) {
    assert.equal(who, name === 'health' || name === 'enrol' ? 'anybody' : 'endpoint', name)
  }
})

/** What an answer says, but for the session that the asker has named himself. */
function said({ status, headers, text }: PlainAnswer, session: string): unknown {
  const { date: _, connection: __, 'keep-alive': ___, 'content-length': ____, ...others } = headers
  return { status, others, text: session === '' ? text : text.replaceAll(session, '<session>') }
}

describeWith(redisRequirement, 'who may do what', () => {
  let bench: SecurityBench
  let victim: Endpoint
  /** The points that were made by whoever may. */
  const made: string[] = []
  before(async () => {
    bench = await SecurityBench.start()
    victim = await bench.enrol(bench.one, 'web1')
    // Before anybody asks: a gateway remembers for a while that there is none.
    await appendPolicy(new Registry(bench.one.repository), { schedule: { every: '4h' } })
  })
  after(() => bench[Symbol.asyncDispose]())

  for (const name of sessionRoutes) {
    test(`${name}: the endpoint of the session`, async () => {
      const session = await SmallSession.open(bench, victim)
      const answer = await session.ask(routes[name], good[name](session))
      assert.equal(answer.status, otherStatus[name] ?? routes[name].status, answer.text)
    })
  }

  test('policy: each endpoint has that of its own tenant, and nobody else has any', async () => {
    const stranger = await bench.enrol(bench.other, 'policy-reader')
    const own = JSON.parse((await bench.ask(routes.policy, { by: victim })).text) as { policy: { document: unknown } }
    assert.deepEqual(own.policy.document, { schedule: { every: '4h' } })
    assert.deepEqual(JSON.parse((await bench.ask(routes.policy, { by: stranger })).text), { policy: null })
    assert.equal((await bench.ask(routes.policy, {})).status, 401)
  })

  test('open: an endpoint, in its own sets', async () => {
    for (const setName of ['web1', 'web1@data', 'web1@../x', 'web1@web2', 'web1@@']) {
      const body = openBody(victim, { setName })
      const answer = await bench.ask(routes.open, { by: victim, body })
      assert.equal(answer.status, setName.includes('/') ? 422 : 201, `${setName}: ${answer.text}`)
    }
  })

  test('open: nobody in the sets of another endpoint, whether there is one or not', async () => {
    await bench.enrol(bench.one, 'web2')
    const names = [
      'web2',
      'web2@data',
      'web',
      'web10',
      'web1 ',
      'WEB1',
      'web1\u200b',
      'web\u0661',
      'w\u0435b1',
      'nobody',
    ]
    for (const setName of [...names, '@', '@web1', 'web1\u0000@x', 'web1/@x', '../web1']) {
      const answer = await bench.ask(routes.open, { by: victim, body: openBody(victim, { setName }) })
      assert.deepEqual([answer.status, answer.code], [422, 'E_SET_FOREIGN'], setName)
      assert.ok(!answer.text.includes('web2'), answer.text)
    }
  })

  test('open: a copy of an identity on another machine', async () => {
    const machineFingerprint = randomBytes(32).toString('hex')
    const answer = await bench.ask(routes.open, { by: victim, body: openBody(victim, { machineFingerprint }) })
    assert.deepEqual([answer.status, answer.code], [409, 'E_ENDPOINT_CLONED'])
  })

  /** Requests to all routes of a session. */
  async function askAll(session: SmallSession, asked: Asked): Promise<Map<SessionRoute, PlainAnswer>> {
    const answers = new Map<SessionRoute, PlainAnswer>()
    for (const name of sessionRoutes) {
      const { params, ...own } = good[name](session)
      answers.set(name, await bench.ask(routes[name], { ...own, ...asked, params: { ...params, ...asked.params } }))
    }
    return answers
  }

  test('another endpoint gets for a session what it gets for one that is not there', async () => {
    const neighbour = await bench.enrol(bench.one, 'neighbour')
    const stranger = await bench.enrol(bench.other, 'web1')
    const open = await SmallSession.open(bench, victim)
    const ended = await SmallSession.open(bench, victim, { setName: 'web1@ended' })
    assert.equal((await ended.put(0, ended.sealedSegment())).status, 204)
    assert.equal((await ended.ask(routes.end, { body: ended.endBody({ segments: 5 }) })).status, 202)
    const committed = await SmallSession.open(bench, victim, { setName: 'web1@committed' })
    made.push(await committed.commit())
    const givenUp = await SmallSession.open(bench, victim, { setName: 'web1@given-up' })
    assert.equal((await givenUp.ask(routes.abandon, { query: givenUp.after })).status, 204)
    for (const by of [neighbour, stranger]) {
      const own = await SmallSession.open(bench, by)
      const nothing = { set: randomBytes(16).toString('hex'), session: randomBytes(16).toString('hex') }
      const expected = await askAll(own, { by, params: nothing })
      for (const { params } of [open, ended, committed, givenUp]) {
        for (const mixed of [params, { ...params, set: own.info.set }, { ...own.params, set: params.set }]) {
          const found = await askAll(own, { by, params: mixed })
          for (const [name, answer] of found) {
            const nothingThere = expected.get(name)
            assert.ok(nothingThere !== undefined)
            assert.deepEqual(
              [answer.status, answer.code],
              // It is over, or was never there: nothing comes of it.
              name === 'abandon' ? [204, undefined] : [404, 'E_SESSION_UNKNOWN'],
            )
            assert.deepEqual(said(answer, mixed.session), said(nothingThere, nothing.session), name)
          }
        }
      }
    }
    made.push(await open.commit())
  })

  test('nobody, and whoever is no endpoint any more, gets nothing, and one answer for everything', async () => {
    const session = await SmallSession.open(bench, victim, { setName: 'web1@kept' })
    const enrolment = await bench.one.token()
    const revoked = await bench.enrol(bench.one, 'revoked')
    const replaced = await bench.enrol(bench.one, 'replaced')
    const sessions = [session, await SmallSession.open(bench, revoked), await SmallSession.open(bench, replaced)]
    await revokeEndpoint(bench.one.registry, await findEndpoint(bench.one.registry, revoked.endpoint))
    await bench.enrol(bench.one, 'replaced', await bench.one.token({ endpoint: replaced.endpoint }))
    const line = enrolment.token.text()
    const header = (authorization: string): Asked['by'] => ({ authorization: () => Promise.resolve(authorization) })
    const roles: readonly (readonly [string, Asked['by'], string])[] = [
      ['nobody', undefined, 'E_TOKEN_INVALID'],
      ['an empty token', header('Strata '), 'E_TOKEN_INVALID'],
      ['an enrolment token', header(`Strata ${line}`), 'E_TOKEN_INVALID'],
      ['an enrolment token as a bearer', header(`Bearer ${line}`), 'E_TOKEN_INVALID'],
      ['another key', await withKeyOf(bench, victim), 'E_TOKEN_INVALID'],
      ['a key that was replaced', replaced, 'E_TOKEN_INVALID'],
      ['a revoked endpoint', revoked, 'E_ENDPOINT_REVOKED'],
    ]
    for (const [role, by, code] of roles) {
      const answers: unknown[] = []
      for (const { params } of [...sessions, { params: { set: '0'.repeat(32), session: '0'.repeat(32) } }]) {
        for (const answer of (await askAll(session, { ...(by === undefined ? {} : { by }), params })).values()) {
          assert.deepEqual([answer.status, answer.code], [401, code], role)
          answers.push(said(answer, params.session))
        }
      }
      const opened = await bench.ask(routes.open, { ...(by === undefined ? {} : { by }), body: openBody(victim) })
      answers.push(said(opened, ''))
      const different = new Set(answers.map((answer) => JSON.stringify(answer)))
      assert.equal(different.size, 1, `${role}: ${[...different].join('\n')}`)
    }
    made.push(await session.commit())
  })

  test('an endpoint that is not there is answered as one whose signature does not fit', async () => {
    const session = await SmallSession.open(bench, victim, { setName: 'web1@again' })
    const forged = await withKeyOf(bench, victim)
    const nobody = Object.assign(Object.create(forged) as Endpoint, { endpoint: '9'.repeat(32) })
    const elsewhere = Object.assign(Object.create(forged) as Endpoint, { tenant: '9'.repeat(32) })
    const texts = new Set<string>()
    for (const by of [forged, nobody, elsewhere]) {
      for (const answer of (await askAll(session, { by, params: session.params })).values()) texts.add(answer.text)
    }
    assert.equal(texts.size, 1, [...texts].join('\n'))
  })

  test('enrol: with a token that is good, and with no other', async () => {
    const { registry } = bench.one
    const usedUp = await bench.one.token()
    await bench.enrol(bench.one, 'used', usedUp)
    const revoked = await bench.one.token()
    await registry.tokens.append(revoked.token.id, 1, { ...revoked.document, revoked: true })
    const line = revoked.token.text()
    const known = await bench.one.token()
    const otherSecret = known.token.text().replace(/.{43}$/, Buffer.alloc(32, 1).toString('base64url'))
    const otherTenant = known.token.text().replace(bench.one.repository.tenant, bench.other.repository.tenant)
    const noTenant = known.token.text().replace(bench.one.repository.tenant, '9'.repeat(32))
    const noToken = known.token.text().replace(known.token.id, '9'.repeat(32))
    const enrol = async (token: string): Promise<PlainAnswer> =>
      await bench.ask(routes.enrol, {
        body: {
          token,
          publicKey: randomBytes(32).toString('hex'),
          machineFingerprint: randomBytes(32).toString('hex'),
          name: `host-${createHash('sha256').update(token).digest('hex').slice(0, 8)}`,
          machine: { hostName: 'host', system: 'system', architecture: 'x64' },
        },
      })
    const codeOf = async (token: string): Promise<string | undefined> => (await enrol(token)).code
    assert.equal(await codeOf((await bench.one.expiredToken()).token.text()), 'E_ENROLMENT_EXPIRED')
    assert.equal(await codeOf(line), 'E_ENROLMENT_REVOKED')
    assert.equal(await codeOf(usedUp.token.text()), 'E_ENROLMENT_USED_UP')
    const unknown = new Set<string>()
    for (const token of [otherSecret, otherTenant, noTenant, noToken]) {
      const answer = await enrol(token)
      assert.deepEqual([answer.status, answer.code], [403, 'E_ENROLMENT_TOKEN'])
      unknown.add(answer.text)
    }
    assert.equal(unknown.size, 1, [...unknown].join('\n'))
    // Of another tenant: it makes an endpoint of that one, and of no other.
    const enrolled = JSON.parse((await enrol((await bench.other.token()).token.text())).text) as Record<string, string>
    assert.equal(enrolled['tenant'], bench.other.repository.tenant)
    assert.equal((await enrol(known.token.text())).status, 201)
  })

  test('the gateway has no other routes, and no other methods', async () => {
    const { set, session } = { set: '1'.repeat(32), session: '2'.repeat(32) }
    const paths = [
      '/',
      '/v1',
      '/v1/sessions/x',
      `/v1/sets/${set}`,
      `/v1/sets/${set}/sessions/${session}/../x`,
      '/metrics',
    ]
    for (const target of [
      ...paths,
      `/v1/sets/${set}/sessions/${session}/`,
      '/v1/endpoints',
      '/V1/health',
      '//v1/health',
    ]) {
      const headers = { [protocolHeader]: String(protocolVersion) }
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
        const answer = await sendPlain(bench.address, { method, target, headers })
        assert.deepEqual([answer.status, answer.code], [404, 'E_ROUTE_UNKNOWN'], `${method} ${target}`)
      }
    }
    const { paths: described } = JSON.parse(
      (await sendPlain(bench.address, { method: 'GET', target: '/v1/openapi.json' })).text,
    ) as { paths: Record<string, object> }
    const methods = Object.values(described).flatMap((path) => Object.keys(path))
    assert.equal(methods.length, Object.keys(routes).length)
  })

  test('nothing of all this has stopped the service, or became visible', async () => {
    await bench.requireAlive()
    assert.deepEqual((await bench.points()).sort(), made.sort())
  })
})

/** Somebody with a key of his own who says that he is `endpoint`. */
async function withKeyOf(bench: SecurityBench, endpoint: Endpoint): Promise<Endpoint> {
  const { privateKey } = await bench.enrol(bench.one, `forger-${randomBytes(4).toString('hex')}`)
  return Object.assign(Object.create(endpoint) as Endpoint, { privateKey })
}
