import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../clock.ts'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { destructionName, sessionName, tenantKeysName, tenantKeysPrefix } from '../format/names.ts'
import { withWrap } from '../keys/change-keys.ts'
import { wrapWithSecret } from '../keys/private-key-wrap.ts'
import { encodeTenantKeys } from '../keys/tenant-document.ts'
import { createTenantKeys } from '../keys/tenant-keys.ts'
import { clockSkewWarnMs, destructionDelayMsDefault, destructionDelayMsMin } from '../limits.ts'
import { MemoryStore } from '../store/memory.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { mortalStore } from '../testing/mortal-store.ts'
import { asId, idFromBytes, type Id, type SessionId, type SetId, type TenantId } from '../types.ts'
import {
  cancelDestruction,
  confirmDestruction,
  executeDestruction,
  finishDestruction,
  heldPoints,
  lockedKeys,
  openSessions,
  requestDestruction,
} from './destroy-tenant.ts'
import { appendTenantKeys, readTenantKeys } from './keys-document.ts'
import { createRepositoryDocument } from './repository.ts'
import { RetentionLedger, withHold, withSetHold } from './retention/ledger.ts'
import { unlockRepository, type UnlockedTenant } from './unlock.ts'

const random = systemRandomBytes
const keyFile = random(32)
const recoveryKey = random(32)
const startMs = Date.UTC(2026, 0, 1)
const delayMs = destructionDelayMsDefault

interface World {
  readonly store: ObjectStore
  readonly tenant: TenantId
  readonly time: { ms: number; ownAheadMs: number }
  readonly clock: Clock
}

/** A tenant that a key file and a recovery sheet open, and a store whose time stands until it is changed. */
async function makeWorld(ways: 'one' | 'two' = 'two', locks = false): Promise<World> {
  const time = { ms: startMs, ownAheadMs: 0 }
  const standing = { monotonicMs: () => 0, sleep: () => Promise.resolve() }
  const store = new MemoryStore({ clock: { ...standing, nowMs: () => time.ms }, locks })
  const { repository } = await createRepositoryDocument(store, random)
  const tenant = idFromBytes<TenantId>(random(16))
  const identity = { repositoryId: asId<Id>(repository), tenantId: tenant }
  const created = await createTenantKeys({ ...identity, tenantName: 'Baker', unlock: { keyFile }, random })
  await store.put(tenantKeysName(tenant, 1), [encodeTenantKeys(created.document)])
  if (ways === 'two') {
    const { privateKey } = created
    const sheet = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), recoveryKey, random)
    await appendTenantKeys(store, withWrap(created.document, privateKey, sheet))
  }
  return { store, tenant, time, clock: { ...standing, nowMs: () => time.ms + time.ownAheadMs } }
}

async function unlock({ store }: Pick<World, 'store'>, by: 'keyFile' | 'recoveryKey'): Promise<UnlockedTenant> {
  const secrets = by === 'keyFile' ? { keyFile } : { recoveryKey }
  return await unlockRepository(store, {
    keyringPath: '/nowhere/keyring',
    secrets: () => Promise.resolve(secrets),
    random,
  })
}

async function* none(): AsyncGenerator<string> {
  // Nothing stands against it.
}

const request = async (world: World): Promise<unknown> =>
  await requestDestruction(world.store, await unlock(world, 'keyFile'), { delayMs, findObstacles: none })
const confirm = async (world: World, by: 'keyFile' | 'recoveryKey' = 'recoveryKey'): Promise<unknown> =>
  await confirmDestruction(world.store, await unlock(world, by))
const execute = async (world: World, findObstacles = none): Promise<unknown> =>
  await executeDestruction(world.store, await unlock(world, 'keyFile'), { clock: world.clock, findObstacles })

const refusing = (message: RegExp) => (error: unknown) => {
  assert.ok(hasCode(error, 'E_DESTROY_REFUSED'), String(error))
  assert.match(error.message, message)
  return true
}

