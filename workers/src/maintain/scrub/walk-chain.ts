import { StrataError } from '@strata/shared/errors.ts'
import { samePack } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { diskCounts, entriesIn } from '@strata/shared/format/root.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { RecordPlace } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isDamage } from '../../read/damage.ts'
import { readNode, readPages } from '../../read/map-pages.ts'
import type { BadPlace, BadPlaces } from './bad-places.ts'
import { HitList, type Hit } from './hit-list.ts'

/**
 * Which blocks of which points need what is bad, and whether all that they need is there. It reads the maps of all points
 * of one chain, with the index keys; what a point shares with the one before was looked at there, and is not read again.
 */
export interface WalkOptions {
  readonly repository: Repository
  /** Those of the chain that are there, by ascending number. */
  readonly points: readonly Point[]
  readonly places: BadPlaces
  /** Pages to look at; left out: all. */
  readonly only?: ((disk: number, page: number) => boolean) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Errors: E_INTERRUPTED, and those of the store. Maps that cannot be read are damage, and no error. */
export async function walkChain(options: WalkOptions): Promise<HitList> {
  const walk = new ChainWalk(options)
  for (const point of options.points) await walk.point(point)
  return walk.hits
}

/** What is lost of one disk in the point that was looked at last. */
interface DiskState {
  /** By number of the node. */
  readonly nodes: Map<number, Hit>
  /** By number of the page. */
  readonly pages: Map<number, readonly Hit[]>
}

class ChainWalk {
  readonly hits = new HitList()
  readonly #options: WalkOptions
  #before: PointMap | undefined
  #disks: DiskState[] = []

  constructor(options: WalkOptions) {
    this.#options = options
  }

  async point(point: Point): Promise<void> {
    const opened = await this.#open(point)
    if (opened === undefined) {
      // Whatever the point before has shown is no help for the next one.
      this.#before = undefined
      return
    }
    if (this.#before === undefined) this.#disks = []
    for (const index of opened.root.disks.keys()) {
      this.#disks[index] ??= { nodes: new Map(), pages: new Map() }
      await this.#disk(opened, index, this.#disks[index])
    }
    this.#before = opened
    for (const { nodes, pages } of this.#disks) {
      for (const hit of nodes.values()) this.hits.add(hit, point.sequence)
      for (const [number, ofPage] of pages) {
        if (!nodes.has(nodeOf(number))) for (const hit of ofPage) this.hits.add(hit, point.sequence)
      }
    }
  }

  /** A root that cannot be read takes all of the point's disks with it. */
  async #open(point: Point): Promise<PointMap | undefined> {
    const { repository } = this.#options
    try {
      return await PointMap.open(repository, point)
    } catch (error) {
      if (!isDamage(error)) throw error
      const { session, number, attempt, offset, length } = point.manifest.root
      const place = placeOf('map', { pack: { session: session as never, number, attempt }, offset, length })
      const cause = { ...place, code: error.code, message: error.message }
      for (const [disk, { sizeBytes, blockBytes }] of point.manifest.disks.entries()) {
        const { blocks } = diskCounts(sizeBytes, blockBytes)
        this.hits.add({ cause, disk, block: 0, blocks }, point.sequence)
      }
      return undefined
    }
  }

  async #disk(map: PointMap, index: number, state: DiskState): Promise<void> {
    const { nodes } = map.disk(index)
    const nodesBefore = this.#before?.root.disks[index]?.nodes
    const { blocks } = map.counts(index)
    for (let number = 0; number < nodes.entryCount; number += 1) {
      this.#stopIfAsked()
      const place = nodes.place(number)
      const placeBefore = placeIn(nodesBefore, number)
      if (isSame(place, placeBefore)) continue
      const wasLost = state.nodes.delete(number)
      if (place === undefined) {
        forgetNode(state, number)
        continue
      }
      const reading = await readNode(map, index, number)
      if ('error' in reading) {
        const { code, message } = reading.error
        const block = number * pageEntriesMax * pageEntriesMax
        const cause = { ...placeOf('map', place), code, message }
        state.nodes.set(number, {
          cause,
          disk: index,
          block,
          blocks: Math.min(pageEntriesMax * pageEntriesMax, blocks - block),
        })
        forgetNode(state, number)
        continue
      }
      const before = wasLost || placeBefore === undefined ? undefined : await this.#nodeBefore(index, number)
      await this.#pages(map, index, reading.node, before, state)
    }
  }

