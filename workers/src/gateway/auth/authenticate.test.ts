import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { EndpointState } from '@strata/shared/format/endpoint.ts'
import { endpointRecheckMs } from '@strata/shared/limits.ts'
import { endpointKeyFrom, publicKeyOf } from '@strata/shared/protocol/endpoint-key.ts'
import { digestOfBody, signRequest, type RequestExpectation } from '@strata/shared/protocol/request-token.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { ramp } from '@strata/shared/testing/layout.ts'
import { makeTestRepository, seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type EndpointId } from '@strata/shared/types.ts'
import { testEndpoint } from '../../testing/test-endpoint.ts'
import { Authenticator } from './authenticate.ts'
import { EndpointDirectory } from './endpoint-directory.ts'

const endpoint = asId<EndpointId>('1'.repeat(32))
const [oldKey, newKey, foreignKey] = [
  endpointKeyFrom(ramp(1, 32)),
  endpointKeyFrom(ramp(2, 32)),
  endpointKeyFrom(ramp(3, 32)),
]
const request = { method: 'GET', target: '/v1/status', bodyDigest: digestOfBody(new Uint8Array(0)) }

/** A registry with one endpoint, seen through a directory, and a guard that remembers. */
async function makeGateway() {
  const { repository, requests } = makeTestRepository()
  const registry = new Registry(repository)
  let ms = Date.UTC(2026, 0, 1)
  const clock = { nowMs: () => ms, monotonicMs: () => ms, sleep: () => Promise.resolve() }
  const seen = new Set<string>()
  const replayGuard = {
    admit: async ({ tokenId }: { readonly tokenId: string }) => {
      await Promise.resolve()
      if (seen.has(tokenId)) throw new StrataError('E_TOKEN_REPLAYED', 'seen')
      seen.add(tokenId)
    },
  }
  const directory = new EndpointDirectory({ endpoints: registry.endpoints, clock })
  const authenticator = new Authenticator({ directory, replayGuard, clock })
  const random = seededRandom('tokens')
  const place = { tenant: repository.tenant, repository: repository.ingestKeys.repositoryId }
  await registry.endpoints.create(endpoint, testEndpoint(endpoint, publicKeyOf(oldKey)))
  const change = async (state: EndpointState, key = oldKey): Promise<void> => {
    const known = await registry.endpoints.latest(endpoint)
    assert.ok(known !== undefined)
    await registry.endpoints.append(endpoint, known.version, { ...known.document, state, publicKey: publicKeyOf(key) })
  }
  const sign = (privateKey = oldKey, from = endpoint) =>
    signRequest({ ...place, endpoint: from, privateKey }, request, ms, random)
  const take = (token: string, more: Partial<RequestExpectation> = {}) =>
    authenticator.authenticate(token, { ...place, endpoint, ...request, ...more })
  return { take, sign, change, requests, pass: (by: number) => (ms += by), seen }
}

test('a request of an active endpoint is taken once, and says whose it is', async () => {
  const { take, sign } = await makeGateway()
  const token = await sign()
  const { document, endpoint: found } = await take(token)
  assert.deepEqual([found, document.name], [endpoint, 'web1'])
  await assert.rejects(take(token), { code: 'E_TOKEN_REPLAYED' })
  await take(await sign())
})

test('a stranger cannot tell an endpoint that is not there from a signature that is wrong', async () => {
  const { take, sign, change, seen } = await makeGateway()
  const unknown = asId<EndpointId>('9'.repeat(32))
  const told = new Set<string>()
  const refused = async (attempt: Promise<unknown>): Promise<void> => {
    await assert.rejects(attempt, (error) => {
      assert.ok(hasCode(error, 'E_TOKEN_INVALID'))
      told.add(JSON.stringify(error))
      return true
    })
  }
  await refused(take(await sign(foreignKey)))
  await refused(take(await sign(foreignKey, unknown), { endpoint: unknown }))
  await refused(take(await sign(), { method: 'PUT' }))
  await change('revoked')
  await refused(take(await sign(foreignKey)))
  assert.equal(told.size, 1)
  // What strangers send takes no room among what was seen.
  assert.equal(seen.size, 0)
})

test('a revoked endpoint is told so, when its time in the directory is over', async () => {
  const { take, sign, change, pass } = await makeGateway()
  await take(await sign())
  await change('revoked')
  await take(await sign())
  pass(30_001)
  await assert.rejects(take(await sign()), { code: 'E_ENDPOINT_REVOKED', message: /web1/ })
})

test('an endpoint whose enrolment is not finished may do nothing', async () => {
  const { take, sign, change } = await makeGateway()
  await change('enrolling')
  await assert.rejects(take(await sign()), { code: 'E_TOKEN_INVALID' })
})

test('a new key is taken within seconds, and the old one is not any more', async () => {
  const { take, sign, change, pass } = await makeGateway()
  await take(await sign())
  await change('active', newKey)
  await assert.rejects(take(await sign(newKey)), { code: 'E_TOKEN_INVALID' })
  pass(endpointRecheckMs + 1)
  await take(await sign(newKey))
  await assert.rejects(take(await sign(oldKey)), { code: 'E_TOKEN_INVALID' })
})

test('wrong signatures cost the store one request in a while, however many they are', async () => {
  const { take, sign, requests, pass } = await makeGateway()
  await take(await sign())
  requests.length = 0
  for (let burst = 0; burst < 3; burst += 1) {
    pass(endpointRecheckMs + 1)
    for (let n = 0; n < 20; n += 1) await assert.rejects(take(await sign(foreignKey)), { code: 'E_TOKEN_INVALID' })
  }
  assert.equal(requests.length, 3)
})
