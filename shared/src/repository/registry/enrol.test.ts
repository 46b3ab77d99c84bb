import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode, type ErrorCode } from '../../errors.ts'
import type { Endpoint } from '../../format/endpoint.ts'
import type { EnrolmentToken } from '../../format/enrolment-token-text.ts'
import { boundEnrolmentUsesMax } from '../../limits.ts'
import type { ObjectStore } from '../../store/object-store.ts'
import { Died, mortalStore } from '../../testing/mortal-store.ts'
import { storeWith } from '../../testing/store-with.ts'
import { makeTestRepository, seededRandom, standingClock } from '../../testing/test-repository.ts'
import { asId, type EndpointId } from '../../types.ts'
import { Repository } from '../repository.ts'
import { findEndpoint, revokeEndpoint } from './endpoints.ts'
import { enrol, type EnrolmentRequest } from './enrol.ts'
import { createEnrolmentToken, revokeEnrolmentToken, type NewEnrolmentToken } from './enrolment-tokens.ts'
import { Registry } from './registry.ts'
import { isUsable, type Versioned } from './versioned.ts'

const hourMs = 3600_000
const hash = (seed: number): string => seed.toString(16).padStart(64, '0')

function makeRegistry(seed = 'enrol') {
  const { repository, store, requests } = makeTestRepository(seed)
  return { registry: new Registry(repository), repository, store, requests }
}

/** The same registry by way of another store: another process, or another time. */
function through({ repository }: Registry, store: ObjectStore, seed = 'other'): Registry {
  return new Registry(new Repository(store, repository.ingestKeys, seededRandom(seed)))
}

async function makeToken(registry: Registry, wanted: Partial<NewEnrolmentToken> = {}): Promise<EnrolmentToken> {
  const { token } = await createEnrolmentToken(registry, {
    lifeMs: hourMs,
    usesMax: 1,
    endpoint: null,
    note: 'note',
    ...wanted,
  })
  return token
}

const machine = { hostName: 'host', system: 'Linux 6.1', architecture: 'x64' }

function request(token: EnrolmentToken, key: number, more: Partial<EnrolmentRequest> = {}): EnrolmentRequest {
  return {
    token,
    publicKey: hash(key),
    machineFingerprint: hash(1000 + key),
    name: `web${String(key)}`,
    machine,
    ...more,
  }
}

async function all(registry: Registry): Promise<Versioned<Endpoint>[]> {
  const entries = await Array.fromAsync(registry.endpoints.list())
  return entries.filter(isUsable)
}

async function active(registry: Registry): Promise<Endpoint[]> {
  return (await all(registry)).map(({ document }) => document).filter(({ state }) => state === 'active')
}

const usesOf = (registry: Registry, token: EnrolmentToken): Promise<number> => registry.uses.newestVersion(token.id)
const endpointOf = ({ id }: Versioned<Endpoint>): EndpointId => asId<EndpointId>(id)

// ── a machine becomes an endpoint ──────────────────────────────────────────────────────────────────────────────────

test('a machine becomes an endpoint, whose document says all of it and no identifier of the machine', async () => {
  const { registry, repository } = makeRegistry()
  const token = await makeToken(registry)
  const { id, document } = await enrol(registry, request(token, 1, { name: 'Bu\u0308ro' }))
  const nowAt = new Date(standingClock.nowMs()).toISOString()
  assert.deepEqual(document, {
    strata: 'endpoint',
    version: 1,
    endpoint: id,
    name: 'B\u00fcro',
    publicKey: hash(1),
    fingerprint: repository.registryHash('machine', hash(1001)),
    machine,
    state: 'active',
    token: token.id,
    use: 1,
    enrolledAt: nowAt,
    changedAt: nowAt,
    note: 'note',
  })
  assert.deepEqual((await registry.endpoints.latest(id))?.document, document)
  assert.ok(!JSON.stringify(document).includes(hash(1001)))
  assert.equal(await usesOf(registry, token), 1)
})

