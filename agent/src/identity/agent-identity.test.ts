import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { publicKeyOf } from '@strata/shared/protocol/endpoint-key.ts'
import { ramp } from '@strata/shared/testing/layout.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { asId, type EndpointId, type EnrolmentTokenId, type Id, type TenantId } from '@strata/shared/types.ts'
import { enrolmentKey, identityPath, keepIdentity, readIdentity, requireNoIdentity } from './agent-identity.ts'

const random = seededRandom('identity')
const tenant = asId<TenantId>('2'.repeat(32))
const token = new EnrolmentToken(tenant, asId<EnrolmentTokenId>('4'.repeat(32)), ramp(0, 32))
const otherToken = new EnrolmentToken(tenant, asId<EnrolmentTokenId>('5'.repeat(32)), ramp(0, 32))

const enrolled = {
  serviceUrl: 'https://strata.example.org',
  repository: asId<Id>('3'.repeat(32)),
  tenant,
  endpoint: asId<EndpointId>('1'.repeat(32)),
  endpointName: 'B\u00fcro 1',
  caFile: '/etc/strata/ca.pem',
  proxy: null,
}

async function makeState(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-identity-'))
  t.after(() => rm(directory, { recursive: true }))
  return join(directory, 'state')
}

test('an identity has the key that its enrolment was begun with, and is read as it was kept', async (t) => {
  const state = await makeState(t)
  const key = await enrolmentKey(state, token, random)
  const kept = await keepIdentity(state, enrolled)
  const read = await readIdentity(state)
  for (const identity of [kept, read]) {
    const { privateKey, ...others } = identity
    assert.deepEqual(others, enrolled)
    assert.equal(publicKeyOf(privateKey), publicKeyOf(key))
  }
  assert.deepEqual(await readdir(state), ['identity.json'])
})

test('an enrolment that is repeated has the same key, and one with another token another', async (t) => {
  const state = await makeState(t)
  const first = publicKeyOf(await enrolmentKey(state, token, random))
  assert.equal(publicKeyOf(await enrolmentKey(state, token, random)), first)
  assert.notEqual(publicKeyOf(await enrolmentKey(state, otherToken, random)), first)
  assert.notEqual(publicKeyOf(await enrolmentKey(state, token, random)), first)
})

test('an identity is never overwritten', async (t) => {
  const state = await makeState(t)
  await requireNoIdentity(state)
  await enrolmentKey(state, token, random)
  await keepIdentity(state, enrolled)
  const before = await readFile(identityPath(state))
  await assert.rejects(requireNoIdentity(state), { code: 'E_IDENTITY_EXISTS', message: /B\u00fcro 1/ })
  await enrolmentKey(state, otherToken, random)
  await assert.rejects(keepIdentity(state, enrolled), { code: 'E_IDENTITY_EXISTS' })
  assert.deepEqual(await readFile(identityPath(state)), before)
})

test('where none was begun or kept, that is said', async (t) => {
  const state = await makeState(t)
  await assert.rejects(readIdentity(state), { code: 'E_IDENTITY_MISSING' })
  await assert.rejects(keepIdentity(state, enrolled), { code: 'E_IDENTITY_MISSING' })
})

test('its files are for their owner only, and one that others may read is refused', async (t) => {
  const state = await makeState(t)
  await enrolmentKey(state, token, random)
  assert.equal((await stat(join(state, 'enrolment.json'))).mode & 0o777, 0o600)
  await keepIdentity(state, enrolled)
  assert.equal((await stat(identityPath(state))).mode & 0o777, 0o600)
  await chmod(identityPath(state), 0o640)
  await assert.rejects(readIdentity(state), { code: 'E_CONFIGURATION' })
})

test('damage is named without a word of the file; a newer one is newer', async (t) => {
  const state = await makeState(t)
  await enrolmentKey(state, token, random)
  await keepIdentity(state, enrolled)
  const whole = await readFile(identityPath(state), 'utf8')
  const { privateKey } = JSON.parse(whole) as { privateKey: string }
  const damages = ['', '{', whole.slice(0, -20), whole.replace(privateKey, privateKey.slice(2)), 'x'.repeat(100_000)]
  for (const damage of damages) {
    await writeFile(identityPath(state), damage)
    await assert.rejects(readIdentity(state), (error) => {
      assert.equal((error as { code?: string }).code, 'E_IDENTITY_DAMAGED', damage.slice(0, 40))
      assert.ok(!inspect(error, { depth: 9 }).includes(privateKey.slice(0, 10)))
      return true
    })
  }
  await writeFile(identityPath(state), whole.replace('"version": 1', '"version": 2'))
  await assert.rejects(readIdentity(state), { code: 'E_FORMAT_NEWER' })
})

test('an identity that is printed by accident shows no key', async (t) => {
  const state = await makeState(t)
  await enrolmentKey(state, token, random)
  const { privateKey } = JSON.parse(await readFile(join(state, 'enrolment.json'), 'utf8')) as { privateKey: string }
  const identity = await keepIdentity(state, enrolled)
  const shown = inspect(identity, { depth: 9, showHidden: true }) + JSON.stringify(identity)
  assert.ok(!shown.includes(privateKey.slice(0, 10)))
})
