import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { openDataKey } from '@strata/shared/keys/data-keys.ts'
import { createTenantKeys, type CreatedTenant } from '@strata/shared/keys/tenant-keys.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { testSession } from '@strata/shared/testing/test-map.ts'
import { standingClock } from '@strata/shared/testing/test-repository.ts'
import { idFromBytes, type Id, type TenantId } from '@strata/shared/types.ts'
import { SessionKeys } from './session-keys.ts'

const one = testSession(1)
const other = testSession(2)

async function tenantWith(random = systemRandomBytes): Promise<{ created: CreatedTenant; repository: Repository }> {
  const created = await createTenantKeys({
    tenantId: idFromBytes<TenantId>(systemRandomBytes(16)),
    repositoryId: idFromBytes<Id>(systemRandomBytes(16)),
    tenantName: 'a tenant',
    unlock: { keyFile: systemRandomBytes(32) },
    random: systemRandomBytes,
  })
  return { created, repository: new Repository(new MemoryStore({ clock: standingClock }), created.ingest, random) }
}

test('segments of a session that come at the same time share one key, and so do those that come later', async () => {
  const { repository } = await tenantWith()
  const keys = new SessionKeys()
  const [first, second] = await Promise.all([keys.keyOf(repository, one), keys.keyOf(repository, one)])
  assert.equal(first, second)
  assert.equal(await keys.keyOf(repository, one), first)
})

test('other sessions, tenants and processes have other keys, each sealed to its tenant', async () => {
  const a = await tenantWith()
  const b = await tenantWith()
  const keys = new SessionKeys()
  const made = [
    { of: a, key: await keys.keyOf(a.repository, one) },
    { of: a, key: await keys.keyOf(a.repository, other) },
    { of: b, key: await keys.keyOf(b.repository, one) },
    { of: a, key: await new SessionKeys().keyOf(a.repository, one) },
  ]
  assert.equal(new Set(made.map(({ key }) => key.keyId)).size, made.length)
  assert.equal(new Set(made.map(({ key }) => Buffer.from(key.key).toString('hex'))).size, made.length)
  for (const { of, key } of made) {
    const opened = await openDataKey(of.created.privateKey, of.repository.tenant, key.wrapped)
    assert.deepEqual(opened, { keyId: key.keyId, key: key.key })
  }
})

test('the key of the session that was served longest ago is dropped first', async () => {
  const { repository } = await tenantWith()
  const keys = new SessionKeys(2)
  const [a, b] = [await keys.keyOf(repository, one), await keys.keyOf(repository, other)]
  assert.equal(await keys.keyOf(repository, one), a)
  await keys.keyOf(repository, testSession(3))
  assert.equal(await keys.keyOf(repository, one), a)
  assert.notEqual((await keys.keyOf(repository, other)).keyId, b.keyId)
})

test('a key that could not be made is made for the next segment', async () => {
  const failures = [new Error('no entropy')]
  const { repository } = await tenantWith((count) => {
    const failure = failures.shift()
    if (failure !== undefined) throw failure
    return systemRandomBytes(count)
  })
  const keys = new SessionKeys()
  await assert.rejects(keys.keyOf(repository, one), /no entropy/)
  const made = await keys.keyOf(repository, one)
  assert.equal(await keys.keyOf(repository, one), made)
})