test('names of objects show neither machine nor name nor key', async () => {
  const { registry, store } = makeRegistry()
  await enrol(registry, request(await makeToken(registry), 1, { name: 'customer' }))
  for await (const { name } of store.list('')) {
    assert.match(name, /^tenants\/[0-9a-f]{32}\/(tokens|token-uses|claims|endpoints)\/[0-9a-f]{32}\/[0-9]{8}$/)
    assert.ok(!name.includes(hash(1).slice(0, 32)) && !name.includes(hash(1001).slice(0, 32)))
  }
})

test('an endpoint that was enrolled is found again by token and key, and costs no other use', async () => {
  const { registry } = makeRegistry()
  const token = await makeToken(registry)
  const first = await enrol(registry, request(token, 1))
  assert.deepEqual(await enrol(registry, request(token, 1)), first)
  // Whatever else it says now: it has its answer.
  assert.deepEqual(await enrol(registry, request(token, 1, { name: 'other' })), first)
  assert.equal(await usesOf(registry, token), 1)
  // Nor does it matter that the token has come to its end since.
  const found = await registry.tokens.latest(token.id)
  assert.ok(found !== undefined)
  await revokeEnrolmentToken(registry, found)
  assert.deepEqual(await enrol(registry, request(token, 1)), first)
})

// ── who is refused ─────────────────────────────────────────────────────────────────────────────────────────────────

test('a token that is not known and one with another secret are refused in the same words', async () => {
  const { registry, store } = makeRegistry()
  const token = await makeToken(registry)
  const text = token.text()
  const tokenClass = token.constructor as typeof EnrolmentToken
  const wrong = [
    // another secret, another id, another tenant
    tokenClass.parse(`${text.slice(0, -43)}${'A'.repeat(43)}`),
    tokenClass.parse(text.replace(token.id, 'f'.repeat(32))),
    tokenClass.parse(text.replace(token.tenant, 'f'.repeat(32))),
  ]
  const before = await Array.fromAsync(store.list(''))
  const told = new Set<string>()
  for (const one of wrong) {
    await assert.rejects(enrol(registry, request(one, 1)), (error) => {
      assert.ok(hasCode(error, 'E_ENROLMENT_TOKEN'))
      told.add(JSON.stringify(error))
      return true
    })
  }
  assert.equal(told.size, 1)
  // Also of one that could not be used any more.
  const found = await registry.tokens.latest(token.id)
  assert.ok(found !== undefined)
  await revokeEnrolmentToken(registry, found)
  const [first] = wrong
  assert.ok(first !== undefined)
  await assert.rejects(enrol(registry, request(first, 1)), { code: 'E_ENROLMENT_TOKEN' })
  assert.equal((await Array.fromAsync(store.list(''))).length, before.length + 1)
})

test('expired, by the store\u2019s clock; revoked; used up: each is said, and nothing is written', async () => {
  const { registry, store } = makeRegistry()
  const old = await makeToken(registry)
  const revoked = await makeToken(registry)
  const used = await makeToken(registry)
  const found = await registry.tokens.latest(revoked.id)
  assert.ok(found !== undefined)
  await revokeEnrolmentToken(registry, found)
  await enrol(registry, request(used, 1))
  const before = await Array.fromAsync(store.list(''))
  const at = (ms: number) =>
    through(registry, storeWith(store, { now: () => Promise.resolve(standingClock.nowMs() + ms) }))
  await assert.rejects(enrol(at(hourMs), request(old, 2)), { code: 'E_ENROLMENT_EXPIRED' })
  await assert.rejects(enrol(registry, request(revoked, 2)), { code: 'E_ENROLMENT_REVOKED' })
  await assert.rejects(enrol(registry, request(used, 2)), { code: 'E_ENROLMENT_USED_UP' })
  assert.deepEqual(await Array.fromAsync(store.list('')), before)
  const { document } = await enrol(at(hourMs - 1), request(old, 2))
  assert.equal(document.enrolledAt, new Date(standingClock.nowMs() + hourMs - 1).toISOString())
})

