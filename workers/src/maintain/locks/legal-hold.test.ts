import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manifestName, repositoryName } from '@strata/shared/format/names.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { RetentionLedger, withHold, withoutHold } from '@strata/shared/repository/retention/ledger.ts'
import { makeLockedPoint, makeLockScene, type LockScene } from '../../testing/lock-scene.ts'
import { holdLegally, releaseLegally } from './legal-hold.ts'

/** What is left when everything was deleted that nothing holds. */
async function survivors({ store }: LockScene): Promise<Set<string>> {
  const names = (await Array.fromAsync(store.list('tenants/'))).map(({ name }) => name)
  for (const name of [...names, repositoryName]) store.deleteVersions(name)
  const left = (await Array.fromAsync(store.list('tenants/'))).map(({ name }) => name)
  return new Set(left)
}

async function change(scene: LockScene, point: Point, holds: boolean): Promise<number> {
  const { repository, clock } = scene
  const { set, sequence } = point
  const since = new Date(clock.nowMs()).toISOString()
  await new RetentionLedger(repository).change(set, ({ state }) => ({
    state: holds ? withHold(state, sequence, 'a case', since) : withoutHold(state, sequence),
    change: 'test',
  }))
  const pinning = { clock, onWarning: () => assert.fail('no warning') }
  return await (holds ? holdLegally : releaseLegally)(repository, point, pinning)
}

test('what is behind a held point outlasts everything, and what two points need stays for the other', async () => {
  const scene = await makeLockScene(undefined)
  const full = await makeLockedPoint(scene, 1)
  const next = await makeLockedPoint(scene, 2, full)
  // A manifest, a pack, a page pack; the repository and the keys.
  assert.equal(await change(scene, full, true), 5)
  assert.equal(await change(scene, next, true), 5)
  assert.equal(await change(scene, full, false), 3)
  const left = await survivors(scene)
  const place = scene.repository.placeOf(full.set)
  assert.ok(!left.has(manifestName(place, 1)) && left.has(manifestName(place, 2)))
  assert.ok((await scene.store.head(repositoryName)) !== undefined)
  assert.equal([...left].filter((name) => name.includes('/chains/')).length, 2)
})

test('the last hold that goes takes that of the keys along', async () => {
  const scene = await makeLockScene(undefined)
  const point = await makeLockedPoint(scene, 1)
  await change(scene, point, true)
  assert.equal(await change(scene, point, false), 5)
  assert.equal((await survivors(scene)).size, 0)
})
