import { equalBytes } from '@strata/shared/format/bytes.ts'
import { packKey } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { copiedPackBytesMax, copiedPackBytesMin, footerEntriesMax, pageEntriesMax } from '@strata/shared/limits.ts'
import type { BlockChange, PageChanges } from '@strata/shared/repository/map-writer.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import type { LiveRecord } from './plan-packs.ts'

/** What a session still has to bring to be the same as a point: blocks for one pack. */
export interface MissingBlocks {
  /** By ascending block. */
  readonly records: readonly LiveRecord[]
  /** Blocks that the session has and that are zeros in the point. Ascending. */
  readonly zeroBlocks: readonly number[]
}

/**
 * Compares one disk of a point with what a session has of it, page by page, and gives what is missing in portions of a
 * pack. Reads the point's map once; memory does not depend on the disk.
 * @param placeOf where the record that a map has at a place really is to be read
 */
export async function* missingBlocks(
  map: PointMap,
  disk: number,
  had: AsyncIterable<PageChanges>,
  placeOf: (place: Place) => Place,
): AsyncGenerator<MissingBlocks> {
  let portion = new Portion()
  for await (const { page, changes } of byPage(storedPages(map, disk), had)) {
    for (const missing of differencesOf(page, changes, placeOf)) {
      if (portion.isFullBefore(missing)) {
        yield portion
        portion = new Portion()
      }
      portion.add(missing)
    }
  }
  if (!portion.isEmpty) yield portion
}

class Portion implements MissingBlocks {
  readonly records: LiveRecord[] = []
  readonly zeroBlocks: number[] = []
  readonly #packs = new Set<string>()
  #bytes = 0

  get isEmpty(): boolean {
    return this.records.length + this.zeroBlocks.length === 0
  }

  isFullBefore({ record }: Difference): boolean {
    if (this.records.length + this.zeroBlocks.length === footerEntriesMax) return true
    if (record === undefined || this.#bytes < copiedPackBytesMin) return false
    return this.#bytes >= copiedPackBytesMax || !this.#packs.has(packKey(record.place.pack))
  }

  add({ block, record }: Difference): void {
    if (record === undefined) {
      this.zeroBlocks.push(block)
      return
    }
    this.records.push(record)
    this.#packs.add(packKey(record.place.pack))
    this.#bytes += record.place.length
  }
}

/** The pages of a disk that have any record. */
async function* storedPages(map: PointMap, disk: number): AsyncGenerator<Page> {
  const { nodes } = map.disk(disk)
  for (let number = 0; number < nodes.entryCount; number += 1) {
    if (nodes.isZero(number)) continue
    const node = await map.node(disk, number)
    const pages = Array.from({ length: node.entryCount }, (_, entry) => entry).filter((entry) => !node.isZero(entry))
    yield* map.pages(
      disk,
      pages.map((entry) => number * pageEntriesMax + entry),
    )
  }
}

interface PagePair {
  readonly page: Page | undefined
  readonly changes: readonly BlockChange[]
}

/** Joins two sequences by ascending page number. */
async function* byPage(pages: AsyncGenerator<Page>, had: AsyncIterable<PageChanges>): AsyncGenerator<PagePair> {
  let next = await pages.next()
  for await (const { page: number, changes } of had) {
    while (next.done !== true && next.value.number < number) {
      yield { page: next.value, changes: [] }
      next = await pages.next()
    }
    if (next.done !== true && next.value.number === number) {
      yield { page: next.value, changes }
      next = await pages.next()
    } else yield { page: undefined, changes }
  }
  while (next.done !== true) {
    yield { page: next.value, changes: [] }
    next = await pages.next()
  }
}

interface Difference {
  readonly block: number
  /** undefined: the block is zeros. */
  readonly record: LiveRecord | undefined
}

function* differencesOf(
  page: Page | undefined,
  changes: readonly BlockChange[],
  placeOf: (place: Place) => Place,
): Generator<Difference> {
  const had = new Map(changes.map((change) => [change.block, change]))
  if (page !== undefined) {
    for (let entry = 0; entry < page.entryCount; entry += 1) {
      const place = page.place(entry)
      if (place === undefined) continue
      const block = page.number * pageEntriesMax + entry
      const digest = page.digest(entry)
      const change = had.get(block)
      had.delete(block)
      if (change?.state === 'record' && equalBytes(change.digest, digest)) continue
      yield { block, record: { block, digest, place: placeOf(place) } }
    }
  }
  // What is left of them is zeros in the point.
  for (const { block, state } of had.values()) if (state === 'record') yield { block, record: undefined }
}