test('a machine or a name that an active endpoint has is refused and named, and nothing is written', async () => {
  const { registry, store } = makeRegistry()
  const first = await enrol(registry, request(await makeToken(registry), 1))
  const token = await makeToken(registry)
  const before = await Array.fromAsync(store.list(''))
  const refused = async (more: Partial<EnrolmentRequest>, code: ErrorCode): Promise<void> => {
    await assert.rejects(enrol(registry, request(token, 2, more)), (error) => {
      assert.ok(hasCode(error, code))
      assert.deepEqual(error.details, { endpoint: first.id, name: 'web1' })
      return true
    })
  }
  await refused({ machineFingerprint: hash(1001) }, 'E_ENDPOINT_DUPLICATE')
  await refused({ name: 'web1' }, 'E_ENDPOINT_NAME_TAKEN')
  await assert.rejects(enrol(registry, request(token, 2, { name: 'web1@data' })), { code: 'E_ENDPOINT_NAME' })
  assert.deepEqual(await Array.fromAsync(store.list('')), before)
  // Nothing was used up by that.
  await enrol(registry, request(token, 2))
})

test('the same machine is an endpoint of each tenant that it enrols with', async () => {
  for (const seed of ['tenant 1', 'tenant 2']) {
    const { registry } = makeRegistry(seed)
    await enrol(registry, request(await makeToken(registry), 1))
    assert.equal((await active(registry)).length, 1)
  }
})

// ── revoked ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('revoked is for good; machine and name can be enrolled anew', async () => {
  const { registry } = makeRegistry()
  const token = await makeToken(registry, { usesMax: 9 })
  const first = await enrol(registry, request(token, 1))
  const revoked = await revokeEndpoint(registry, first, 'stolen')
  assert.deepEqual([revoked.document.state, revoked.document.note], ['revoked', 'stolen'])
  assert.deepEqual(await revokeEndpoint(registry, first), revoked)
  await assert.rejects(enrol(registry, request(token, 1)), { code: 'E_ENDPOINT_REVOKED' })
  const again = await enrol(registry, request(token, 2, { machineFingerprint: hash(1001), name: 'web1' }))
  assert.notEqual(again.id, first.id)
  // Who comes with the old key now learns who has the machine.
  await assert.rejects(enrol(registry, request(token, 1)), {
    code: 'E_ENDPOINT_DUPLICATE',
    details: { endpoint: again.id, name: 'web1' },
  })
})

test('an endpoint is found by the beginning of its id', async () => {
  const { registry } = makeRegistry()
  const one = await enrol(registry, request(await makeToken(registry), 1))
  assert.deepEqual(await findEndpoint(registry, one.id.slice(0, 6)), one)
  assert.deepEqual(await findEndpoint(registry, one.id), one)
  for (const reference of ['web1', '', one.id.slice(0, 5), `${one.id}0`, 'f'.repeat(32)]) {
    await assert.rejects(findEndpoint(registry, reference), { code: 'E_ENDPOINT_UNKNOWN' }, reference)
  }
  const { document } = one
  const twin = one.id.slice(0, -1) + (one.id.endsWith('0') ? '1' : '0')
  await registry.endpoints.create(twin, { ...document, endpoint: twin })
  await assert.rejects(findEndpoint(registry, one.id.slice(0, 8)), {
    code: 'E_ID_AMBIGUOUS',
    details: { ids: [one.id, twin].sort() },
  })
  assert.deepEqual(await findEndpoint(registry, one.id), one)
})

// ── enrolled again ─────────────────────────────────────────────────────────────────────────────────────────────────

