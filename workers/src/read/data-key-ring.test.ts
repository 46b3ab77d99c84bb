import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { createDataKey } from '@strata/shared/keys/data-keys.ts'
import { createTenantKeys } from '@strata/shared/keys/tenant-keys.ts'
import { idBytes, idFromBytes, type Id, type KeyId, type TenantId } from '@strata/shared/types.ts'
import { DataKeyRing } from './data-key-ring.ts'

async function makeTenant() {
  const random = systemRandomBytes
  const tenantId = idFromBytes<TenantId>(random(idBytes))
  const repositoryId = idFromBytes<Id>(random(idBytes))
  return createTenantKeys({ repositoryId, tenantId, tenantName: 'test', unlock: { keyFile: random(32) }, random })
}

test('gives each key that the point has, and none that it has not', async () => {
  const { ingest, privateKey } = await makeTenant()
  const made = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  const ring = new DataKeyRing(privateKey, ingest.tenantId, [made.wrapped])
  const opened = await ring.key(made.keyId)
  assert.ok(opened !== undefined && 'key' in opened)
  assert.deepEqual(opened.key, made.key)
  assert.equal(await ring.key(made.keyId), opened)
  assert.equal(await ring.key(idFromBytes<KeyId>(new Uint8Array(idBytes))), undefined)
})

test('a key that does not open is told, and the others open', async () => {
  const { ingest, privateKey } = await makeTenant()
  const good = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  const bad = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  // Another key's sealed bytes under this id.
  const swapped = { ...good.wrapped, keyId: bad.keyId }
  const ring = new DataKeyRing(privateKey, ingest.tenantId, [good.wrapped, swapped])
  const broken = await ring.key(bad.keyId)
  assert.ok(broken !== undefined && 'error' in broken)
  assert.equal(broken.error.code, 'E_SEAL_BROKEN')
  const opened = await ring.key(good.keyId)
  assert.ok(opened !== undefined && 'key' in opened)
})

test("another tenant's private key is an error, not damage", async () => {
  const { ingest } = await makeTenant()
  const other = await makeTenant()
  const made = await createDataKey(ingest.publicKey, ingest.tenantId, systemRandomBytes)
  const ring = new DataKeyRing(other.privateKey, ingest.tenantId, [made.wrapped])
  await assert.rejects(ring.key(made.keyId), { code: 'E_KEY_FOREIGN' })
})
