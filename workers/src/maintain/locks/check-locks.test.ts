import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '@strata/shared/errors.ts'
import { manifestName, repositoryName } from '@strata/shared/format/names.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { dayMs, immutability, makeLockedPoint, makeLockScene, type LockScene } from '../../testing/lock-scene.ts'
import { chainToEnd } from '../chains/keep-set.ts'
import { pruneSet, type SetPruning } from '../retention/prune-set.ts'
import { checkLocks, type LockCheck } from './check-locks.ts'

const wanted = { mode: 'compliance', days: 5 } as const
const policyHead = { strata: 'policy', version: 1, schedule: { every: '1d' } }

function check({ repository, clock }: LockScene, wants = true): Promise<LockCheck> {
  const onWarning = (): never => assert.fail('no warning')
  return checkLocks({ repository, immutability: wants ? wanted : undefined, clock, onWarning })
}

/** A store that says yes to a lock, and does not lock. */
function forgetful(store: ObjectStore, isForgotten: (name: string) => boolean): ObjectStore {
  return storeWith(store, {
    lock: async (name, lock) => {
      if (!isForgotten(name)) await store.lock(name, lock)
    },
  })
}

test('everything behind the points is found locked, and points that are old enough need nothing', async () => {
  const scene = await makeLockScene({ immutability })
  const full = await makeLockedPoint(scene, 1)
  scene.clock.pass(dayMs)
  const next = await makeLockedPoint(scene, 2, full)
  scene.clock.pass(dayMs)
  const found = await check(scene)
  // Two packs, two page packs, two manifests, repository and keys.
  assert.equal(found.objects, 8)
  assert.deepEqual(found.unlocked, [])
  assert.equal(found.points, 2)
  assert.equal(Date.parse(found.horizon ?? ''), Date.parse(next.manifest.createdAt) + 5 * dayMs)
  scene.clock.pass(3 * dayMs)
  assert.equal((await check(scene)).points, 1)
  scene.clock.pass(dayMs)
  const later = await check(scene)
  assert.deepEqual([later.points, later.objects, later.horizon], [0, 0, null])
})

test('an object without a lock is named, with the points that it hits', async () => {
  for (const part of ['/map-', '/data-', repositoryName]) {
    const scene = await makeLockScene({ immutability })
    const store = forgetful(scene.store, (name) => name.includes(part))
    const full = await makeLockedPoint(scene, 1, undefined, store)
    // Whoever commits next would lock the documents.
    const next = await makeLockedPoint(scene, 2, full, part === repositoryName ? store : undefined)
    const { unlocked } = await check(scene)
    const [first, ...more] = unlocked
    assert.equal(first?.lockedUntil, null)
    assert.ok(first.object.includes(part), first.object)
    assert.deepEqual(more, [])
    // The second point has changed the only block, and the only page.
    const hit: readonly Point[] = part === repositoryName ? [full, next] : [full]
    assert.deepEqual(first.points, hit.map(pointId), part)
  }
})

test('points without any lock are named where the policy wants them locked, and only there', async () => {
  const scene = await makeLockScene(undefined)
  const point = await makeLockedPoint(scene, 1)
  assert.deepEqual((await check(scene, false)).points, 0)
  const { unlocked, points } = await check(scene)
  assert.equal(points, 1)
  assert.equal(unlocked.length, 5)
  const manifest = manifestName(scene.repository.placeOf(point.set), 1)
  assert.ok(unlocked.some(({ object, points: hit }) => object === manifest && hit[0] === pointId(point)))
})

test('a store that cannot lock is no proof of anything', async () => {
  const scene = await makeLockScene({ immutability }, false)
  await makeLockedPoint(scene, 1)
  await assert.rejects(check(scene), (error) => hasCode(error, 'E_STORE_NO_LOCK'))
})

test('a point goes only when its own lock period is over; what is tagged of it stays until the lock ends', async () => {
  const scene = await makeLockScene({ immutability })
  const { repository, clock } = scene
  const full = await makeLockedPoint(scene, 1)
  await makeLockedPoint(scene, 2)
  const { policy } = readPolicy({ ...policyHead, retention: { last: 1, undoWindow: '1d' } })
  const prune = (): Promise<SetPruning> =>
    pruneSet({ repository, set: full.set, policy, policyVersion: 1, clock, dryRun: false })
  const first = await prune()
  assert.deepEqual([first.plan.mark, first.plan.gone], [[], []])
  const decision = first.plan.decisions.find(({ point }) => point.sequence === 1)
  assert.deepEqual(
    decision?.reasons.map(({ kind }) => kind),
    ['locked'],
  )
  clock.pass(5 * dayMs)
  assert.equal((await prune()).plan.mark.length, 1)
  clock.pass(dayMs)
  const gone = await prune()
  assert.equal(gone.plan.gone.length, 1)
  // Two attempts at its pack, and its page pack. The chain's horizon is ten days away.
  assert.deepEqual([gone.objects, gone.locked], [3, 3])
  clock.pass(20 * dayMs)
  assert.equal((await prune()).objects, 0)
})

test('a chain ends for its lock before it closes, and where it has none', async () => {
  const { policy } = readPolicy({ ...policyHead, retention: { last: 1 }, chain: { maxAge: '10d' }, immutability })
  const endOf = ({ repository, clock }: LockScene, { set }: Point): Promise<string | undefined> =>
    chainToEnd({
      repository,
      set,
      policy: { ...policy, chain: { ...policy.chain, deadPercentMax: 100 } },
      policyVersion: 1,
      clock,
    })
  const scene = await makeLockScene({ immutability })
  const full = await makeLockedPoint(scene, 1)
  await makeLockedPoint(scene, 2, full)
  scene.clock.pass(8 * dayMs)
  assert.equal(await endOf(scene, full), undefined)
  scene.clock.pass(1)
  assert.equal(await endOf(scene, full), 'age')

  const without = await makeLockScene(undefined)
  const other = await makeLockedPoint(without, 1)
  await makeLockedPoint(without, 2, other)
  assert.equal(await endOf(without, other), 'missing lock')
  const cannot = await makeLockScene(undefined, false)
  const third = await makeLockedPoint(cannot, 1)
  await makeLockedPoint(cannot, 2, third)
  assert.equal(await endOf(cannot, third), undefined)
})