test('a token of an endpoint gives it a new key and keeps the rest; its machine may be another one', async () => {
  const { registry } = makeRegistry()
  const first = await enrol(registry, request(await makeToken(registry), 1))
  const token = await makeToken(registry, { endpoint: endpointOf(first) })
  const reinstalled = request(token, 2, { name: 'ignored', machine: { ...machine, hostName: 'new' } })
  const again = await enrol(registry, reinstalled)
  assert.deepEqual([again.id, again.version, again.document.name], [first.id, first.version + 1, 'web1'])
  assert.deepEqual([again.document.publicKey, again.document.machine.hostName], [hash(2), 'new'])
  assert.deepEqual([again.document.token, again.document.state], [token.id, 'active'])
  assert.deepEqual(await enrol(registry, reinstalled), again)
  assert.equal(await usesOf(registry, token), 1)
  await assert.rejects(enrol(registry, request(token, 3)), { code: 'E_ENROLMENT_USED_UP' })
  assert.equal((await active(registry)).length, 1)
  // The machine it was on before is still known as its own.
  const other = await makeToken(registry)
  const old = request(other, 4, { machineFingerprint: hash(1001) })
  await assert.rejects(enrol(registry, old), {
    code: 'E_ENDPOINT_DUPLICATE',
    details: { endpoint: first.id, name: 'web1' },
  })
})

test('whose key was replaced does not get its endpoint back by repeating its enrolment', async () => {
  const { registry } = makeRegistry()
  const firstToken = await makeToken(registry)
  const first = await enrol(registry, request(firstToken, 1))
  const token = await makeToken(registry, { endpoint: endpointOf(first), usesMax: 2 })
  await enrol(registry, request(token, 2))
  await enrol(registry, request(token, 3))
  await assert.rejects(enrol(registry, request(firstToken, 1)), { code: 'E_ENDPOINT_DUPLICATE' })
  await assert.rejects(enrol(registry, request(token, 2)), { code: 'E_ENDPOINT_DUPLICATE' })
  assert.deepEqual(
    (await active(registry)).map(({ publicKey }) => publicKey),
    [hash(3)],
  )
})

test('it takes no machine that another endpoint is on, and brings no revoked endpoint back', async () => {
  const { registry } = makeRegistry()
  const first = await enrol(registry, request(await makeToken(registry), 1))
  const other = await enrol(registry, request(await makeToken(registry), 2))
  const token = await makeToken(registry, { endpoint: endpointOf(first) })
  const onOther = request(token, 3, { machineFingerprint: hash(1002) })
  await assert.rejects(enrol(registry, onOther), {
    code: 'E_ENDPOINT_DUPLICATE',
    details: { endpoint: other.id, name: 'web2' },
  })
  assert.equal(await usesOf(registry, token), 0)
  await revokeEndpoint(registry, first)
  await assert.rejects(enrol(registry, request(token, 3)), { code: 'E_ENDPOINT_REVOKED' })
  assert.equal(await usesOf(registry, token), 0)
})

test('a token of an endpoint that has gone from the store is of no use', async () => {
  const { registry } = makeRegistry()
  const token = await makeToken(registry, { endpoint: asId<EndpointId>('e'.repeat(32)) })
  await assert.rejects(enrol(registry, request(token, 1)), { code: 'E_ENDPOINT_UNKNOWN' })
})

// ── at the same time ───────────────────────────────────────────────────────────────────────────────────────────────

test('property: of many machines at once exactly as many become endpoints as the token is good for', async () => {
  const counts = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 8 }))
  await fc.assert(
    fc.asyncProperty(counts, async ([machines, usesMax]) => {
      const { registry } = makeRegistry()
      const token = await makeToken(registry, { usesMax })
      const tried = await Promise.allSettled(
        Array.from({ length: machines }, (_, n) => enrol(registry, request(token, n + 1))),
      )
      const good = Math.min(machines, usesMax)
      assert.equal(tried.filter(({ status }) => status === 'fulfilled').length, good)
      for (const one of tried) if (one.status === 'rejected') assert.ok(hasCode(one.reason, 'E_ENROLMENT_USED_UP'))
      const endpoints = await active(registry)
      assert.equal(endpoints.length, good)
      assert.deepEqual(
        endpoints.map(({ use }) => use).sort((a, b) => a - b),
        Array.from({ length: good }, (_, n) => n + 1),
      )
      assert.equal(await usesOf(registry, token), good)
    }),
    { numRuns: 25 },
  )
})

