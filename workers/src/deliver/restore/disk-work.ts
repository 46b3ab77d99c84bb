import type { StrataError } from '@strata/shared/errors.ts'
import { packName } from '@strata/shared/format/names.ts'
import type { Page, Place } from '@strata/shared/format/page.ts'
import { pageEntriesMax, readWindowPagesMax, readWindowRecordsMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Damage } from '../../read/damage.ts'
import { readNode, readPages } from '../../read/map-pages.ts'
import { blockRange, type ReadDisk, type WantedRecord } from '../../read/record-opener.ts'
import type { ReadWork } from '../../read/record-reader.ts'
import { ZeroRanges } from '../../read/zero-ranges.ts'

/** Blocks `from` up to, without, `to`. */
export interface BlockSpan {
  readonly from: number
  readonly to: number
}

export interface DiskWorkOptions {
  readonly map: PointMap
  readonly index: number
  readonly disk: ReadDisk
  readonly span: BlockSpan
  /** Size of a target that holds other bytes already; null where everything unwritten reads as zeros. */
  readonly zeroingBytes: number | null
  readonly onDamage: (damage: Damage) => void
  /** Bytes of blocks that are zero in the point. */
  readonly onZeros?: (bytes: number) => void
}

/** What has to be read, and zeroed, to restore a part of a disk: window by window, in the order of the disk. */
export async function* diskWork(options: DiskWorkOptions): AsyncGenerator<ReadWork> {
  const { map, index, span } = options
  const collector = new Collector(options)
  for (const node of partsOf(span, pageEntriesMax * pageEntriesMax)) {
    const place = map.disk(index).nodes.place(node.number)
    if (place === undefined) {
      yield* zerosWork(collector, node)
      continue
    }
    const reading = await readNode(map, index, node.number)
    if ('error' in reading) collector.addLost(node, place, reading.error)
    else yield* pagesWork(options, collector, reading.node, node)
    if (collector.isFull) yield collector.take()
  }
  yield collector.take()
}

/** An absent node can stand for terabytes, and what must be zeroed there is bounded by windows as well. */
function* zerosWork(collector: Collector, span: BlockSpan): Generator<ReadWork> {
  for (const { from, to } of partsOf(span, readWindowPagesMax * pageEntriesMax)) {
    collector.addZeros(from, to)
    if (collector.isFull) yield collector.take()
  }
}

async function* pagesWork(
  { map, index }: DiskWorkOptions,
  collector: Collector,
  node: Page,
  span: BlockSpan,
): AsyncGenerator<ReadWork> {
  const parts = partsOf(span, pageEntriesMax)
  const stored = parts.filter(({ number }) => node.place(number % pageEntriesMax) !== undefined)
  const pages = readPages(
    map,
    index,
    stored.map(({ number }) => number),
  )
  for (const part of parts) {
    const place = node.place(part.number % pageEntriesMax)
    if (place === undefined) {
      collector.addZeros(part.from, part.to)
    } else {
      const { value: reading, done } = await pages.next()
      if (done === true) break
      if ('error' in reading) collector.addLost(part, place, reading.error)
      else collector.addPage(reading.page, part)
    }
    if (collector.isFull) yield collector.take()
  }
}

/** The parts of `span` that lie in units of `unitBlocks` blocks. */
function partsOf(span: BlockSpan, unitBlocks: number): (BlockSpan & { readonly number: number })[] {
  const parts: (BlockSpan & { readonly number: number })[] = []
  for (let number = Math.floor(span.from / unitBlocks); number * unitBlocks < span.to; number += 1) {
    const from = Math.max(span.from, number * unitBlocks)
    parts.push({ number, from, to: Math.min(span.to, (number + 1) * unitBlocks) })
  }
  return parts
}

class Collector {
  readonly #options: DiskWorkOptions
  readonly #zeros: ZeroRanges | undefined
  #records: WantedRecord[] = []
  #blocks = 0

  constructor(options: DiskWorkOptions) {
    this.#options = options
    if (options.zeroingBytes !== null) this.#zeros = new ZeroRanges(options.zeroingBytes)
  }

  get isFull(): boolean {
    return this.#records.length >= readWindowRecordsMax || this.#blocks >= readWindowPagesMax * pageEntriesMax
  }

  take(): ReadWork {
    const work = { records: this.#records, zeros: this.#zeros?.take() ?? [] }
    this.#records = []
    this.#blocks = 0
    return work
  }

  addZeros(from: number, to: number): void {
    const bytes = this.#zero(from, to)
    this.#options.onZeros?.(bytes)
  }

  addLost({ from, to }: BlockSpan, place: Place, { code, message }: StrataError): void {
    const { disk, map, onDamage } = this.#options
    const pack = packName(map.place, 'map', place.pack)
    const where = { pack, packOffsetBytes: place.offset, packLengthBytes: place.length }
    onDamage({ ...blockRange(disk, from, to - from), ...where, code, message })
    this.#zero(from, to)
  }

  addPage(page: Page, { from, to }: BlockSpan): void {
    const names = new Map(page.references.map((pack) => [pack, packName(this.#options.map.place, 'data', pack)]))
    for (let block = from; block < to; block += 1) {
      const entry = block % pageEntriesMax
      const place = page.place(entry)
      if (place === undefined) this.addZeros(block, block + 1)
      else {
        this.#blocks += 1
        const object = names.get(place.pack) ?? packName(this.#options.map.place, 'data', place.pack)
        this.#records.push({ object, offset: place.offset, length: place.length, block, digest: page.digest(entry) })
      }
    }
  }

  #zero(from: number, to: number): number {
    const { offsetBytes, lengthBytes } = blockRange(this.#options.disk, from, to - from)
    this.#blocks += to - from
    this.#zeros?.add(offsetBytes, lengthBytes)
    return lengthBytes
  }
}
