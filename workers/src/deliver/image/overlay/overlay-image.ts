import { overlayUnitBytes } from '@strata/shared/limits.ts'
import {
  addExtent,
  cutParts,
  type DiskImage,
  type Extent,
  type ImagePart,
  type ImageRead,
  type WritableImage,
} from '../disk-image.ts'
import type { OverlayFiles } from './overlay-files.ts'
import { RangeLock } from './range-lock.ts'
import type { UnitRun } from './unit-set.ts'

/**
 * A disk of a point with what has been written to it since. The point stays as it is: what is written lies in an overlay, in whole
 * units, and where less than a unit is written the rest of it comes from the point.
 */
export class OverlayImage implements WritableImage {
  readonly #base: DiskImage
  readonly #files: OverlayFiles
  readonly #lock = new RangeLock()

  constructor(base: DiskImage, files: OverlayFiles) {
    this.#base = base
    this.#files = files
  }

  get sizeBytes(): number {
    return this.#base.sizeBytes
  }

  get blockBytes(): number {
    return this.#base.blockBytes
  }

  async read(offset: number, length: number): Promise<ImageRead> {
    const end = offset + length
    const runs = this.#runs(offset, end)
    const points = runs.filter(({ isIn }) => !isIn)
    const [first, last] = [points[0], points.at(-1)]
    if (first === undefined || last === undefined) {
      return { parts: [{ bytes: await this.#files.read(offset, length) }], heldBytes: 0, release: () => undefined }
    }
    // In one read: whoever held some of the cache while waiting for more of it could wait for ever.
    const base = await this.#base.read(first.from, last.to - first.from)
    try {
      const parts: ImagePart[] = []
      for (const { from, to, isIn } of runs) {
        if (isIn) parts.push({ bytes: await this.#files.read(from, to - from) })
        else parts.push(...cutParts(base.parts, from - first.from, to - first.from))
      }
      return { ...base, parts }
    } catch (error) {
      base.release()
      throw error
    }
  }

  /** What was written counts as data, also where it is zeros. */
  async extents(offset: number, length: number, countMax: number): Promise<Extent[]> {
    const extents: Extent[] = []
    for (const { from, to, isIn } of this.#runs(offset, offset + length)) {
      const found = isIn
        ? [{ lengthBytes: to - from, isZero: false }]
        : await this.#base.extents(from, to - from, countMax)
      for (const { lengthBytes, isZero } of found) {
        if (extents.length === countMax && extents.at(-1)?.isZero !== isZero) return extents
        addExtent(extents, lengthBytes, isZero)
      }
      // The answer was full before the run's end.
      if (found.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0) < to - from) return extents
    }
    return extents
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#change(offset, offset + bytes.length, async () => {
      await this.#files.write(offset, bytes)
    })
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#change(offset, offset + length, async () => {
      await this.#files.zero(offset, length)
    })
  }

  /** Blocks of which anything was written, ascending. */
  *changedBlocks(): Generator<number> {
    const unitsPerBlock = this.blockBytes / overlayUnitBytes
    let last = -1
    for (const { from, to, isIn } of this.#files.units.runs(0, Math.ceil(this.sizeBytes / overlayUnitBytes))) {
      if (!isIn) continue
      for (let block = Math.max(last + 1, Math.floor(from / unitsPerBlock)); block * unitsPerBlock < to; block += 1) {
        yield block
        last = block
      }
    }
  }

  async flush(): Promise<void> {
    await this.#files.flush()
  }

  async #change(offset: number, end: number, work: () => Promise<void>): Promise<void> {
    const from = Math.floor(offset / overlayUnitBytes)
    const to = Math.ceil(end / overlayUnitBytes)
    await this.#lock.run(from, to, async () => {
      if (offset % overlayUnitBytes !== 0) await this.#fill(from)
      if (end % overlayUnitBytes !== 0 && end < this.sizeBytes) await this.#fill(to - 1)
      await work()
      this.#files.units.add(from, to)
    })
  }

  /** Brings a unit into the overlay of which only a part is going to be written. */
  async #fill(unit: number): Promise<void> {
    if (this.#files.units.has(unit)) return
    const offset = unit * overlayUnitBytes
    const length = Math.min(overlayUnitBytes, this.sizeBytes - offset)
    const read = await this.#base.read(offset, length)
    try {
      let at = offset
      for (const part of read.parts) {
        const bytes = 'bytes' in part ? part.bytes : Buffer.alloc(part.zeroBytes)
        await this.#files.write(at, bytes)
        at += bytes.length
      }
    } finally {
      read.release()
    }
    this.#files.units.add(unit, unit + 1)
  }

  /** By bytes. */
  #runs(offset: number, end: number): UnitRun[] {
    const from = Math.floor(offset / overlayUnitBytes)
    const to = Math.ceil(end / overlayUnitBytes)
    return Array.from(this.#files.units.runs(from, to), (run) => ({
      from: Math.max(offset, run.from * overlayUnitBytes),
      to: Math.min(end, run.to * overlayUnitBytes),
      isIn: run.isIn,
    }))
  }
}
