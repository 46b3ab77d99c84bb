import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock, systemRandomBytes as random } from '../clock.ts'
import { hasCode, type ErrorCode } from '../errors.ts'
import { repositoryName, tenantKeysName } from '../format/names.ts'
import { writeKeyring, type Keyring } from '../keys/keyring.ts'
import { encodeTenantKeys } from '../keys/tenant-document.ts'
import { createTenantKeys, type UnlockSecrets } from '../keys/tenant-keys.ts'
import { repositoryDocumentBytesMax, tenantKeysBytesMax } from '../limits.ts'
import { MemoryStore } from '../store/memory.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { asId, idBytes, idFromBytes, type Id, type TenantId } from '../types.ts'
import { createRepositoryDocument } from './repository.ts'
import { openTenant, unlockRepository, type SecretsSource } from './unlock.ts'

const refusing = (code: ErrorCode) => (error: unknown) => hasCode(error, code)
const giving =
  (secrets: UnlockSecrets): SecretsSource =>
  () =>
    Promise.resolve(secrets)
const none = giving({})

async function keyringPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-unlock-'))
  t.after(() => rm(directory, { recursive: true }))
  return join(directory, 'keyring.json')
}

async function newStore(): Promise<{ store: ObjectStore; repositoryId: Id }> {
  const store = new MemoryStore({ clock: systemClock })
  const { repository } = await createRepositoryDocument(store, random)
  return { store, repositoryId: asId<Id>(repository) }
}

interface Tenant {
  readonly keyring: Keyring
  readonly keyFile: Uint8Array
}

/** A tenant that a key file opens, which costs no time; and a passphrase, where one is given. */
async function addTenant(
  store: ObjectStore,
  repositoryId: Id,
  tenantName: string,
  passphrase?: string,
): Promise<Tenant> {
  const tenantId = idFromBytes<TenantId>(random(idBytes))
  const keyFile = random(32)
  const unlock = { keyFile, passphrase }
  const { document, ingest } = await createTenantKeys({ repositoryId, tenantId, tenantName, unlock, random })
  await store.put(tenantKeysName(tenantId, 1), [encodeTenantKeys(document)], { ifAbsent: true })
  // Other objects of the tenant must not be in the way of finding the next one.
  for (const name of ['chains/x', 'points/x', 'sessions/x']) await store.put(`tenants/${tenantId}/${name}`, [random(1)])
  return { keyring: { ...ingest, tenantName }, keyFile }
}

test('with a keyring nobody is asked for a secret', async (t) => {
  const { store, repositoryId } = await newStore()
  const { keyring } = await addTenant(store, repositoryId, 'Baker')
  const path = await keyringPath(t)
  await writeKeyring(path, keyring, { overwrite: false })
  const secrets: SecretsSource = () => Promise.reject(new Error('asked'))
  const opened = await openTenant(store, { keyringPath: path, secrets, random })
  assert.equal(opened.keyringChange, 'none')
  assert.equal(opened.repository.tenant, keyring.tenantId)
})

test('without a keyring the tenant is found by its secret, among others, and the keyring is the same again', async (t) => {
  const { store, repositoryId } = await newStore()
  const tenants = await Promise.all(['a', 'b', 'c', 'd'].map((name) => addTenant(store, repositoryId, name)))
  const path = await keyringPath(t)
  for (const { keyring, keyFile } of tenants) {
    const opened = await openTenant(store, { keyringPath: path, secrets: giving({ keyFile }), random })
    assert.equal(opened.keyringChange, 'rebuilt')
    assert.deepEqual({ ...opened.keyring, publicKey: Uint8Array.from(opened.keyring.publicKey) }, keyring)
  }
})

