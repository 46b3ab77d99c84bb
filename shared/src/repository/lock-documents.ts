import { isTenantKeysName, repositoryName, tenantKeysPrefix } from '../format/names.ts'
import { storeRequestsInFlightMax } from '../limits.ts'
import { strongerLock } from '../policy/chain-lock.ts'
import type { ObjectLock } from '../store/object-store.ts'
import { mapConcurrently } from './concurrency.ts'
import type { Repository } from './repository.ts'

/** What it takes to open a tenant at all: the repository's document, and all revisions of the keys document. */
export async function* documentsOf({ store, tenant }: Repository): AsyncGenerator<string> {
  yield repositoryName
  for await (const { name } of store.list(tenantKeysPrefix(tenant))) {
    if (isTenantKeysName(tenant, name)) yield name
  }
}

/** Until when a process knows them to be locked. */
const lockedUntilMs = new WeakMap<Repository, number>()

/**
 * Locks these documents for as long as the longest locked point of the tenant: without the wrapped keys no point could be
 * opened. One look for each horizon; a keys document that is made later gets the lock of the one before it.
 */
export async function lockDocuments(repository: Repository, lock: ObjectLock): Promise<void> {
  if ((lockedUntilMs.get(repository) ?? 0) >= lock.untilMs) return
  const { store } = repository
  const work = mapConcurrently(documentsOf(repository), storeRequestsInFlightMax, async (name) => {
    const known = await store.lockOf(name)
    if (known === undefined || known.untilMs < lock.untilMs) await store.lock(name, strongerLock(lock, known))
  })
  for await (const _ of work);
  lockedUntilMs.set(repository, lock.untilMs)
}
