import { PointMap } from '@strata/shared/repository/point-map.ts'
import { readPoint } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { DamagedPlaces } from './damaged-places.ts'
import { wrappedKeysOf } from './point-check.ts'

/** The base of a point is often the one before it, or its full: these few maps stay open. */
const openMapsMax = 4

/** What the points of one chain have to know of each other. */
export class ChainRun {
  readonly places = new DamagedPlaces()
  readonly #repository: Repository
  readonly #checked = new Set<number>()
  /** Maps of checked points, the one used last at the end. */
  readonly #maps = new Map<number, PointMap>()

  constructor(repository: Repository) {
    this.#repository = repository
  }

  checked(map: PointMap): void {
    this.#checked.add(map.point.sequence)
    this.#keep(map)
  }

  /**
   * A checked point that the one of `map` shares most with: its base, or else the one checked last. What they share is
   * intact only for whoever has the keys to it as well, so each of the other's keys must stand in the root of this one.
   */
  async referenceOf(map: PointMap): Promise<PointMap | null> {
    // Damage that was found and forgotten must not be taken for intact.
    if (this.places.overflowed) return null
    const base = map.point.manifest.base?.sequence
    const others = base !== undefined && this.#checked.has(base) ? [await this.#mapOf(map, base)] : this.#maps.values()
    const reference = [...others].findLast((other) => keysStandIn(other, map))
    if (reference === undefined) return null
    this.#keep(reference)
    return reference
  }

  async #mapOf({ point }: PointMap, sequence: number): Promise<PointMap> {
    const known = this.#maps.get(sequence)
    return known ?? (await PointMap.open(this.#repository, await readPoint(this.#repository, point.set, sequence)))
  }

  #keep(map: PointMap): void {
    this.#maps.delete(map.point.sequence)
    this.#maps.set(map.point.sequence, map)
    if (this.#maps.size <= openMapsMax) return
    const [oldest] = this.#maps.keys()
    if (oldest !== undefined) this.#maps.delete(oldest)
  }
}

function keysStandIn(reference: PointMap, map: PointMap): boolean {
  const keys = wrappedKeysOf(map)
  return [...wrappedKeysOf(reference)].every(([id, key]) => keys.get(id) === key)
}
