import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { invariant } from '@strata/shared/errors.ts'
import { sealedHash } from '@strata/shared/format/digest.ts'
import { stateUnwritable, syncDirectory } from '../state-directory.ts'
import {
  bytesOfPage,
  digestFileShape,
  encodeDigestFileHeader,
  pageBytes,
  pageMark,
  pageMarkBytes,
  pagesAt,
  type DigestFileHeader,
  type DigestFileShape,
} from './digest-file.ts'
import { DigestPages } from './digest-file-reader.ts'
import type { DigestSink } from './digest-reference.ts'
import { PageFiller } from './page-filler.ts'

/**
 * The digest file of a running session. It takes digests in order and has no header, so nobody takes it for a
 * complete one, until `publish` puts it in the place of the old one.
 */
export class DigestFileWriter implements DigestSink {
  readonly #path: string
  readonly #fd: number
  readonly #shape: DigestFileShape
  readonly #table: Uint8Array
  readonly #filler: PageFiller
  #open = true

  /** Creates the file. Error: E_STATE_UNWRITABLE, as everywhere here. */
  constructor(path: string, sizeBytes: number, blockBytes: number) {
    this.#path = path
    this.#shape = digestFileShape(sizeBytes, blockBytes)
    this.#table = new Uint8Array(this.#shape.tableBytes)
    this.#filler = new PageFiller(this.#shape.blocks, (page, digests) => {
      this.#take(page, digests)
    })
    this.#fd = this.#writing(() => {
      // What a run that was killed has left of the same session.
      rmSync(path, { force: true })
      return openSync(path, 'wx+', 0o600)
    })
  }

  push(digests: Uint8Array): void {
    this.#filler.push(digests)
  }

  pushZeros(count: number): void {
    this.#filler.pushZeros(count)
  }

  /** The digests taken, once they are all there; good until `publish` or `remove`. */
  pages(): DigestPages {
    this.#requireComplete()
    return new DigestPages(this.#path, this.#fd, this.#shape, this.#table)
  }

  /** Makes this the digest file `target`, for the point that the header names; durable when it returns. */
  publish(target: string, header: Omit<DigestFileHeader, 'tableHash'>): void {
    this.#requireComplete()
    this.#writing(() => {
      ftruncateSync(this.#fd, this.#shape.tableAt)
      this.#write(this.#table, this.#shape.tableAt)
      this.#write(encodeDigestFileHeader({ ...header, tableHash: sealedHash(this.#table) }), 0)
      fsyncSync(this.#fd)
      renameSync(this.#path, target)
      syncDirectory(dirname(target))
    })
    this.#close()
  }

  remove(): void {
    this.#close()
    rmSync(this.#path, { force: true })
  }

  #take(page: number, filled: Uint8Array): void {
    const digests = filled.subarray(0, bytesOfPage(this.#shape, page))
    const mark = pageMark(digests)
    this.#table.set(mark, page * pageMarkBytes)
    if (mark.every((byte) => byte === 0)) return
    this.#writing(() => {
      this.#write(digests, pagesAt + page * pageBytes)
    })
  }

  #requireComplete(): void {
    invariant(this.#open && this.#filler.isComplete, 'the digests of all blocks are there')
  }

  #write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done)
    }
  }

  #close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }

  #writing<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw stateUnwritable(this.#path, error)
    }
  }
}
