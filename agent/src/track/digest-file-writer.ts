import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { invariant } from '@strata/shared/errors.ts'
import { digestBytes, sealedHash } from '@strata/shared/format/digest.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
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

/**
 * The digest file of a running session. It takes digests in order and has no header, so nobody takes it for a
 * complete one, until `publish` puts it in the place of the old one.
 */
export class DigestFileWriter implements DigestSink {
  readonly #path: string
  readonly #fd: number
  readonly #shape: DigestFileShape
  readonly #table: Uint8Array
  readonly #page = new Uint8Array(pageBytes)
  /** Blocks taken so far. */
  #blocks = 0
  #open = true

  /** Creates the file. Error: E_STATE_UNWRITABLE, as everywhere here. */
  constructor(path: string, sizeBytes: number, blockBytes: number) {
    this.#path = path
    this.#shape = digestFileShape(sizeBytes, blockBytes)
    this.#table = new Uint8Array(this.#shape.tableBytes)
    this.#fd = this.#writing(() => {
      // What a run that was killed has left of the same session.
      rmSync(path, { force: true })
      return openSync(path, 'wx+', 0o600)
    })
  }

  push(digests: Uint8Array): void {
    for (let at = 0; at < digests.length;) {
      const used = (this.#blocks % pageEntriesMax) * digestBytes
      const part = digests.subarray(at, at + pageBytes - used)
      this.#page.set(part, used)
      at += part.length
      this.#advance(part.length / digestBytes)
    }
  }

  pushZeros(count: number): void {
    for (let left = count; left > 0;) {
      const used = this.#blocks % pageEntriesMax
      const part = Math.min(left, pageEntriesMax - used)
      // The page's memory is zeros wherever nothing was put in.
      left -= part
      this.#advance(part)
    }
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

  #advance(blocks: number): void {
    this.#blocks += blocks
    invariant(this.#blocks <= this.#shape.blocks, 'no more digests than blocks')
    if (this.#blocks % pageEntriesMax === 0 || this.#blocks === this.#shape.blocks) this.#endPage()
  }

  #endPage(): void {
    const page = Math.ceil(this.#blocks / pageEntriesMax) - 1
    const digests = this.#page.subarray(0, bytesOfPage(this.#shape, page))
    const mark = pageMark(digests)
    this.#table.set(mark, page * pageMarkBytes)
    if (mark.some((byte) => byte !== 0)) {
      this.#writing(() => {
        this.#write(digests, pagesAt + page * pageBytes)
      })
    }
    this.#page.fill(0)
  }

  #requireComplete(): void {
    invariant(this.#open && this.#blocks === this.#shape.blocks, 'the digests of all blocks are there')
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
