import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandomBytes } from '../clock.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey } from '../format/wrapped-key.ts'
import { idFromBytes, type Id, type KeyId, type TenantId } from '../types.ts'
import { createDataKey, openDataKey } from './data-keys.ts'
import { generateKeyPair, sealTo } from './hpke.ts'
import { TenantPrivateKey } from './tenant-private-key.ts'

async function newTenantKey(): Promise<TenantPrivateKey> {
  const identity = {
    repositoryId: idFromBytes<Id>(systemRandomBytes(16)),
    tenantId: idFromBytes<TenantId>(systemRandomBytes(16)),
  }
  const pair = await generateKeyPair(systemRandomBytes)
  return new TenantPrivateKey(identity, pair.publicKey, pair.privateKey)
}

test("a data key comes back from its stored form with the tenant's private key", async () => {
  const tenant = await newTenantKey()
  const created = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  assert.equal(created.key.length, 32)
  assert.match(created.keyId, /^[0-9a-f]{32}$/)
  const stored = decodeWrappedDataKey(encodeWrappedDataKey(created.wrapped))
  const opened = await openDataKey(tenant, tenant.tenantId, stored)
  assert.equal(opened.keyId, created.keyId)
  assert.deepEqual([...opened.key], [...created.key])
})

test('every session has another data key', async () => {
  const tenant = await newTenantKey()
  const a = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  const b = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  assert.notEqual(a.keyId, b.keyId)
  assert.notDeepEqual(a.key, b.key)
})

test('the key of another tenant is foreign, and a wrapped key of another tenant does not open', async () => {
  const tenant = await newTenantKey()
  const other = await newTenantKey()
  const { wrapped } = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  await assert.rejects(openDataKey(other, tenant.tenantId, wrapped), { code: 'E_KEY_FOREIGN' })
  await assert.rejects(openDataKey(other, other.tenantId, wrapped), { code: 'E_SEAL_BROKEN' })
  const sealedForOther = await createDataKey(tenant.publicKey, other.tenantId, systemRandomBytes)
  await assert.rejects(openDataKey(tenant, tenant.tenantId, sealedForOther.wrapped), { code: 'E_SEAL_BROKEN' })
})

test("a wrapped key with any byte altered, or under another's id, does not open", async () => {
  const tenant = await newTenantKey()
  const { wrapped } = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  const bytes = encodeWrappedDataKey(wrapped)
  for (let at = 0; at < bytes.length; at++) {
    const altered = Uint8Array.from(bytes)
    altered[at] = (altered[at] ?? 0) ^ 0x10
    await assert.rejects(openDataKey(tenant, tenant.tenantId, decodeWrappedDataKey(altered)), { code: 'E_SEAL_BROKEN' })
  }
  const second = await createDataKey(tenant.publicKey, tenant.tenantId, systemRandomBytes)
  const swapped = { ...wrapped, keyId: second.keyId }
  await assert.rejects(openDataKey(tenant, tenant.tenantId, swapped), { code: 'E_SEAL_BROKEN' })
})

test('a sealed key of the wrong length is damaged', async () => {
  const tenant = await newTenantKey()
  const keyId = idFromBytes<KeyId>(new Uint8Array(16))
  const context = {
    info: Buffer.concat([Buffer.from('strata/v1/data-key'), Buffer.from(tenant.tenantId, 'hex')]),
    aad: new Uint8Array(16),
  }
  const message = await sealTo(tenant.publicKey, context, new Uint8Array(31), systemRandomBytes)
  await assert.rejects(openDataKey(tenant, tenant.tenantId, { keyId, ...message }), { code: 'E_FORMAT_DAMAGED' })
})
