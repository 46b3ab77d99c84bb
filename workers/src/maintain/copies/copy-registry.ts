import { hasCode } from '@strata/shared/errors.ts'
import { documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { registryDocumentOf, registryFolders, registryPrefix } from '@strata/shared/format/names.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { namesBelow } from './names-below.ts'

/**
 * Endpoints, their tokens and claims, and policies: what a service needs for the copy to take the place of the source. What
 * is there already stays as it is. The ledgers of the sets are not among them: a copy has its own.
 */
export async function copyRegistry(source: Repository, target: ObjectStore): Promise<void> {
  for (const folder of registryFolders) {
    if (folder === 'retention') continue
    const place = { tenant: source.tenant, folder }
    const there = await namesBelow(target, registryPrefix(place))
    const own = await namesBelow(source.store, registryPrefix(place))
    const missing = [...own].filter((name) => !there.has(name))
    const documents = Map.groupBy(missing, (name) => registryDocumentOf(place, name)?.id)
    // What has no name of ours is not ours.
    documents.delete(undefined)
    const copying = mapConcurrently(documents.values(), storeRequestsInFlightMax, async (versions) => {
      // One after the other: a gap between them would look as if somebody had deleted one.
      for (const name of versions) await copyVersion(source.store, target, name)
    })
    for await (const _ of copying);
  }
}

async function copyVersion(source: ObjectStore, target: ObjectStore, name: string): Promise<void> {
  const bytes = await source.get(name, { bytesMax: documentObjectBytesMax })
  try {
    await target.put(name, [bytes], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
  }
}