test('finding a tenant looks at no objects of any but their keys documents', async (t) => {
  const { store, repositoryId } = await newStore()
  const tenants = await Promise.all(['a', 'b', 'c'].map((name) => addTenant(store, repositoryId, name)))
  const list = store.list.bind(store)
  store.list = (prefix, options) => {
    assert.match(prefix, /^tenants\/[0-9a-f]{32}\/keys\/$/)
    return list(prefix, options)
  }
  const keyFile = tenants[1]?.keyFile
  const opened = await openTenant(store, { keyringPath: await keyringPath(t), secrets: giving({ keyFile }), random })
  assert.equal(opened.keyring.tenantName, 'b')
})

test('where a secret opens several tenants, an id or a name says which', async (t) => {
  const { store, repositoryId } = await newStore()
  const first = await addTenant(store, repositoryId, 'Baker', 'secret')
  const second = await addTenant(store, repositoryId, 'Miller', 'secret')
  const options = { keyringPath: await keyringPath(t), secrets: giving({ passphrase: 'secret' }), random }
  await assert.rejects(openTenant(store, options), (error) => {
    assert.ok(hasCode(error, 'E_TENANT_AMBIGUOUS'))
    assert.ok(error.message.includes(first.keyring.tenantId) && error.message.includes('Miller'))
    return true
  })
  const byName = await openTenant(store, { ...options, tenant: 'Miller' })
  assert.equal(byName.repository.tenant, second.keyring.tenantId)
  const byId = await openTenant(store, { ...options, tenant: first.keyring.tenantId })
  assert.equal(byId.repository.tenant, first.keyring.tenantId)
  await assert.rejects(openTenant(store, { ...options, tenant: 'Nobody' }), refusing('E_TENANT_UNKNOWN'))
})

test('missing keyring, missing secret, wrong secret, no tenant and no repository are different errors', async (t) => {
  const { store, repositoryId } = await newStore()
  const path = await keyringPath(t)
  const wrong = giving({ keyFile: random(32) })
  await assert.rejects(openTenant(store, { keyringPath: path, secrets: wrong, random }), refusing('E_TENANT_UNKNOWN'))
  await addTenant(store, repositoryId, 'Baker')
  await assert.rejects(openTenant(store, { keyringPath: path, secrets: none, random }), refusing('E_KEYRING_MISSING'))
  await assert.rejects(openTenant(store, { keyringPath: path, secrets: wrong, random }), refusing('E_KEY_WRONG'))
  const passphrase = giving({ passphrase: 'secret' })
  await assert.rejects(openTenant(store, { keyringPath: path, secrets: passphrase, random }), refusing('E_KEY_MISSING'))
  const empty = new MemoryStore({ clock: systemClock })
  await assert.rejects(
    openTenant(empty, { keyringPath: path, secrets: wrong, random }),
    refusing('E_REPOSITORY_MISSING'),
  )
})

test('what can be asked for is what the tenant opens with', async (t) => {
  const { store, repositoryId } = await newStore()
  await addTenant(store, repositoryId, 'Baker')
  const asked: unknown[] = []
  const secrets: SecretsSource = (ways) => {
    asked.push(ways)
    return Promise.resolve({})
  }
  await assert.rejects(openTenant(store, { keyringPath: await keyringPath(t), secrets, random }))
  assert.deepEqual(asked, [new Set(['keyFile'])])
})

