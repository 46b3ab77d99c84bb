import type { Clock } from '@strata/shared/clock.ts'
import { retiredLifeMs } from '@strata/shared/limits.ts'
import { retiredTagKey, retiredTagValue } from '@strata/shared/repository/retention/retired.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/**
 * What the lifecycle rule of a bucket does, where there is none: deletes what has been tagged as retired for a day, by the
 * store's clock and by ours. Gives the number of objects. Where a bucket has rules of its own there is nothing to do.
 */
export async function expireRetired(store: ObjectStore, clock: Clock, signal?: AbortSignal): Promise<number> {
  if (store.listTagged === undefined) return 0
  let expired = 0
  for await (const { name, taggedMs } of store.listTagged(retiredTagKey, retiredTagValue)) {
    if (signal?.aborted === true) break
    const nowMs = Math.min(await store.now(), clock.nowMs())
    if (nowMs - taggedMs < retiredLifeMs) continue
    await store.delete(name)
    expired += 1
  }
  return expired
}
