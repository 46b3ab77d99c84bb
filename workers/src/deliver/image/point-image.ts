import { invariant, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { imageCacheBytes, imageFetchBytesMax, imageReadAheadBytesMax, imageStreamsMax } from '@strata/shared/limits.ts'
import { ByteBudget } from '../../read/byte-budget.ts'
import type { Damage } from '../../read/damage.ts'
import { RecordOpener, type RecordSource, type WantedRecord } from '../../read/record-opener.ts'
import { BlockCache, type BlockSlot } from './block-cache.ts'
import type { DiskImage, Extent, ImagePart, ImageRead } from './disk-image.ts'
import type { MapLookup } from './map-lookup.ts'
import { ReadAhead } from './read-ahead.ts'

/**
 * One disk of a point, read anywhere and in any order. Opening it costs a root; what is read costs the pages and records
 * behind it, whatever the number of points in the chain. Each block is checked before any byte of it is given.
 *
 * Memory is that of the cache (`imageCacheBytes`), of the map's pages that were used last, and of what is being fetched. Half
 * of the cache is for those who wait, so a read always comes to its turn; the other half is for what is read ahead.
 */
export interface PointImageOptions extends RecordSource {
  readonly lookup: MapLookup
  /** A block that cannot be read, each time that it was tried. */
  readonly onDamage: (damage: Damage) => void
  /** Room for so many bytes of blocks. */
  readonly cacheBytes?: number
}

/** A slot that is to be filled. */
interface Missing {
  readonly slot: BlockSlot
  readonly record: WantedRecord
  /** Nobody has asked for it yet. */
  readonly isAhead: boolean
  readonly fail: (error: StrataError) => void
  readonly done: () => void
}

export class PointImage implements DiskImage {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly #options: PointImageOptions
  readonly #opener: RecordOpener
  readonly #cache: BlockCache
  readonly #budget: ByteBudget
  readonly #ahead: ReadAhead
  readonly #lost = new Map<number, Damage>()
  /** Slots that are being filled and that nobody has asked for yet. */
  #aheadCount = 0
  readonly #aheadMax: number

  constructor(options: PointImageOptions) {
    const { sizeBytes, blockBytes } = options.disk
    this.sizeBytes = sizeBytes
    this.blockBytes = blockBytes
    this.#options = options
    const { cacheBytes = imageCacheBytes } = options
    this.#cache = new BlockCache(blockBytes, cacheBytes / blockBytes)
    this.#budget = new ByteBudget(cacheBytes / 2)
    this.#aheadMax = cacheBytes / 2 / blockBytes
    this.#ahead = new ReadAhead({
      firstWindow: Math.max(1, imageFetchBytesMax / blockBytes),
      windowMax: imageReadAheadBytesMax / blockBytes,
      streamsMax: imageStreamsMax,
    })
    this.#opener = new RecordOpener({
      ...options,
      targetOf: (records) => ({ memory: this.#cache.memory, places: Float64Array.from(records, this.#placeOf) }),
      onOpened: () => undefined,
      onLost: async (lost) => {
        for (const { block, damage } of lost) this.#lost.set(block, damage)
        await Promise.resolve()
      },
    })
  }

  async extents(offset: number, length: number, countMax: number): Promise<Extent[]> {
    return await this.#options.lookup.extents(offset, length, countMax)
  }

  /** What is damaged: E_POINT_DAMAGED. */
  async read(offset: number, length: number): Promise<ImageRead> {
    const { blockBytes } = this
    invariant(length >= 1 && offset >= 0 && offset + length <= this.sizeBytes, 'a range of the disk')
    const from = Math.floor(offset / blockBytes)
    const to = Math.ceil((offset + length) / blockBytes)
    const budgetBytes = (to - from) * blockBytes
    await this.#budget.take(budgetBytes)
    const leased: BlockSlot[] = []
    const release = (): void => {
      for (const slot of leased.splice(0)) slot.leases -= 1
      this.#budget.give(budgetBytes)
    }
    try {
      const records = await this.#options.lookup.records(from, to)
      const slots = this.#lease(records, leased)
      this.#readAhead(from, to)
      await Promise.all(
        leased.map(async ({ filling }) => {
          await filling
        }),
      )
      return { parts: [...this.#parts(slots, from, offset, length)], heldBytes: budgetBytes, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** A slot for each record, filled or not yet. */
  #lease(records: readonly (WantedRecord | undefined)[], leased: BlockSlot[]): (BlockSlot | undefined)[] {
    const missing: Missing[] = []
    const slots = records.map((record) => {
      if (record === undefined) return undefined
      let slot = this.#cache.get(record.block)
      if (slot === undefined) {
        slot = this.#cache.reserve(record.block)
        invariant(slot !== undefined, 'the budget leaves room for whoever has his turn')
        missing.push(this.#missing(slot, record, false))
      }
      slot.leases += 1
      leased.push(slot)
      return slot
    })
    this.#fetch(missing)
    return slots
  }

  *#parts(
    slots: readonly (BlockSlot | undefined)[],
    firstBlock: number,
    offset: number,
    length: number,
  ): Generator<ImagePart> {
    let zeroBytes = 0
    for (const [index, slot] of slots.entries()) {
      const start = (firstBlock + index) * this.blockBytes
      const from = Math.max(0, offset - start)
      const to = Math.min(this.blockBytes, offset + length - start)
      if (slot === undefined) {
        zeroBytes += to - from
        continue
      }
      if (zeroBytes > 0) yield { zeroBytes }
      zeroBytes = 0
      yield { bytes: this.#cache.bytes(slot, from, to) }
    }
    if (zeroBytes > 0) yield { zeroBytes }
  }

  #readAhead(from: number, to: number): void {
    const span = this.#ahead.asked({ from, to })
    if (span === undefined) return
    const blocks = Math.ceil(this.sizeBytes / this.blockBytes)
    // What goes wrong here goes wrong again, and is told, when somebody wants it.
    this.#fetchAhead(Math.min(span.from, blocks), Math.min(span.to, blocks)).catch(() => undefined)
  }

  async #fetchAhead(from: number, to: number): Promise<void> {
    const missing: Missing[] = []
    for (const record of await this.#options.lookup.records(from, to)) {
      if (record === undefined || this.#cache.has(record.block)) continue
      const slot = this.#aheadCount < this.#aheadMax ? this.#cache.reserve(record.block) : undefined
      if (slot === undefined) break
      this.#aheadCount += 1
      missing.push(this.#missing(slot, record, true))
    }
    this.#fetch(missing)
  }

  #missing(slot: BlockSlot, record: WantedRecord, isAhead: boolean): Missing {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    promise.catch(() => undefined)
    slot.filling = promise
    return {
      slot,
      record,
      isAhead,
      fail: (error) => {
        this.#cache.drop(slot)
        reject(error)
      },
      done: () => {
        slot.filling = undefined
        resolve(undefined)
      },
    }
  }

  /** In portions, so that several threads have some and the first blocks are there soon. */
  #fetch(missing: readonly Missing[]): void {
    const portion = Math.max(1, imageFetchBytesMax / this.blockBytes)
    for (let at = 0; at < missing.length; at += portion) void this.#fill(missing.slice(at, at + portion))
  }

  async #fill(missing: readonly Missing[]): Promise<void> {
    const byBlock = new Map(missing.map((one) => [one.slot.block, one]))
    const settle = (error?: StrataError, blocks: Iterable<number> = [...byBlock.keys()]): void => {
      for (const block of blocks) {
        this.#settle(byBlock.get(block), error)
        byBlock.delete(block)
      }
    }
    try {
      const reads = await this.#opener.plan(missing.map(({ record }) => record))
      // Each for itself: as long as a thread may write to a slot, nobody else gets it.
      const reading = reads.map(async (read) => {
        const blocks = read.wanted.map(({ block }) => block)
        await this.#opener.read(read).then(
          () => {
            settle(undefined, blocks)
          },
          (error: unknown) => {
            settle(toStrataError(error), blocks)
          },
        )
      })
      await Promise.all(reading)
      // What could not be planned is lost.
      settle()
    } catch (error) {
      settle(toStrataError(error))
    }
  }

  #settle(missing: Missing | undefined, error: StrataError | undefined): void {
    if (missing === undefined) return
    const damage = this.#lost.get(missing.slot.block)
    this.#lost.delete(missing.slot.block)
    if (missing.isAhead) this.#aheadCount -= 1
    if (damage !== undefined) this.#options.onDamage(damage)
    const failure = error ?? (damage === undefined ? undefined : damagedError(damage))
    if (failure === undefined) missing.done()
    else missing.fail(failure)
  }

  readonly #placeOf = ({ block }: WantedRecord): number => {
    const slot = this.#cache.get(block)
    invariant(slot !== undefined, 'what is being filled keeps its slot')
    return slot.place
  }
}

function damagedError({ disk, block, code, message, pack }: Damage): StrataError {
  return new StrataError(
    'E_POINT_DAMAGED',
    `block ${String(block)} of disk '${disk}' cannot be read: ${code} in ${pack}: ${message}`,
  )
}