test('keys documents that cannot be used are in nobody’s way, and are named where nothing opens', async (t) => {
  const { store, repositoryId } = await newStore()
  const { keyring, keyFile } = await addTenant(store, repositoryId, 'Baker')
  const damaged = await addTenant(store, repositoryId, 'Miller')
  await store.put(tenantKeysName(damaged.keyring.tenantId, 1), [Buffer.from('{')])
  // Of another repository, as when one store was copied into another; and one tenant's in the place of another's.
  const foreign = await addTenant(store, asId<Id>('5'.repeat(32)), 'Smith')
  const displaced = await addTenant(store, repositoryId, 'Cook')
  const bytes = await store.get(tenantKeysName(keyring.tenantId, 1))
  await store.put(tenantKeysName(displaced.keyring.tenantId, 1), [bytes])

  const options = { keyringPath: await keyringPath(t), random }
  const opened = await openTenant(store, { ...options, secrets: giving({ keyFile }) })
  assert.equal(opened.keyring.tenantName, 'Baker')
  const byName = await openTenant(store, { ...options, secrets: giving({ keyFile }), tenant: 'Baker' })
  assert.equal(byName.keyring.tenantId, keyring.tenantId)
  await assert.rejects(openTenant(store, { ...options, secrets: giving({ keyFile: random(32) }) }), (error) => {
    assert.ok(hasCode(error, 'E_KEY_WRONG'))
    assert.match(error.message, /the keys of 3 cannot be used/)
    return true
  })
  const said = [
    [damaged, 'E_FORMAT_DAMAGED'],
    [foreign, 'E_KEY_FOREIGN'],
    [displaced, 'E_KEY_FOREIGN'],
  ] as const
  for (const [tenant, code] of said) {
    const wanted = { ...options, secrets: giving({ keyFile: tenant.keyFile }), tenant: tenant.keyring.tenantId }
    await assert.rejects(openTenant(store, wanted), refusing(code))
  }
})

test('no document that is too long is fetched: whoever can write to the store could fill our memory', async (t) => {
  const { store, repositoryId } = await newStore()
  const { keyring, keyFile } = await addTenant(store, repositoryId, 'Baker')
  const options = { keyringPath: await keyringPath(t), secrets: giving({ keyFile }), random }
  for (const [name, bytesMax] of [
    [tenantKeysName(keyring.tenantId, 1), tenantKeysBytesMax],
    [repositoryName, repositoryDocumentBytesMax],
  ] as const) {
    // White space behind a document is no part of what it says.
    const padding = Buffer.alloc(bytesMax + 1, ' ')
    const original = await store.get(name)
    await store.put(name, [original, padding.subarray(original.byteLength)])
    await assert.rejects(openTenant(store, options), { code: 'E_FORMAT_DAMAGED', message: /has at most/ })
    await store.put(name, [original])
  }
  await openTenant(store, options)
})

test('a keys document under another number than its own is refused', async (t) => {
  const { store, repositoryId } = await newStore()
  const { keyring, keyFile } = await addTenant(store, repositoryId, 'Baker')
  const bytes = await store.get(tenantKeysName(keyring.tenantId, 1))
  await store.put(tenantKeysName(keyring.tenantId, 2), [bytes])
  const options = { keyringPath: await keyringPath(t), secrets: giving({ keyFile }), random }
  await assert.rejects(openTenant(store, options), refusing('E_FORMAT_DAMAGED'))
})

test('reading needs the private key, keyring or not; a foreign keyring is refused before anybody is asked', async (t) => {
  const { store, repositoryId } = await newStore()
  const { keyring, keyFile } = await addTenant(store, repositoryId, 'Baker')
  const path = await keyringPath(t)
  const lost = await unlockRepository(store, { keyringPath: path, secrets: giving({ keyFile }), random })
  assert.equal(lost.privateKey.tenantId, keyring.tenantId)
  await writeKeyring(path, keyring, { overwrite: false })
  const unlocked = await unlockRepository(store, { keyringPath: path, secrets: giving({ keyFile }), random })
  assert.deepEqual(unlocked.privateKey.bytes(), lost.privateKey.bytes())
  await assert.rejects(unlockRepository(store, { keyringPath: path, secrets: none, random }), refusing('E_KEY_MISSING'))
  const asked: SecretsSource = () => Promise.reject(new Error('asked'))
  const wanted = { keyringPath: path, secrets: asked, random, tenant: 'Miller' }
  await assert.rejects(unlockRepository(store, wanted), refusing('E_KEY_FOREIGN'))
  const { store: elsewhere } = await newStore()
  await assert.rejects(
    unlockRepository(elsewhere, { keyringPath: path, secrets: asked, random }),
    refusing('E_KEY_FOREIGN'),
  )
})
