import { equalBytes } from '@strata/shared/format/bytes.ts'
import { packName, chainObjectOf, type ChainPlace } from '@strata/shared/format/names.ts'
import type { Page } from '@strata/shared/format/page.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { chainPrefix } from '@strata/shared/format/names.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { openPackEnd, readPackEnd } from '@strata/shared/repository/pack-end.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { RecordPlace, Repair } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isDamage } from '../../read/damage.ts'
import { readNode, readPages } from '../../read/map-pages.ts'
import type { BadPlaces } from './bad-places.ts'
import type { CollectedHit, LostRecord } from './hit-list.ts'
import { isSame, objectName } from './walk-chain.ts'

/** Repairs, and the wrapped data keys of the records that they lead to. */
export interface FoundRepairs {
  readonly repairs: readonly Repair[]
  readonly keys: readonly WrappedDataKey[]
}

type LostByPage = Map<number, Map<number, LostRecord[]>>

/**
 * Other records of the same blocks with the same digests: what an agent has sent again, or what another point stored once
 * more. The maps of the chain's points say where they are.
 */
export async function findRepairs(
  repository: Repository,
  place: ChainPlace,
  points: readonly Point[],
  lost: Iterable<CollectedHit & { readonly record: LostRecord }>,
  places: BadPlaces,
): Promise<FoundRepairs> {
  const search = new RepairSearch(places)
  for (const hit of lost) search.lose(hit)
  let after: PointMap | undefined
  // What was sent again is in the newest.
  for (const point of points.toReversed()) {
    if (search.isDone) break
    after = await search.lookIn(repository, point, after)
  }
  const repairs: Repair[] = []
  const keys = new Map<string, WrappedDataKey>()
  for (const [object, found] of Map.groupBy(search.repairs, ({ to }) => to.object)) {
    const keyOf = await keysIn(repository, place, object)
    for (const repair of found) {
      const key = keyOf(repair.to)
      if (key === undefined) continue
      repairs.push(repair)
      keys.set(key.keyId, key)
    }
  }
  return { repairs, keys: [...keys.values()] }
}

class RepairSearch {
  readonly repairs: Repair[] = []
  readonly #places: BadPlaces
  readonly #disks = new Map<number, LostByPage>()

  constructor(places: BadPlaces) {
    this.#places = places
  }

  get isDone(): boolean {
    return this.#disks.size === 0
  }

  lose({ disk, block, record }: CollectedHit & { readonly record: LostRecord }): void {
    const pages = this.#disks.get(disk) ?? new Map<number, Map<number, LostRecord[]>>()
    const blocks = pages.get(Math.floor(block / pageEntriesMax)) ?? new Map<number, LostRecord[]>()
    blocks.set(block, [...(blocks.get(block) ?? []), record])
    pages.set(Math.floor(block / pageEntriesMax), blocks)
    this.#disks.set(disk, pages)
  }

  /** @param after the map that was looked through before; what both share is not read again */
  async lookIn(repository: Repository, point: Point, after: PointMap | undefined): Promise<PointMap | undefined> {
    let map: PointMap
    try {
      map = await PointMap.open(repository, point)
    } catch (error) {
      if (isDamage(error)) return after
      throw error
    }
    for (const [disk, pages] of this.#disks) {
      if (map.root.disks[disk] === undefined) continue
      const wanted: number[] = []
      for (const number of [...pages.keys()].sort((a, b) => a - b)) {
        if (await isElsewhere(map, after, disk, number)) wanted.push(number)
      }
      for await (const reading of readPages(map, disk, wanted)) if ('page' in reading) this.#take(disk, reading.page)
    }
    return map
  }

  #take(disk: number, page: Page): void {
    const pages = this.#disks.get(disk)
    const blocks = pages?.get(page.number)
    if (pages === undefined || blocks === undefined) return
    for (const [block, records] of blocks) {
      const entry = block % pageEntriesMax
      const place = entry < page.entryCount ? page.place(entry) : undefined
      if (place === undefined) continue
      const { offset, length } = place
      const to: RecordPlace = { object: objectName('data', place.pack), offset, length }
      if (this.#places.isBad(to)) continue
      const left = records.filter(({ digest }) => !equalBytes(digest, page.digest(entry)))
      for (const { place: from, digest } of records) {
        if (equalBytes(digest, page.digest(entry))) this.repairs.push({ from, to })
      }
      if (left.length > 0) blocks.set(block, left)
      else blocks.delete(block)
    }
    if (blocks.size === 0) pages.delete(page.number)
    if (pages.size === 0) this.#disks.delete(disk)
  }
}

/** Whether a point has another page under a number than the one that was looked at before. */
async function isElsewhere(map: PointMap, after: PointMap | undefined, disk: number, page: number): Promise<boolean> {
  if (page >= map.counts(disk).pages) return false
  const number = Math.floor(page / pageEntriesMax)
  const reading = await readNode(map, disk, number)
  if ('error' in reading) return false
  const place = reading.node.place(page % pageEntriesMax)
  if (place === undefined) return false
  if (after === undefined || page >= after.counts(disk).pages) return true
  const readingAfter = await readNode(after, disk, number)
  return 'error' in readingAfter || !isSame(place, readingAfter.node.place(page % pageEntriesMax))
}

/** Which of a pack's data keys the record at a place is sealed under; nothing at all where the pack's end is no good. */
async function keysIn(
  repository: Repository,
  place: ChainPlace,
  object: string,
): Promise<(record: RecordPlace) => WrappedDataKey | undefined> {
  const name = chainPrefix(place) + object
  const parsed = chainObjectOf(place, name)
  const info = await repository.store.head(name)
  if (parsed?.kind !== 'data' || info === undefined) return () => undefined
  try {
    const end = await readPackEnd(repository, packName(place, 'data', parsed.reference), info.sizeBytes)
    const { footer, pieces } = openPackEnd(repository, name, info.sizeBytes, end)
    const byOffset = new Map<number, WrappedDataKey | undefined>()
    for (const entry of footer.entries) {
      if (entry.state === 'record') byOffset.set(pieces[entry.piece]?.offset ?? -1, footer.dataKeys[entry.key])
    }
    return ({ offset }) => byOffset.get(offset)
  } catch (error) {
    if (isDamage(error)) return () => undefined
    throw error
  }
}
