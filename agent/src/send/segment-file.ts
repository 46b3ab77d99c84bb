import { closeSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { invariant } from '@strata/shared/errors.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { encodeSegmentTail, type SegmentEntry, type SegmentHeader } from '@strata/shared/format/segment.ts'
import { segmentEntriesMax } from '@strata/shared/limits.ts'
import { blockStates, type OpenSegment, type ScanAnswer, type ScanTask } from '../capture/scan-task.ts'
import { spoolError } from '../spool-error.ts'

/**
 * A segment on its way: scan threads write frames into its file, one after the other; its number, entries and trailer
 * come last, when it is sealed.
 */
export class SegmentFile {
  readonly path: string
  readonly #framesBytesMax: number
  readonly #entries: SegmentEntry[] = []
  #fd: number | null
  #framesBytes = 0

  /**
   * Creates a file of its own, or takes over one that has been retired: its memory need not be found anew, and whoever
   * still looks for it under its old name finds nothing. Error: E_HANDOVER_SPACE.
   */
  constructor(directory: string, name: string, framesBytesMax: number, retired: string | undefined) {
    const path = join(directory, name)
    this.path = path
    this.#framesBytesMax = framesBytesMax
    this.#fd = this.#spooling(() => {
      if (retired === undefined) return openSync(path, 'wx', 0o600)
      renameSync(retired, path)
      return openSync(path, 'r+')
    })
  }

  get empty(): boolean {
    return this.#entries.length === 0
  }

  /** What a scan thread needs in order to go on filling it. */
  get room(): OpenSegment {
    invariant(this.#fd !== null, 'a segment is filled before it is sealed')
    return {
      fd: this.#fd,
      path: this.path,
      framesBytes: this.#framesBytes,
      framesBytesMax: this.#framesBytesMax,
      entriesFree: segmentEntriesMax - this.#entries.length,
    }
  }

  /** Whether not even one more block of `blockBytes` fits. */
  isFull(blockBytes: number): boolean {
    return this.#entries.length === segmentEntriesMax || this.#framesBytes + blockBytes > this.#framesBytesMax
  }

  /** Takes note of what a scan thread put in: entries for the blocks that differ. */
  add(task: ScanTask, answer: ScanAnswer): void {
    answer.states.forEach((state, index) => {
      if (state === blockStates.same) return
      const block = task.firstBlock + index
      const digest = answer.digests.slice(index * digestBytes, (index + 1) * digestBytes)
      if (state === blockStates.zero) {
        this.#entries.push({ state: 'zero', block, digest })
      } else {
        const length = Math.min(task.blockBytes, task.sizeBytes - block * task.blockBytes)
        this.#entries.push({ state: 'data', block, digest, offset: this.#framesBytes, length })
        this.#framesBytes += length
      }
    })
    invariant(this.#framesBytes === answer.framesBytes, 'scan thread and entries agree on the frames')
  }

  /** Completes the file, and says what is in it. */
  seal(head: Omit<SegmentHeader, 'entries'>): readonly SegmentEntry[] {
    const fd = this.#fd
    invariant(fd !== null, 'a segment is sealed once')
    const tail = encodeSegmentTail({ ...head, entries: this.#entries }, this.#framesBytes)
    this.#spooling(() => {
      for (let done = 0; done < tail.length;) {
        done += writeSync(fd, tail, done, tail.length - done, this.#framesBytes + done)
      }
      ftruncateSync(fd, this.#framesBytes + tail.length)
    })
    this.#close()
    return this.#entries.splice(0)
  }

  /** Gives the file up for another segment to take over. */
  retire(): string {
    this.#close()
    return this.path
  }

  remove(): void {
    this.#close()
    rmSync(this.path, { force: true })
  }

  #close(): void {
    if (this.#fd === null) return
    closeSync(this.#fd)
    this.#fd = null
  }

  #spooling<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw spoolError(this.path, error)
    }
  }
}
