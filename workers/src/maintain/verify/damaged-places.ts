import { damagedPlacesMax, pageEntriesMax } from '@strata/shared/limits.ts'
import type { Damage } from '../../read/damage.ts'

/** Points share a place only for the same block of the same disk. */
type PlaceKey = Pick<Damage, 'disk' | 'block' | 'pack' | 'packOffsetBytes'>

/** A damaged place of one chain, and the points that need it. */
export interface DamagedPlace {
  readonly damage: Damage
  readonly points: string[]
  /** What it did not open with. Empty: it is damaged for everybody, whichever keys they have. */
  readonly triedKeys: TriedKey[]
}

/** A data key as the root of a point has it; `wrapped` is undefined where the root does not have it. */
export interface TriedKey {
  readonly keyId: string
  readonly wrapped: string | undefined
}

/**
 * What is known to be damaged in one chain. Points share places, so what one point has shown is true of the others.
 *
 * Bounded: once full, it says so, and whoever skips what an earlier point has shown must stop skipping.
 */
export class DamagedPlaces {
  readonly #placesMax: number
  readonly #places = new Map<string, DamagedPlace>()
  /** Numbers of the pages with damage in or below them, by disk. */
  readonly #pages = new Map<string, Set<number>>()
  #overflowed = false

  constructor(placesMax: number = damagedPlacesMax) {
    this.#placesMax = placesMax
  }

  get overflowed(): boolean {
    return this.#overflowed
  }

  get isEmpty(): boolean {
    return this.#places.size === 0
  }

  /** Damage that hits a point, whether it is new or not. Without room for it, it is forgotten. */
  addFor(point: string, damage: Damage, triedKey?: TriedKey): void {
    const place = this.#placeOf(damage)
    if (place === undefined) return
    if (place.points.at(-1) !== point) place.points.push(point)
    if (triedKey !== undefined && !place.triedKeys.some((tried) => areOneKey(tried, triedKey))) {
      place.triedKeys.push(triedKey)
    }
  }

  find(place: PlaceKey): DamagedPlace | undefined {
    return this.#places.get(keyOf(place))
  }

  /** Whether page `page` of `disk` has damage in or below it. */
  hasPage(disk: string, page: number): boolean {
    return this.#pages.get(disk)?.has(page) === true
  }

  hasNode(disk: string, node: number): boolean {
    for (const page of this.#pages.get(disk) ?? []) if (Math.floor(page / pageEntriesMax) === node) return true
    return false
  }

  all(): Iterable<DamagedPlace> {
    return this.#places.values()
  }

  #placeOf(damage: Damage): DamagedPlace | undefined {
    const key = keyOf(damage)
    const known = this.#places.get(key)
    if (known !== undefined) return known
    if (this.#places.size >= this.#placesMax) {
      this.#overflowed = true
      return undefined
    }
    const place: DamagedPlace = { damage, points: [], triedKeys: [] }
    this.#places.set(key, place)
    const pages = this.#pages.get(damage.disk) ?? new Set()
    // Of a node or root, which is many pages, the first: whoever comes to it meets the damaged place above all others.
    pages.add(Math.floor(damage.block / pageEntriesMax))
    this.#pages.set(damage.disk, pages)
    return place
  }
}

function areOneKey(a: TriedKey, b: TriedKey): boolean {
  return a.keyId === b.keyId && a.wrapped === b.wrapped
}

function keyOf({ disk, block, pack, packOffsetBytes }: PlaceKey): string {
  return `${pack}#${String(packOffsetBytes)}#${String(block)}#${disk}`
}
