import type { StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { encodeWrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { packName, samePack } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { entriesIn } from '@strata/shared/format/root.ts'
import { pageEntriesMax, readWindowRecordsMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import { pointId } from '@strata/shared/repository/points.ts'
import { DamageList, type Damage } from '../../read/damage.ts'
import { readNode, readPages } from '../../read/map-pages.ts'
import { blockRange, type ReadDisk, type WantedRecord } from '../../read/record-opener.ts'
import type { ReadWork } from '../../read/record-reader.ts'
import type { DamagedPlaces } from './damaged-places.ts'

/**
 * Walks the map of one point and finds what must be read to know that the point is intact.
 *
 * A point shares with its base every node, page and record that did not change, at the same place for the same block.
 * So when the base was checked in the same run, everything at the same place is skipped, with no record of what was
 * read: comparing the two maps tells. Damage that was found there is looked up among the chain's damaged places, and
 * counts for this point too.
 */
export interface PointCheckOptions {
  readonly map: PointMap
  /** A point that was checked in this run, or null. */
  readonly reference: PointMap | null
  readonly places: DamagedPlaces
  /** Only looks up what is known to be damaged. */
  readonly lookUpOnly: boolean
}

export interface DiskContext {
  readonly index: number
  readonly disk: ReadDisk
}

export class PointCheck {
  readonly damage: DamageList
  readonly #options: PointCheckOptions
  readonly #point: string
  /** As the root has them, by id. */
  readonly #wrappedKeys: ReadonlyMap<string, string>

  constructor(options: PointCheckOptions, damage: DamageList) {
    this.#options = options
    this.#point = pointId(options.map.point)
    this.#wrappedKeys = wrappedKeysOf(options.map)
    this.damage = damage
  }

  get disks(): DiskContext[] {
    const { map } = this.#options
    return map.root.disks.map(({ sizeBytes, blockBytes }, index) => {
      const name = map.point.manifest.disks[index]?.name ?? ''
      return { index, disk: { name, sizeBytes, blockBytes } }
    })
  }

  /** Counts newly found damage for this point. `keyId`: of the key that did not open it. */
  readonly lose = (damage: Damage, keyId?: string): void => {
    const triedKey = keyId === undefined ? undefined : { keyId, wrapped: this.#wrappedKeys.get(keyId) }
    this.#options.places.addFor(this.#point, damage, triedKey)
    this.damage.add(damage)
  }

  /** The records of one disk that have to be read. */
  async *work(context: DiskContext): AsyncGenerator<ReadWork> {
    const { map } = this.#options
    let records: WantedRecord[] = []
    const { nodes } = map.disk(context.index)
    for (let number = 0; number < nodes.entryCount; number += 1) {
      const place = nodes.place(number)
      if (place === undefined) continue
      for await (const page of this.#pagesBelow(context, number, place)) {
        for (const record of this.#recordsOf(context, page)) records.push(record)
        if (records.length >= readWindowRecordsMax) {
          yield { records, zeros: [] }
          records = []
        }
      }
    }
    yield { records, zeros: [] }
  }

  async *#pagesBelow({ index, disk }: DiskContext, number: number, place: Place): AsyncGenerator<PagePair> {
    const { map, reference, places, lookUpOnly } = this.#options
    const firstBlock = number * pageEntriesMax * pageEntriesMax
    if (this.#isKnown(disk, firstBlock, packName(map.place, 'map', place.pack), place.offset)) return
    const referenceNodes = reference?.root.disks[index]?.nodes
    const shared = lookUpOnly || isShared(map.disk(index).nodes, referenceNodes, number)
    if (shared && !places.hasNode(disk.name, number)) return
    const blocks = Math.min(pageEntriesMax * pageEntriesMax, map.counts(index).blocks - firstBlock)
    const reading = await readNode(map, index, number)
    if ('error' in reading) {
      this.#losePart(disk, firstBlock, blocks, place, reading.error)
      return
    }
    const referenceNode = shared ? reading.node : await this.#referenceNode(index, number)
    yield* this.#changedPages({ index, disk }, reading.node, referenceNode)
  }

  async *#changedPages(
    { index, disk }: DiskContext,
    node: Page,
    referenceNode: Page | undefined,
  ): AsyncGenerator<PagePair> {
    const { map, reference, places } = this.#options
    const wanted: { readonly number: number; readonly place: Place; readonly shared: boolean }[] = []
    for (let entry = 0; entry < node.entryCount; entry += 1) {
      const place = node.place(entry)
      const number = node.number * pageEntriesMax + entry
      if (place === undefined) continue
      if (this.#isKnown(disk, number * pageEntriesMax, packName(map.place, 'map', place.pack), place.offset)) continue
      const shared = referenceNode !== undefined && isShared(node, referenceNode, entry)
      if (!shared || places.hasPage(disk.name, number)) wanted.push({ number, place, shared })
    }
    const inReference = wanted.filter(
      ({ number, shared }) => !shared && referenceNode?.place(number % pageEntriesMax) !== undefined,
    )
    const pages = readPages(
      map,
      index,
      wanted.map(({ number }) => number),
    )
    const referencePages =
      reference === null
        ? undefined
        : readPages(
            reference,
            index,
            inReference.map(({ number }) => number),
          )
    const paired = new Set(inReference.map(({ number }) => number))
    for (const { number, place, shared } of wanted) {
      const { value: reading, done } = await pages.next()
      const referenceReading = paired.has(number) ? (await referencePages?.next())?.value : undefined
      if (done === true) return
      if ('error' in reading) {
        const blocks = entriesIn(number, map.counts(index).blocks)
        this.#losePart(disk, number * pageEntriesMax, blocks, place, reading.error)
        continue
      }
      // A page of the reference that cannot be read has shown nothing.
      const known = referenceReading !== undefined && 'page' in referenceReading ? referenceReading.page : undefined
      yield { page: reading.page, reference: shared ? reading.page : known }
    }
  }

  async #referenceNode(index: number, number: number): Promise<Page | undefined> {
    const { reference } = this.#options
    const disk = reference?.root.disks[index]
    if (reference === null || disk === undefined || number >= disk.nodes.entryCount) return undefined
    const reading = await readNode(reference, index, number)
    return 'node' in reading ? reading.node : undefined
  }

  *#recordsOf({ disk }: DiskContext, { page, reference }: PagePair): Generator<WantedRecord> {
    const { map, places, lookUpOnly } = this.#options
    const lookUp = places.hasPage(disk.name, page.number)
    const names = new Map(page.references.map((pack) => [pack, packName(map.place, 'data', pack)]))
    for (let entry = 0; entry < page.entryCount; entry += 1) {
      const place = page.place(entry)
      if (place === undefined) continue
      const block = page.number * pageEntriesMax + entry
      const object = names.get(place.pack) ?? packName(map.place, 'data', place.pack)
      const known = lookUp ? this.#knowledgeOf(disk, block, object, place.offset) : 'none'
      if (known === 'damaged' || lookUpOnly) continue
      // Damaged for another point's keys: what this one's are worth, only reading tells.
      if (known === 'none' && reference !== undefined && isShared(page, reference, entry)) continue
      yield { object, offset: place.offset, length: place.length, block, digest: page.digest(entry) }
    }
  }

  /** Whether the place is known to be damaged; then it counts for this point. */
  #isKnown(disk: ReadDisk, block: number, pack: string, packOffsetBytes: number): boolean {
    return this.#knowledgeOf(disk, block, pack, packOffsetBytes) === 'damaged'
  }

  /** What others have shown of a place. What is damaged for them and not open to these keys either counts for this point. */
  #knowledgeOf(
    disk: ReadDisk,
    block: number,
    pack: string,
    packOffsetBytes: number,
  ): 'none' | 'damaged' | 'damaged for other keys' {
    const known = this.#options.places.find({ disk: disk.name, block, pack, packOffsetBytes })
    if (known === undefined) return 'none'
    const { damage, triedKeys } = known
    const own = triedKeys.find(({ keyId, wrapped }) => this.#wrappedKeys.get(keyId) === wrapped)
    if (triedKeys.length > 0 && own === undefined) return 'damaged for other keys'
    this.lose(damage, own?.keyId)
    return 'damaged'
  }

  #losePart(disk: ReadDisk, block: number, blocks: number, place: Place, { code, message }: StrataError): void {
    const pack = packName(this.#options.map.place, 'map', place.pack)
    const where = { pack, packOffsetBytes: place.offset, packLengthBytes: place.length }
    this.lose({ ...blockRange(disk, block, blocks), ...where, code, message })
  }
}

/** As whoever reads the point takes them: of two with one id the later. */
export function wrappedKeysOf({ root }: PointMap): Map<string, string> {
  return new Map(root.keys.map((key) => [key.keyId, Buffer.from(encodeWrappedDataKey(key)).toString('hex')]))
}

interface PagePair {
  readonly page: Page
  /** What the reference has for the same blocks, if that was checked. */
  readonly reference: Page | undefined
}

/** Whether two pages (or nodes) have the very same stored bytes for an entry. */
function isShared(page: Page, reference: Page | undefined, entry: number): boolean {
  if (reference === undefined || entry >= reference.entryCount) return false
  const a = page.place(entry)
  const b = reference.place(entry)
  if (a === undefined || b === undefined) return false
  const samePlace = a.offset === b.offset && a.length === b.length && samePack(a.pack, b.pack)
  return samePlace && equalBytes(page.digest(entry), reference.digest(entry))
}