test('asked for by one, confirmed by another, due, and gone', async () => {
  const world = await makeWorld()
  await request(world)
  await assert.rejects(execute(world), refusing(/no second person/))
  await assert.rejects(confirm(world, 'keyFile'), refusing(/another way/))
  await confirm(world)
  await assert.rejects(confirm(world), refusing(/confirmed already/))
  world.time.ms = startMs + delayMs - 1000
  await assert.rejects(execute(world), refusing(/not due before 2026-01-31T00:00:00.000Z/))
  world.time.ms = startMs + delayMs
  await execute(world)
  assert.deepEqual(await Array.fromAsync(world.store.list(tenantKeysPrefix(world.tenant))), [])
  await assert.rejects(readTenantKeys(world.store, world.tenant), { code: 'E_TENANT_DESTROYED' })
  await assert.rejects(unlock(world, 'keyFile'), { code: 'E_TENANT_DESTROYED' })
})

test('from a late confirmation there are seven days as well', async () => {
  const world = await makeWorld()
  await request(world)
  world.time.ms = startMs + delayMs
  await confirm(world)
  await assert.rejects(execute(world), refusing(/not due/))
  world.time.ms += destructionDelayMsMin
  await execute(world)
})

test('it is taken back until it is done, and asked for anew from the beginning', async () => {
  const world = await makeWorld()
  await assert.rejects(async () => cancelDestruction(world.store, await unlock(world, 'keyFile')), refusing(/nobody/))
  await request(world)
  await assert.rejects(request(world), refusing(/already/))
  await confirm(world)
  await cancelDestruction(world.store, await unlock(world, 'recoveryKey'))
  world.time.ms += 2 * delayMs
  await assert.rejects(execute(world), refusing(/nobody has asked/))
  await request(world)
  await assert.rejects(execute(world), refusing(/no second person/))
})

test('whoever has one way only, a delay out of bounds, clocks that disagree, and whatever else stands against it', async () => {
  await assert.rejects(request(await makeWorld('one')), refusing(/one way only/))
  const world = await makeWorld()
  const early = { delayMs: destructionDelayMsMin - 1, findObstacles: none }
  await assert.rejects(
    async () => requestDestruction(world.store, await unlock(world, 'keyFile'), early),
    refusing(/7 days/),
  )
  await request(world)
  await confirm(world)
  world.time.ms += delayMs
  world.time.ownAheadMs = -2 * clockSkewWarnMs
  await assert.rejects(execute(world), refusing(/disagree/))
  world.time.ownAheadMs = 0
  const held = async function* (): AsyncGenerator<string> {
    yield* await Promise.resolve(['a hold on point 7', 'a lock until 2030'])
  }
  await assert.rejects(execute(world, held), refusing(/a hold on point 7; a lock until 2030/))
  const place = { tenant: world.tenant, set: idFromBytes<SetId>(random(16)) }
  await world.store.put(sessionName(place, idFromBytes<SessionId>(random(16))), [random(1)])
  const options = { clock: world.clock, findObstacles: openSessions }
  await assert.rejects(
    async () => executeDestruction(world.store, await unlock(world, 'keyFile'), options),
    refusing(/is under way/),
  )
})

test('a hold on a point, or on a whole set, stands against it', async () => {
  const world = await makeWorld()
  await request(world)
  const unlocked = await unlock(world, 'keyFile')
  const ledger = new RetentionLedger(unlocked.repository)
  const set = idFromBytes<SetId>(random(16))
  const since = '2026-01-01T00:00:00.000Z'
  await ledger.change(set, ({ state }) => ({ state: withHold(state, 7, 'case 4', since), change: 'held' }))
  await ledger.change(set, ({ state }) => ({ state: withSetHold(state, 'audit', since), change: 'held' }))
  const obstacles = await Array.fromAsync(heldPoints(unlocked.repository))
  assert.deepEqual(obstacles, [`set ${set} is held: audit`, `point number 7 of set ${set} is held: case 4`])
})

