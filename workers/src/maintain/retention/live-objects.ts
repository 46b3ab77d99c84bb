import {
  chainObjectOf,
  chainPrefix,
  packKey,
  type ChainPlace,
  type PackKind,
  type PackReference,
} from '@strata/shared/format/names.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { chainPlaceOf, type Point } from '@strata/shared/repository/points.ts'
import { readRepairs } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { mapChanges } from '../map-changes.ts'

/**
 * What points of one chain need: every pack and page pack that their maps refer to.
 */
export class LiveObjects {
  readonly #objects = new Map<string, LiveObject>()

  has(kind: PackKind, reference: PackReference): boolean {
    return this.#objects.has(keyOf(kind, reference))
  }

  add(kind: PackKind, reference: PackReference): void {
    this.#objects.set(keyOf(kind, reference), { kind, reference })
  }

  all(): IterableIterator<LiveObject> {
    return this.#objects.values()
  }
}

interface LiveObject {
  readonly kind: PackKind
  readonly reference: PackReference
}

function keyOf(kind: PackKind, reference: PackReference): string {
  return kind + packKey(reference)
}

/**
 * Records that stand for damaged ones are among them, as long as those are.
 * @param points of one chain, by ascending number
 * Errors: whatever reading a map, or the repairs of the chain, ends with. Then nobody knows what is needed, and nothing may
 * go.
 */
export async function liveObjects(
  repository: Repository,
  points: readonly Point[],
  signal?: AbortSignal,
): Promise<LiveObjects> {
  const live = new LiveObjects()
  let before: PointMap | undefined
  for (const point of points) {
    const map = await PointMap.open(repository, point)
    for await (const change of mapChanges(map, before, { withBefore: false, signal })) {
      if (change.kind === 'map') live.add('map', change.pack)
      else for (const pack of change.page.references) live.add('data', pack)
    }
    before = map
  }
  const [first] = points
  if (first !== undefined) await addRepairs(repository, chainPlaceOf(repository, first), live)
  return live
}

async function addRepairs(repository: Repository, place: ChainPlace, live: LiveObjects): Promise<void> {
  for (const { from, to } of (await readRepairs(repository, place.chain)).all()) {
    const damaged = chainObjectOf(place, chainPrefix(place) + from.object)
    const other = chainObjectOf(place, chainPrefix(place) + to.object)
    if (damaged === undefined || other === undefined || !live.has(damaged.kind, damaged.reference)) continue
    live.add(other.kind, other.reference)
  }
}
