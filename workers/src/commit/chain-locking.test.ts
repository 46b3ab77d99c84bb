import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Manifest } from '@strata/shared/format/manifest.ts'
import { chainPrefix, manifestName, repositoryName, tenantKeysName } from '@strata/shared/format/names.ts'
import type { OpenRequest } from '@strata/shared/protocol/uplink.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { testSetName } from '@strata/shared/testing/test-map.ts'
import { planSession, type SessionPlan } from '../gateway/plan-session.ts'
import {
  applyPolicy,
  dayMs,
  immutability,
  makeLockedPoint,
  makeLockScene,
  type LockScene,
} from '../testing/lock-scene.ts'
import { TestSession } from '../testing/test-session.ts'

async function locksOf({ store }: LockScene, prefix = ''): Promise<Map<string, number | undefined>> {
  const names = (await Array.fromAsync(store.list(prefix))).map(({ name }) => name)
  return new Map(await Promise.all(names.map(async (name) => [name, (await store.lockOf(name))?.untilMs] as const)))
}

function plan({ repository }: LockScene, wantsLocks = true): Promise<SessionPlan> {
  const disks = [{ name: 'disk0', sizeBytes: 655_359, blockBytes: 65_536, identity: {} }]
  return planSession(repository, { setName: testSetName, kind: 'auto', disks } as unknown as OpenRequest, 0, wantsLocks)
}

const codesOf = ({ warnings }: Pick<Manifest, 'warnings'> | SessionPlan): string[] => warnings.map(({ code }) => code)

test('everything behind a point is locked to the horizon of its chain, and with it what opens it', async () => {
  const scene = await makeLockScene({ immutability })
  const { repository, clock, store } = scene
  const full = await makeLockedPoint(scene, 1)
  const closesMs = clock.nowMs() + 10 * dayMs
  const untilMs = closesMs + 6 * dayMs
  const lock = { ...immutability, closesAt: new Date(closesMs).toISOString(), until: new Date(untilMs).toISOString() }
  assert.deepEqual(full.manifest.lock, lock)
  assert.deepEqual(full.manifest.warnings, [])
  clock.pass(3 * dayMs)
  const next = await makeLockedPoint(scene, 2, full)
  assert.deepEqual(next.manifest.lock, lock)
  const place = repository.placeOf(full.set)
  const names = [1, 2].map((sequence) => manifestName(place, sequence))
  const documents = [repositoryName, tenantKeysName(repository.tenant, 1)]
  for (const name of [...names, ...documents]) assert.equal((await store.lockOf(name))?.untilMs, untilMs, name)
  const objects = await locksOf(scene, chainPrefix({ ...place, chain: full.manifest.chain as never }))
  const unlocked = [...objects].filter(([, until]) => until === undefined).map(([name]) => name)
  // Attempts that no point has are for the sweep.
  assert.equal(objects.size, 6)
  assert.deepEqual(
    unlocked.map((name) => name.slice(-16)),
    ['9000000000000000', '9000000000000000'],
  )
  assert.ok([...objects.values()].every((until) => until === undefined || until === untilMs))
})

test('documents are looked at once for each horizon, and never locked for less', async () => {
  const scene = await makeLockScene({ immutability })
  const full = await makeLockedPoint(scene, 1)
  const before = scene.requests.length
  await makeLockedPoint(scene, 2, full)
  const requests = scene.requests.slice(before).filter(({ kind }) => kind === 'lock')
  // Its pack and its page pack.
  assert.equal(requests.length, 2)
  await applyPolicy(scene, { immutability: { mode: 'governance', days: 3 }, retention: { last: 1, undoWindow: '1d' } })
  scene.clock.pass(dayMs)
  const second = await makeLockedPoint(scene, 3)
  const documentLock = await scene.store.lockOf(repositoryName)
  assert.deepEqual(documentLock, { mode: 'compliance', untilMs: Date.parse(full.manifest.lock?.until ?? '') })
  assert.equal(second.manifest.lock?.mode, 'governance')
})

test('a chain closes: no point is published behind it, and the next session begins a new one', async () => {
  const scene = await makeLockScene({ immutability })
  const full = await makeLockedPoint(scene, 1)
  scene.clock.pass(10 * dayMs)
  const inTime = await plan(scene)
  assert.equal(inTime.kind, 'incremental')
  assert.deepEqual(inTime.warnings, [])
  const late = await new TestSession({
    repository: scene.repository,
    number: 2,
    base: full,
    expiresAt: '2027-01-01T00:00:00.000Z',
  }).open()
  await late.end(0, [new Map([[2, 'content 1']])])
  scene.clock.pass(1)
  await assert.rejects(late.commit(), (error) => hasCode(error, 'E_CHAIN_CLOSED'))
  assert.equal(await scene.store.head(manifestName(late.place, 2)), undefined)
  const next = await plan(scene)
  assert.equal(next.kind, 'full')
  assert.deepEqual(codesOf(next), ['W_CHAIN_CLOSED'])
})

test('a chain that began without a lock ends when the policy wants one; where it could not be locked it goes on', async () => {
  const scene = await makeLockScene(undefined)
  const full = await makeLockedPoint(scene, 1)
  assert.equal(full.manifest.lock, undefined)
  assert.deepEqual((await plan(scene, false)).warnings, [])
  const locked = await plan(scene)
  assert.equal(locked.kind, 'full')
  assert.deepEqual(codesOf(locked), ['W_CHAIN_UNLOCKED'])

  await applyPolicy(scene, { immutability })
  const denied = storeWith(scene.store, {
    lock: () => Promise.reject(new StrataError('E_STORE_DENIED', 'it takes the permission s3:PutObjectRetention')),
  })
  const unlocked = await makeLockedPoint(scene, 2, undefined, denied)
  assert.equal(unlocked.manifest.lock, undefined)
  assert.match(unlocked.manifest.warnings[0]?.message ?? '', /s3:PutObjectRetention/)
  const on = await plan(scene)
  assert.equal(on.kind, 'incremental')
  assert.deepEqual(codesOf(on), ['W_NOT_LOCKED'])
})

test('a point of a locked chain that cannot be locked any more says so, and the chain closes as it would have', async () => {
  const scene = await makeLockScene({ immutability })
  const full = await makeLockedPoint(scene, 1)
  const denied = storeWith(scene.store, {
    lock: () => Promise.reject(new StrataError('E_STORE_DENIED', 'refused')),
  })
  const next = await makeLockedPoint(scene, 2, full, denied)
  assert.deepEqual(next.manifest.lock, full.manifest.lock)
  assert.deepEqual(codesOf(next.manifest), ['W_NOT_LOCKED'])
  assert.equal(await scene.store.lockOf(manifestName(scene.repository.placeOf(full.set), 2)), undefined)
})

test('a store that cannot lock keeps nobody from a backup, and every point says so', async () => {
  const scene = await makeLockScene({ immutability }, false)
  const full = await makeLockedPoint(scene, 1)
  assert.equal(full.manifest.lock, undefined)
  assert.deepEqual(codesOf(full.manifest), ['W_NOT_LOCKED'])
  const next = await plan(scene)
  assert.equal(next.kind, 'incremental')
  assert.deepEqual(codesOf(next), ['W_NOT_LOCKED'])
})
