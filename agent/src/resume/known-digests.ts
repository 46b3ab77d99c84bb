import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { digestBytes, sealedHash } from '@strata/shared/format/digest.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { stateUnwritable } from '../state-directory.ts'
import { pageBytes } from '../track/digest-file.ts'
import type { DigestSink } from '../track/digest-reference.ts'
import { PageFiller } from '../track/page-filler.ts'

/**
 * The digests that a run has read so far of one disk, under one view of it: while the view is the same, the next run need
 * not read those pages again. A file of pages with a checksum each; what a power cut has spoiled does not count.
 */
export class KnownDigests implements DigestSink {
  readonly #path: string
  readonly #fd: number
  readonly #blocks: number
  /** Pages that were there when it was opened. */
  readonly #pages: number
  readonly #filler: PageFiller

  /** @param isSameView else what is there is of another view, and forgotten. Error: E_STATE_UNWRITABLE, as everywhere here. */
  constructor(path: string, disk: { readonly sizeBytes: number; readonly blockBytes: number }, isSameView: boolean) {
    this.#path = path
    this.#blocks = diskCounts(disk.sizeBytes, disk.blockBytes).blocks
    this.#fd = this.#doing(() => {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
      if (!isSameView) ftruncateSync(fd)
      return fd
    })
    this.#filler = new PageFiller(this.#blocks, (page, digests) => {
      this.#write(page, digests)
    })
    this.#pages = Math.floor(fstatSync(this.#fd).size / slotBytes)
  }

  /** Digests of a whole page (fewer at the end of the disk), as an earlier run has read it; null: it has not. */
  page(page: number): Uint8Array | null {
    if (page >= this.#pages) return null
    const slot = new Uint8Array(slotBytes)
    const read = this.#doing(() => readSync(this.#fd, slot, 0, slotBytes, page * slotBytes))
    const digests = slot.subarray(0, pageBytes)
    if (read < slotBytes || !equalBytes(checksum(page, digests), slot.subarray(pageBytes))) return null
    return digests.slice(0, this.#blocksOf(page) * digestBytes)
  }

  push(digests: Uint8Array): void {
    this.#filler.push(digests)
  }

  pushZeros(count: number): void {
    this.#filler.pushZeros(count)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #write(page: number, digests: Uint8Array): void {
    const slot = new Uint8Array(slotBytes)
    slot.set(digests)
    slot.set(checksum(page, digests), pageBytes)
    this.#doing(() => {
      for (let done = 0; done < slotBytes;) {
        done += writeSync(this.#fd, slot, done, slotBytes - done, page * slotBytes + done)
      }
    })
  }

  #blocksOf(page: number): number {
    return Math.min(pageEntriesMax, this.#blocks - page * pageEntriesMax)
  }

  #doing<Result>(action: () => Result): Result {
    try {
      return action()
    } catch (error) {
      throw stateUnwritable(this.#path, error)
    }
  }
}

const checksumBytes = 16
const slotBytes = pageBytes + checksumBytes

/** Of the page in its place: zeros that nobody wrote are no page of zeros. */
function checksum(page: number, digests: Uint8Array): Uint8Array {
  const place = Buffer.alloc(8)
  place.writeBigUInt64LE(BigInt(page))
  return sealedHash(Buffer.concat([place, digests])).subarray(0, checksumBytes)
}
