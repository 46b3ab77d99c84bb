import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { repositoryName, tenantKeysName } from '@strata/shared/format/names.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import { dayMs, immutability, makeLockedPoint, makeLockScene, type LockScene } from '../../testing/lock-scene.ts'
import { checkLocks, type LockCheck } from '../locks/check-locks.ts'
import { copySet } from './copy-set.ts'

interface Copied {
  readonly warnings: readonly Warning[]
  readonly check: () => Promise<LockCheck>
}

/** Two points of a locked chain, and a copy of both: the second one when a day has passed. */
async function copyTwice(scene: LockScene, storeOf: (made: MemoryStore) => ObjectStore): Promise<Copied> {
  const { repository, clock } = scene
  const made = new MemoryStore({ clock, locks: true })
  await made.put(repositoryName, [Buffer.from('{}')])
  await made.put(tenantKeysName(repository.tenant, 1), [Buffer.from('{}')])
  const target = new Repository(storeOf(made), repository.ingestKeys, seededRandom('the copy'))
  const warnings: Warning[] = []
  const full = await makeLockedPoint(scene, 1)
  const copy = async (): Promise<void> => {
    await copySet({
      ...{ source: repository, target, set: full.set, retention: undefined, clock, hostName: 'here' },
      onWarning: (warning) => warnings.push(warning),
    })
  }
  await copy()
  clock.pass(dayMs)
  await makeLockedPoint(scene, 2, full)
  await copy()
  const onWarning = (): never => assert.fail('no warning')
  return { warnings, check: () => checkLocks({ repository: target, immutability: undefined, clock, onWarning }) }
}

test('what is locked in the source is locked in a copy that can lock, as long', async () => {
  const { warnings, check } = await copyTwice(await makeLockScene({ immutability }), (made) => made)
  const { points, objects, unlocked } = await check()
  assert.deepEqual([points, objects, unlocked, warnings], [2, 8, [], []])
})

test('a copy whose store refuses locks is made, and says so', async () => {
  const refusing = (made: MemoryStore): ObjectStore =>
    storeWith(made, {
      lock: () => Promise.reject(new StrataError('E_STORE_DENIED', 'it takes the permission s3:PutObjectRetention')),
    })
  const { warnings, check } = await copyTwice(await makeLockScene({ immutability }), refusing)
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['W_NOT_LOCKED', 'W_NOT_LOCKED'],
  )
  assert.match(warnings[0]?.message ?? '', /PutObjectRetention/)
  assert.equal((await check()).unlocked.length, 8)
})
