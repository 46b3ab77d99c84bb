import { invariant } from '@strata/shared/errors.ts'
import { factsOfOpen } from './image-file.ts'
import { seekData, seekHole } from './seek.ts'
import type { Source } from './source.ts'

/** Blocks `first … end − 1`. */
export interface BlockRun {
  readonly first: number
  readonly end: number
}

/** Where the data of a source lies, in blocks; all else are holes, which read as zeros and need no reading. */
export interface HoleMap {
  /** The first run of blocks with data that ends after `block`; null when only holes follow. */
  dataFrom(block: number): BlockRun | null
}

export function openHoleMap(source: Source, blockBytes: number): HoleMap {
  const blocks = Math.ceil(source.sizeBytes / blockBytes)
  const full: BlockRun = { first: 0, end: blocks }
  const sparse = process.platform === 'linux' && source.kind === 'file' && factsOfOpen(source.fd).sparse
  if (!sparse) return { dataFrom: (block) => (block < blocks ? full : null) }
  return new SeekingHoleMap(source, blockBytes)
}

/** Asks the file system, and remembers the last answer: those who ask go through the disk in order. */
class SeekingHoleMap implements HoleMap {
  readonly #fd: number
  readonly #blockBytes: number
  readonly #blocks: number
  /** The answer for every block from `#askedAt` to the end of `#run`. */
  #askedAt = -1
  #run: BlockRun | null = null

  constructor(source: Source, blockBytes: number) {
    this.#fd = source.fd
    this.#blockBytes = blockBytes
    this.#blocks = Math.ceil(source.sizeBytes / blockBytes)
  }

  dataFrom(block: number): BlockRun | null {
    if (block >= this.#blocks) return null
    const known = this.#askedAt >= 0 && block >= this.#askedAt && (this.#run === null || block < this.#run.end)
    if (!known) {
      this.#run = this.#ask(block)
      this.#askedAt = block
    }
    return this.#run
  }

  #ask(block: number): BlockRun | null {
    const rest: BlockRun = { first: block, end: this.#blocks }
    const data = seekData(this.#fd, block * this.#blockBytes)
    if (data === null) return null
    if (data === undefined) return rest
    const hole = seekHole(this.#fd, data)
    if (hole === undefined) return rest
    const first = Math.max(block, Math.floor(data / this.#blockBytes))
    if (first >= this.#blocks) return null
    const end = Math.min(this.#blocks, Math.ceil(hole / this.#blockBytes))
    invariant(end > first, 'data lies before the hole that ends it')
    return { first, end }
  }
}
