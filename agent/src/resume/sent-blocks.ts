import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { invariant } from '@strata/shared/errors.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import type { SegmentEntry } from '@strata/shared/format/segment.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { stateUnwritable } from '../state-directory.ts'
import type { DigestReference } from '../track/digest-reference.ts'

/**
 * What a session has sent of one disk: for each block whether it was sent, whether that was acknowledged, and its
 * digest. A file of pages at fixed places, sparse where nothing was sent:
 *
 *   page: a byte of state for each of 1,024 blocks | 1,024 digests
 *
 * It need not survive a power cut whole: whatever it says wrongly, a block is sent once more, or the content root tells.
 */
export class SentBlocks {
  readonly #path: string
  readonly #fd: number
  readonly #blocks: number

  /** Opens the file, or makes it. Error: E_STATE_UNWRITABLE, as everywhere here. */
  constructor(path: string, disk: { readonly sizeBytes: number; readonly blockBytes: number }) {
    this.#path = path
    this.#blocks = diskCounts(disk.sizeBytes, disk.blockBytes).blocks
    this.#fd = this.#doing(() => openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600))
  }

  /** Before the segment goes out: from now on nobody knows whether the service has these blocks. */
  sending(entries: readonly SegmentEntry[]): void {
    this.#eachPage(entries, (page, ofPage) => {
      for (const { block, digest } of ofPage) page.set(block % pageEntriesMax, states.sent, digest)
    })
  }

  /** Once it was acknowledged. */
  acknowledged(entries: readonly SegmentEntry[]): void {
    this.#eachPage(entries, (page, ofPage) => {
      // One that was sent anew meanwhile, with other contents, is not acknowledged by this.
      for (const { block, digest } of ofPage) page.acknowledge(block % pageEntriesMax, digest)
    })
  }

  /** What a disk is compared with when its session is gone on with: what the service has, where it has it for certain. */
  over(base: DigestReference): DigestReference {
    return {
      page: async (page) => {
        const sent = this.#page(page)
        const digests = await base.page(page)
        if (!sent.any) return digests
        return sent.over(digests, this.#blocksOf(page))
      },
      pageWithData: async (page) => {
        const inBase = await base.pageWithData(page)
        return Math.min(inBase, this.#pageSent(page, inBase))
      },
    }
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** The first page from `from` on, and before `end`, of which anything was sent. */
  #pageSent(from: number, end: number): number {
    const pages = Math.min(end, Math.ceil(this.#blocks / pageEntriesMax))
    for (let page = from; page < pages; page += 1) if (this.#page(page).any) return page
    return Infinity
  }

  #eachPage(entries: readonly SegmentEntry[], change: (page: SentPage, of: readonly SegmentEntry[]) => void): void {
    for (const [number, of] of Map.groupBy(entries, ({ block }) => Math.floor(block / pageEntriesMax))) {
      const page = this.#page(number)
      change(page, of)
      this.#doing(() => {
        writeFully(this.#fd, page.bytes, number * sentPageBytes)
      })
    }
  }

  #page(number: number): SentPage {
    const page = new SentPage()
    this.#doing(() => {
      readWhatIsThere(this.#fd, page.bytes, number * sentPageBytes)
    })
    return page
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

const states = { none: 0, sent: 1, acknowledged: 2 } as const
const sentPageBytes = pageEntriesMax * (1 + digestBytes)

/** No block has this digest, so whatever the disk holds is sent. */
const unknownDigest = new Uint8Array(digestBytes).fill(0xff)

class SentPage {
  readonly bytes = new Uint8Array(sentPageBytes)

  get any(): boolean {
    return this.bytes.subarray(0, pageEntriesMax).some((state) => state !== states.none)
  }

  set(index: number, state: number, digest: Uint8Array): void {
    this.bytes[index] = state
    this.bytes.set(digest, this.#at(index))
  }

  acknowledge(index: number, digest: Uint8Array): void {
    const known = this.bytes.subarray(this.#at(index), this.#at(index) + digestBytes)
    if (Buffer.compare(known, digest) === 0) this.bytes[index] = states.acknowledged
  }

  /** The digests of a page of `blocks`, with what was sent put over those of the base. */
  over(base: Uint8Array | null, blocks: number): Uint8Array {
    const digests = new Uint8Array(blocks * digestBytes)
    if (base !== null) digests.set(base.subarray(0, digests.length))
    for (let index = 0; index < blocks; index += 1) {
      const state = this.bytes[index]
      if (state === states.none) continue
      const at = this.#at(index)
      const digest = state === states.sent ? unknownDigest : this.bytes.subarray(at, at + digestBytes)
      digests.set(digest, index * digestBytes)
    }
    return digests
  }

  #at(index: number): number {
    invariant(index >= 0 && index < pageEntriesMax, 'a block of the page')
    return pageEntriesMax + index * digestBytes
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** Past the end of the file there are zeros: nothing was sent. */
function readWhatIsThere(fd: number, target: Uint8Array, position: number): void {
  for (let done = 0; done < target.length;) {
    const read = readSync(fd, target, done, target.length - done, position + done)
    if (read === 0) return
    done += read
  }
}
