import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { tenantKeysName } from '../format/names.ts'
import { readKeyring, writeKeyring } from '../keys/keyring.ts'
import { encodeTenantKeys, formerKeysOf } from '../keys/tenant-document.ts'
import { createTenantKeys } from '../keys/tenant-keys.ts'
import { MemoryStore } from '../store/memory.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { Died, mortalStore } from '../testing/mortal-store.ts'
import { asId, idFromBytes, type Id, type TenantId } from '../types.ts'
import { readTenantKeys } from './keys-document.ts'
import { createRepositoryDocument } from './repository.ts'
import { rotateTenant, type Rotation } from './rotate-tenant.ts'
import { openTenant, unlockRepository } from './unlock.ts'

const random = systemRandomBytes
const keyFile = random(32)

interface World {
  readonly store: ObjectStore
  readonly tenant: TenantId
  readonly directory: string
  readonly keyringPath: string
}

async function makeWorld(t: TestContext): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-rotate-'))
  t.after(() => rm(directory, { recursive: true }))
  const store = new MemoryStore({ clock: systemClock })
  const { repository } = await createRepositoryDocument(store, random)
  const tenant = idFromBytes<TenantId>(random(16))
  const created = await createTenantKeys({
    repositoryId: asId<Id>(repository),
    tenantId: tenant,
    tenantName: 'Baker',
    unlock: { keyFile },
    random,
  })
  await store.put(tenantKeysName(tenant, 1), [encodeTenantKeys(created.document)], { ifAbsent: true })
  const keyringPath = join(directory, 'keyring.json')
  await writeKeyring(keyringPath, { ...created.ingest, tenantName: 'Baker' }, { overwrite: false })
  return { store, tenant, directory, keyringPath }
}

async function rotate({ keyringPath }: World, store: ObjectStore): Promise<Rotation> {
  const secrets = { keyFile }
  const unlocked = await unlockRepository(store, { keyringPath, secrets: () => Promise.resolve(secrets), random })
  return await rotateTenant(store, unlocked, { keyringPath, secrets, random })
}

/** What must hold whenever somebody looks: the secret opens everything, and the keyring serves. */
async function requireUsable({ store, keyringPath }: World): Promise<void> {
  const secrets = { keyFile }
  await unlockRepository(store, { keyringPath, secrets: () => Promise.resolve(secrets), random })
  await openTenant(store, { keyringPath, secrets: () => Promise.resolve({}), random })
}

test('a rotation that dies at any request is finished by the next run, once', async (t) => {
  for (const when of ['before', 'after'] as const) {
    for (let request = 0; ; request += 1) {
      const world = await makeWorld(t)
      const mortal = mortalStore(world.store, request, when)
      const died = await rotate(world, mortal).then(
        () => false,
        (error: unknown) => {
          assert.ok(error instanceof Died || mortal.hasDied(), String(error))
          return true
        },
      )
      if (!died) {
        assert.ok(request > 3, 'every request had its turn')
        break
      }
      await requireUsable(world)
      const { document, keyring } = await rotate(world, world.store)
      assert.deepEqual([document.revision, formerKeysOf(document).length], [2, 1], `${when} request ${String(request)}`)
      assert.equal((await readKeyring(world.keyringPath)).currentGeneration, 2)
      assert.equal(keyring.currentGeneration, 2)
      assert.deepEqual(await readdir(world.directory), ['keyring.json'])
    }
  }
})

test('one that died before its keyring was in place is finished, and the next one is another', async (t) => {
  const world = await makeWorld(t)
  const before = join(world.directory, 'before')
  await copyFile(world.keyringPath, before)
  await rotate(world, world.store)
  const after = join(world.directory, 'after')
  await copyFile(world.keyringPath, after)
  await copyFile(before, world.keyringPath)
  await copyFile(after, `${world.keyringPath}.rotated`)
  const finished = await rotate(world, world.store)
  assert.deepEqual([finished.resumed, finished.document.revision], [true, 2])
  const another = await rotate(world, world.store)
  assert.deepEqual([another.resumed, another.document.revision], [false, 3])
})

test('of two that rotate at once one does', async (t) => {
  const world = await makeWorld(t)
  const results = await Promise.allSettled([rotate(world, world.store), rotate(world, world.store)])
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as { code: string }] : [],
  )
  assert.deepEqual(
    failures.map(({ code }) => code),
    ['E_REGISTRY_CONFLICT'],
  )
  assert.equal((await readTenantKeys(world.store, world.tenant)).revision, 2)
  await requireUsable(world)
})

test('a keyring from before a rotation serves, and is renewed by whoever unlocks', async (t) => {
  const world = await makeWorld(t)
  const old = join(world.directory, 'old.json')
  await copyFile(world.keyringPath, old)
  await rotate(world, world.store)
  const secrets = (): Promise<{ keyFile: Uint8Array }> => Promise.resolve({ keyFile })
  const opened = await openTenant(world.store, { keyringPath: old, secrets, random })
  assert.equal(opened.keyringChange, 'none')
  const unlocked = await unlockRepository(world.store, { keyringPath: old, secrets, random })
  assert.deepEqual([unlocked.keyringChange, unlocked.keyring.currentGeneration], ['renewed', 2])
})

test('a store whose newest keys document is gone is told from one that was never rotated', async (t) => {
  const world = await makeWorld(t)
  await rotate(world, world.store)
  await world.store.delete(tenantKeysName(world.tenant, 2))
  const secrets = (): Promise<{ keyFile: Uint8Array }> => Promise.resolve({ keyFile })
  const options = { keyringPath: world.keyringPath, secrets, random }
  await assert.rejects(unlockRepository(world.store, options), { code: 'E_HISTORY_BROKEN' })
  const elsewhere = { ...options, keyringPath: join(world.directory, 'none') }
  assert.equal((await unlockRepository(world.store, elsewhere)).keyring.currentGeneration, 1)
})

test('keys that somebody else made for the tenant are not taken by whoever has its keyring', async (t) => {
  const world = await makeWorld(t)
  const { repositoryId } = await readKeyring(world.keyringPath)
  const impostor = await createTenantKeys({
    repositoryId,
    tenantId: world.tenant,
    tenantName: 'Baker',
    unlock: { keyFile },
    random,
  })
  await world.store.put(tenantKeysName(world.tenant, 1), [encodeTenantKeys(impostor.document)])
  await assert.rejects(rotate(world, world.store), { code: 'E_KEY_FOREIGN' })
})
