import { invariant } from '@strata/shared/errors.ts'
import { packName } from '@strata/shared/format/names.ts'
import type { Page } from '@strata/shared/format/page.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import { imagePagesKeptMax, pageEntriesMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import type { WantedRecord } from '../../read/record-opener.ts'
import { addExtent, type Extent } from './disk-image.ts'

/** Where the blocks of one disk of a point lie. Pages that were used last are kept. */
export class MapLookup {
  readonly #map: PointMap
  readonly #disk: number
  readonly #pages = new RecentlyUsed<number, Promise<Page | undefined>>(imagePagesKeptMax)

  constructor(map: PointMap, disk: number) {
    this.#map = map
    this.#disk = disk
  }

  /** The records of blocks `from` to `to`, without the last one; undefined for a block of zeros. */
  async records(from: number, to: number): Promise<(WantedRecord | undefined)[]> {
    const records: (WantedRecord | undefined)[] = []
    for (let block = from; block < to; block += 1) {
      const page = await this.#page(Math.floor(block / pageEntriesMax))
      const entry = block % pageEntriesMax
      const place = page?.place(entry)
      records.push(
        page === undefined || place === undefined
          ? undefined
          : {
              block,
              digest: page.digest(entry),
              object: packName(this.#map.place, 'data', place.pack),
              offset: place.offset,
              length: place.length,
            },
      )
    }
    return records
  }

  /** What lies in a range of bytes of the disk, by whole blocks but for its ends. */
  async extents(offset: number, length: number, countMax: number): Promise<Extent[]> {
    const { blockBytes } = this.#map.disk(this.#disk)
    const extents: Extent[] = []
    const end = offset + length
    for (let at = offset; at < end;) {
      const block = Math.floor(at / blockBytes)
      const page = await this.#page(Math.floor(block / pageEntriesMax))
      const isZero = page?.place(block % pageEntriesMax) === undefined
      // A page of zeros is passed as one.
      const blocks = page === undefined ? pageEntriesMax - (block % pageEntriesMax) : 1
      const next = Math.min(end, (block + blocks) * blockBytes)
      if (extents.length === countMax && extents.at(-1)?.isZero !== isZero) break
      addExtent(extents, next - at, isZero)
      at = next
    }
    return extents
  }

  /** undefined: all of it is zeros. */
  #page(number: number): Promise<Page | undefined> {
    return this.#pages.get(number, () => {
      const page = this.#read(number)
      page.catch(() => {
        this.#pages.delete(number)
      })
      return page
    })
  }

  async #read(number: number): Promise<Page | undefined> {
    const node = await this.#map.node(this.#disk, Math.floor(number / pageEntriesMax))
    if (node.isZero(number % pageEntriesMax)) return undefined
    for await (const page of this.#map.pages(this.#disk, [number])) return page
    invariant(false, `page ${String(number)} was not read`)
  }
}
