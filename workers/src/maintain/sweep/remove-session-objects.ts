import { StrataError } from '@strata/shared/errors.ts'
import { sweepDeletesInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'

/** Removes whatever a session has stored that has no point and will have none. Gives the number of objects. */
export async function removeSessionObjects(store: ObjectStore, prefix: string, signal?: AbortSignal): Promise<number> {
  const removed = mapConcurrently(store.list(prefix), sweepDeletesInFlightMax, async (object) => {
    requireGoingOn(signal)
    await store.delete(object.name)
  })
  let count = 0
  for await (const _ of removed) count += 1
  return count
}

/** Between two steps of a sweep, each of which leaves things so that another sweep goes on with them. */
export function requireGoingOn(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  throw new StrataError('E_INTERRUPTED', 'the sweep was interrupted', { cause: signal.reason })
}