test('the hundredth machine costs as many requests as the second', async () => {
  const { registry, requests } = makeRegistry()
  const token = await makeToken(registry, { usesMax: 100 })
  const costs: number[] = []
  for (let n = 1; n <= 100; n += 1) {
    requests.length = 0
    await enrol(registry, request(token, n))
    costs.push(requests.length)
  }
  assert.equal(costs[99], costs[1])
})

test('one enrolment that is sent several times at once is one endpoint and one use', async () => {
  const { registry } = makeRegistry()
  const token = await makeToken(registry, { usesMax: 5 })
  const made = await Promise.all(Array.from({ length: 6 }, () => enrol(registry, request(token, 1))))
  assert.equal(new Set(made.map(({ id }) => id)).size, 1)
  assert.equal(await usesOf(registry, token), 1)
})

test('of several with one machine, or one name, at once one becomes an endpoint, and the others learn which', async () => {
  for (const same of [{ machineFingerprint: hash(7) }, { name: 'same' }]) {
    const { registry } = makeRegistry()
    const token = await makeToken(registry, { usesMax: 9 })
    const tried = await Promise.allSettled(
      Array.from({ length: 5 }, (_, n) => enrol(registry, request(token, n + 1, same))),
    )
    const [winner, ...others] = await active(registry)
    assert.ok(winner !== undefined && others.length === 0)
    // Those that were overtaken are told so when they come again at the latest.
    for (const [n, one] of tried.entries()) {
      if (one.status === 'fulfilled') continue
      const code = 'name' in same ? 'E_ENDPOINT_NAME_TAKEN' : 'E_ENDPOINT_DUPLICATE'
      const { endpoint, name } = winner
      await assert.rejects(enrol(registry, request(token, n + 1, same)), { code, details: { endpoint, name } })
    }
    assert.equal(tried.filter(({ status }) => status === 'fulfilled').length, 1)
  }
})

test('one that was overtaken before its last step does not become active any more', async () => {
  const { registry, store } = makeRegistry()
  const token = await makeToken(registry, { usesMax: 2 })
  const same = { machineFingerprint: hash(7) }
  let overtaken = false
  // It stops with everything in its hands, and the other one passes.
  const slow = storeWith(store, {
    put: async (name, parts, options) => {
      if (/\/endpoints\/[0-9a-f]{32}\/00000002$/.test(name) && !overtaken) {
        overtaken = true
        await enrol(registry, request(token, 2, same))
      }
      await store.put(name, parts, options)
    },
  })
  const [machineOf2] = [{ code: 'E_ENDPOINT_DUPLICATE' }]
  await assert.rejects(enrol(through(registry, slow), request(token, 1, same)), machineOf2)
  assert.ok(overtaken)
  assert.deepEqual(
    (await active(registry)).map(({ name }) => name),
    ['web2'],
  )
})

test('an operator who revokes while an enrolment is at its last step has the last word', async () => {
  const { registry, store } = makeRegistry()
  const token = await makeToken(registry)
  const slow = storeWith(store, {
    put: async (name, parts, options) => {
      const [, id] = /\/endpoints\/([0-9a-f]{32})\/00000002$/.exec(name) ?? []
      if (id !== undefined) await revokeEndpoint(registry, await findEndpoint(registry, id))
      await store.put(name, parts, options)
    },
  })
  await assert.rejects(enrol(through(registry, slow), request(token, 1)), { code: 'E_ENDPOINT_REVOKED' })
  assert.deepEqual(await active(registry), [])
})