test('keys that a store has locked stand against it, until the lock is over', async () => {
  const world = await makeWorld('two', true)
  const { repository } = await unlock(world, 'keyFile')
  assert.deepEqual(await Array.fromAsync(lockedKeys(repository)), [])
  const name = tenantKeysName(world.tenant, 1)
  await world.store.lock(name, { mode: 'compliance', untilMs: startMs + 1000 })
  assert.deepEqual(await Array.fromAsync(lockedKeys(repository)), [
    `${name} is locked until ${new Date(startMs + 1000).toISOString()}`,
  ])
  world.time.ms += 1000
  assert.deepEqual(await Array.fromAsync(lockedKeys(repository)), [])
})

test('meanwhile the keys stay as they are, so that nobody makes a second way for themselves', async () => {
  const world = await makeWorld()
  await request(world)
  const { document, privateKey } = await unlock(world, 'keyFile')
  const wrap = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), random(32), random)
  const next = withWrap(document, privateKey, wrap)
  await assert.rejects(appendTenantKeys(world.store, next), { code: 'E_DESTROY_PENDING' })
  // One that somebody put there all the same is noticed.
  await world.store.put(tenantKeysName(world.tenant, next.revision), [encodeTenantKeys(next)])
  const secrets = { keyFile }
  const unlocked = await unlockRepository(world.store, {
    keyringPath: '/nowhere/keyring',
    secrets: () => Promise.resolve(secrets),
    random,
  })
  await assert.rejects(confirmDestruction(world.store, { ...unlocked, unlockedBy: wrap }), refusing(/have changed/))
})

test('a request that nobody wrote who can open the tenant counts for nothing', async () => {
  const world = await makeWorld()
  await request(world)
  const name = destructionName(world.tenant, 1)
  const text = Buffer.from(await world.store.get(name)).toString('utf8')
  await world.store.put(name, [Buffer.from(text.replace('"requested"', '"confirmed"'))])
  await assert.rejects(confirm(world), { code: 'E_SEAL_BROKEN' })
  await world.store.put(name, [Buffer.from(text.replace('"dueAt":"2026-01-31', '"dueAt":"2026-01-02'))])
  await assert.rejects(confirm(world), { code: 'E_SEAL_BROKEN' })
})

test('an end that is cut off at any request is finished by the next run, which needs no secret once it has begun', async () => {
  for (const when of ['before', 'after'] as const) {
    for (let dyingRequest = 0; ; dyingRequest += 1) {
      const world = await makeWorld()
      await request(world)
      await confirm(world)
      world.time.ms += delayMs
      const unlocked = await unlock(world, 'keyFile')
      const mortal = mortalStore(world.store, dyingRequest, when)
      const died = await executeDestruction(mortal, unlocked, { clock: world.clock, findObstacles: none }).then(
        () => false,
        () => true,
      )
      if (!died) {
        assert.ok(dyingRequest > 5, 'every request had its turn')
        break
      }
      if ((await finishDestruction(world.store, world.tenant, {})) === undefined) await execute(world)
      assert.deepEqual(await Array.fromAsync(world.store.list(tenantKeysPrefix(world.tenant))), [])
      await assert.rejects(readTenantKeys(world.store, world.tenant), { code: 'E_TENANT_DESTROYED' })
    }
  }
})

test('after it is written down as executed nobody can cancel', async () => {
  const world = await makeWorld()
  await request(world)
  await confirm(world)
  world.time.ms += delayMs
  const unlocked = await unlock(world, 'keyFile')
  for (let dyingRequest = 0; ; dyingRequest += 1) {
    const mortal = mortalStore(world.store, dyingRequest, 'before')
    await executeDestruction(mortal, unlocked, { clock: world.clock, findObstacles: none }).catch(() => undefined)
    if ((await world.store.head(destructionName(world.tenant, 3))) !== undefined) break
  }
  await assert.rejects(cancelDestruction(world.store, unlocked), refusing(/too late/))
  await execute(world)
})
