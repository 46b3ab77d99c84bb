import { repositoryName, sessionEndName, sessionName, tenantKeysName } from '@strata/shared/format/names.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { MovedClock } from '@strata/shared/testing/moved-clock.ts'
import { makeTestRepository, seededRandom, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import { TestSession } from './test-session.ts'

/** A repository in a store that can lock, whose time passes when a test says so. */
export const dayMs = 24 * 3600_000

export interface LockScene extends TestRepository {
  readonly clock: MovedClock
}

export const immutability = { mode: 'compliance', days: 5 }

export async function makeLockScene(policy: object | undefined, locks = true): Promise<LockScene> {
  const clock = new MovedClock()
  const scene = { ...makeTestRepository('locks', { clock, locks }), clock }
  await scene.store.put(repositoryName, [Buffer.from('{}')])
  await scene.store.put(tenantKeysName(scene.repository.tenant, 1), [Buffer.from('{}')])
  if (policy !== undefined) await applyPolicy(scene, policy)
  return scene
}

export async function applyPolicy({ repository }: LockScene, policy: object): Promise<void> {
  const head = { strata: 'policy', version: 1, schedule: { every: '1d' }, retention: { last: 2, undoWindow: '1d' } }
  await appendPolicy(new Registry(repository), { ...head, chain: { maxAge: '10d' }, ...policy })
}

/** A point of one block that changes; the second attempt at its segment is not chosen. */
export async function makeLockedPoint(
  scene: LockScene,
  number: number,
  base?: Point,
  store?: ObjectStore,
): Promise<Point> {
  const { repository } = scene
  const content = `content ${String(number)}`
  const expiresAt = new Date(scene.clock.nowMs() + 30 * dayMs).toISOString()
  const session = await new TestSession({
    repository,
    number,
    expiresAt,
    ...(base === undefined ? { chain: `${number.toString(16)}c`.padStart(32, '0') } : { base }),
  }).open()
  await session.pack(0, [{ block: 2, content }])
  await session.pack(0, [{ block: 2, content }], { attempt: '9000000000000000' })
  await session.end(1, [new Map([[2, content]])])
  const { ingestKeys } = repository
  const at = store === undefined ? repository : new Repository(store, ingestKeys, seededRandom('another'))
  const { manifest } = await session.commit(at)
  for (const name of [sessionEndName, sessionName]) await scene.store.delete(name(session.place, session.id))
  return await readPoint(repository, session.place.set, manifest.sequence)
}