// ── it dies ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Lets `enrolment` die at every request there is, before and after it, and then gives the registry to `then`. */
async function diesEverywhere(
  prepare: (registry: Registry) => Promise<EnrolmentRequest>,
  then: (registry: Registry, died: EnrolmentRequest, what: string) => Promise<void>,
): Promise<number> {
  for (const when of ['before', 'after'] as const) {
    for (let at = 0; ; at += 1) {
      const { registry, store } = makeRegistry()
      const wanted = await prepare(registry)
      const mortal = mortalStore(store, at, when)
      const ended = await enrol(through(registry, mortal), wanted).catch((error: unknown) => error)
      if (!mortal.hasDied()) {
        if (when === 'after') return at
        break
      }
      assert.ok(ended instanceof Died, `request ${String(at)}`)
      await then(registry, wanted, `died ${when} request ${String(at)}`)
    }
  }
  return 0
}

test('an enrolment that dies at any request is finished by its repeat, with one use and one endpoint', async () => {
  const requests = await diesEverywhere(
    async (registry) => request(await makeToken(registry, { usesMax: 2 }), 1),
    async (registry, wanted, what) => {
      const { document } = await enrol(registry, wanted)
      assert.equal(document.state, 'active', what)
      assert.equal((await all(registry)).length, 1, what)
      assert.equal(await usesOf(registry, wanted.token), 1, what)
      // Nothing is left that would be in the way of the next one.
      await enrol(registry, request(wanted.token, 2))
      await assert.rejects(enrol(registry, request(wanted.token, 3)), { code: 'E_ENROLMENT_USED_UP' }, what)
    },
  )
  assert.ok(requests > 12, `${String(requests)} requests`)
})

test('one that dies for good, and its key with it, locks neither machine nor name', async () => {
  await diesEverywhere(
    async (registry) => request(await makeToken(registry), 1),
    async (registry, { machineFingerprint, name, token }, what) => {
      const other = await makeToken(registry)
      const done = (await active(registry)).length === 1
      const again = enrol(registry, request(other, 2, { machineFingerprint, name }))
      if (done) {
        // Only its last answer was lost: the machine is an endpoint, and a token for it is what helps.
        await assert.rejects(again, { code: 'E_ENDPOINT_DUPLICATE' }, what)
      } else {
        assert.equal((await again).document.name, name, what)
        // The one that died does not come back beside it.
        const late = await enrol(registry, request(token, 1)).catch((error: unknown) => error)
        assert.ok(hasCode(late, 'E_ENDPOINT_DUPLICATE'), what)
      }
      assert.equal((await active(registry)).length, 1, what)
    },
  )
})

test('enrolling again dies at any request and is finished by its repeat, with one use', async () => {
  const requests = await diesEverywhere(
    async (registry) => {
      const first = await enrol(registry, request(await makeToken(registry), 1))
      return request(await makeToken(registry, { endpoint: endpointOf(first), usesMax: boundEnrolmentUsesMax }), 2)
    },
    async (registry, wanted, what) => {
      const { document } = await enrol(registry, wanted)
      assert.deepEqual([document.publicKey, document.name], [hash(2), 'web1'], what)
      assert.equal(await usesOf(registry, wanted.token), 1, what)
      assert.equal((await all(registry)).length, 1, what)
    },
  )
  assert.ok(requests > 8, `${String(requests)} requests`)
})

test('the repeat may have another name, as when the first one turned out to be taken', async () => {
  const { registry, store } = makeRegistry()
  const token = await makeToken(registry)
  for (let at = 0; ; at += 1) {
    const mortal = mortalStore(store, at, 'after')
    await enrol(through(registry, mortal), request(token, 1)).catch((error: unknown) => error)
    if ((await all(registry)).length === 1) break
  }
  const { document } = await enrol(registry, request(token, 1, { name: 'other' }))
  assert.equal(document.name, 'other')
  const second = await enrol(registry, request(await makeToken(registry), 2, { name: 'web1' }))
  assert.equal(second.document.name, 'web1')
})