  async #nodeBefore(index: number, number: number): Promise<Page | undefined> {
    if (this.#before === undefined) return undefined
    const reading = await readNode(this.#before, index, number)
    return 'node' in reading ? reading.node : undefined
  }

  async #pages(map: PointMap, index: number, node: Page, before: Page | undefined, state: DiskState): Promise<void> {
    const { only } = this.#options
    const changed: number[] = []
    for (let entry = 0; entry < node.entryCount; entry += 1) {
      const number = node.number * pageEntriesMax + entry
      const place = node.place(entry)
      if (isSame(place, placeIn(before, entry)) || only?.(index, number) === false) continue
      state.pages.delete(number)
      if (place !== undefined) changed.push(number)
    }
    for await (const reading of readPages(map, index, changed)) {
      const hits = 'page' in reading ? this.#hitsOf(index, reading.page) : [this.#lostPage(map, index, node, reading)]
      if (hits.length > 0) state.pages.set(reading.number, hits)
    }
  }

  #hitsOf(disk: number, page: Page): Hit[] {
    const { places } = this.#options
    const names = new Map(page.references.map((pack) => [pack, objectName('data', pack)]))
    const hits: Hit[] = []
    for (let entry = 0; entry < page.entryCount; entry += 1) {
      const place = page.place(entry)
      if (place === undefined) continue
      const { offset, length } = place
      const record = { object: names.get(place.pack) ?? objectName('data', place.pack), offset, length }
      const cause = places.causeOf(record)
      if (cause === undefined) continue
      const block = page.number * pageEntriesMax + entry
      hits.push({ cause, disk, block, blocks: 1, record: { place: record, digest: page.digest(entry).slice() } })
    }
    return hits
  }

  #lostPage(
    map: PointMap,
    disk: number,
    node: Page,
    { number, error }: { readonly number: number; readonly error: StrataError },
  ): Hit {
    const place = node.place(number % pageEntriesMax)
    if (place === undefined) throw new StrataError('E_BUG', 'a page that was read has a place')
    const cause: BadPlace = { ...placeOf('map', place), code: error.code, message: error.message }
    const blocks = entriesIn(number, map.counts(disk).blocks)
    return { cause, disk, block: number * pageEntriesMax, blocks }
  }

  #stopIfAsked(): void {
    if (this.#options.signal?.aborted !== true) return
    throw new StrataError('E_INTERRUPTED', 'interrupted while maps were looked through')
  }
}

function forgetNode({ pages }: DiskState, node: number): void {
  for (const page of pages.keys()) if (nodeOf(page) === node) pages.delete(page)
}

function nodeOf(page: number): number {
  return Math.floor(page / pageEntriesMax)
}

function placeIn(page: Page | undefined, entry: number): Place | undefined {
  return page !== undefined && entry < page.entryCount ? page.place(entry) : undefined
}

/** Whether two maps have the very same stored bytes, or both have zeros. */
export function isSame(a: Place | undefined, b: Place | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.offset === b.offset && a.length === b.length && samePack(a.pack, b.pack)
}

/** A pack's name below its chain. */
export function objectName(kind: 'data' | 'map', { session, number, attempt }: Place['pack']): string {
  return `${session}/${kind}-${String(number).padStart(8, '0')}-${attempt}`
}

function placeOf(kind: 'data' | 'map', { pack, offset, length }: Place): RecordPlace {
  return { object: objectName(kind, pack), offset, length }
}
