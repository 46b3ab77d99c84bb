import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { chainObjectOf, chainPrefix, type ChainPlace } from '@strata/shared/format/names.ts'
import { collectWorthMin, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { retiredTags } from '@strata/shared/repository/retention/retired.ts'
import type { ObjectInfo } from '@strata/shared/store/object-store.ts'
import { ClassTotals } from '../usage/class-totals.ts'
import { liveObjects, LiveObjects } from './live-objects.ts'

/** A chain with points that are gone. */
export interface ChainToCollect {
  readonly place: ChainPlace
  /** Points that are there, by ascending number; none: the chain goes whole. */
  readonly there: readonly Point[]
  /**
   * Sessions of the set that are known to have become points, gone or not. Of all others nothing is judged. Not only those of
   * the chain: packs that were copied whole lie under the sessions that wrote them.
   */
  readonly sessions: ReadonlySet<string>
  /** What the points had stored that went since the chain was last looked through. */
  readonly goneBytes: number
}

export interface Collected {
  /** `waits`: so little can have become free that looking through the maps is not worth it yet. */
  readonly outcome: 'collected' | 'waits'
  readonly objects: number
  readonly bytes: number
  readonly byClass: ClassTotals['all']
}

export const waits: Collected = { outcome: 'waits', objects: 0, bytes: 0, byClass: [] }

/**
 * Tags the objects of a chain that no point needs which is there: from then on the store's own rules delete them. A repeat
 * does no harm. `tag: false` only counts them.
 */
export async function collectChain(
  repository: Repository,
  chain: ChainToCollect,
  { tag, signal }: { readonly tag: boolean; readonly signal?: AbortSignal | undefined },
): Promise<Collected> {
  const { store } = repository
  if (chain.there.length > 0 && !(await isWorth(repository, chain))) return waits
  const live = chain.there.length === 0 ? new LiveObjects() : await liveObjects(repository, chain.there, signal)
  let objects = 0
  let bytes = 0
  const classes = new ClassTotals()
  const going = mapConcurrently(deadObjects(repository, chain, live), storeRequestsInFlightMax, async (dead) => {
    if (tag) await tagRetired(store, dead.name)
    return dead
  })
  for await (const dead of going) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next prune goes on')
    objects += 1
    bytes += dead.sizeBytes
    classes.add(dead)
  }
  return { outcome: 'collected', objects, bytes, byClass: classes.all }
}

async function tagRetired(store: Repository['store'], name: string): Promise<void> {
  try {
    await store.setTags(name, retiredTags)
  } catch (error) {
    // The store's rules were faster than we are.
    if (!hasCode(error, 'E_OBJECT_MISSING')) throw error
  }
}

/** What is read is all page packs of the chain, at most. */
async function isWorth({ store }: Repository, { place, goneBytes }: ChainToCollect): Promise<boolean> {
  let mapBytes = 0
  for await (const { name, sizeBytes } of store.list(chainPrefix(place))) {
    if (chainObjectOf(place, name)?.kind === 'map') mapBytes += sizeBytes
  }
  return goneBytes >= mapBytes * collectWorthMin
}

async function* deadObjects(
  { store }: Repository,
  { place, sessions }: ChainToCollect,
  live: LiveObjects,
): AsyncGenerator<ObjectInfo> {
  for await (const info of store.list(chainPrefix(place))) {
    const object = chainObjectOf(place, info.name)
    if (object === undefined || !sessions.has(object.reference.session)) continue
    if (!live.has(object.kind, object.reference)) yield info
  }
}
