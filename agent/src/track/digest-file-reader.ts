import { closeSync, fstatSync, openSync } from 'node:fs'
import { damaged, equalBytes } from '@strata/shared/format/bytes.ts'
import { isAllZero, sealedHash } from '@strata/shared/format/digest.ts'
import { blockBytesMin, blocksPerDiskMax } from '@strata/shared/limits.ts'
import { readFully } from '../capture/read-fully.ts'
import {
  bytesOfPage,
  decodeDigestFileHeader,
  digestFileShape,
  headerBytes,
  pageBytes,
  pageMark,
  pageMarkBytes,
  pagesAt,
  type DigestFileHeader,
  type DigestFileShape,
} from './digest-file.ts'

/** Digests read page by page, each checked against its mark; only the table of marks is kept in memory. */
export class DigestPages {
  readonly #name: string
  readonly #fd: number
  readonly #shape: DigestFileShape
  readonly #table: Uint8Array
  #lastPage = -1
  #lastDigests: Uint8Array | null = null

  constructor(name: string, fd: number, shape: DigestFileShape, table: Uint8Array) {
    this.#name = name
    this.#fd = fd
    this.#shape = shape
    this.#table = table
  }

  /** Digests of a page; null when they are all zeros. Error: E_FORMAT_DAMAGED. */
  page(page: number): Uint8Array | null {
    if (page === this.#lastPage) return this.#lastDigests
    const digests = this.#isZero(page) ? null : this.#read(page)
    this.#lastPage = page
    this.#lastDigests = digests
    return digests
  }

  pageWithData(page: number): number {
    for (let at = page; at < this.#shape.pages; at += 1) if (!this.#isZero(at)) return at
    return Infinity
  }

  #mark(page: number): Uint8Array {
    return this.#table.subarray(page * pageMarkBytes, (page + 1) * pageMarkBytes)
  }

  #isZero(page: number): boolean {
    return page >= this.#shape.pages || isAllZero(this.#mark(page))
  }

  #read(page: number): Uint8Array {
    const digests = new Uint8Array(bytesOfPage(this.#shape, page))
    const got = readFully(this.#fd, digests, 0, digests.length, pagesAt + page * pageBytes)
    if (got < digests.length || !equalBytes(pageMark(digests), this.#mark(page))) {
      throw damaged(this.#name, `page ${String(page)} is not what was written`)
    }
    return digests
  }
}

/** What a digest file says of itself, whatever became of its digests. Errors as of `DigestFile`. */
export function readDigestFileHeader(path: string): DigestFileHeader {
  const fd = openSync(path, 'r')
  try {
    return readHeader(path, fd)
  } finally {
    closeSync(fd)
  }
}

function readHeader(path: string, fd: number): DigestFileHeader {
  const head = new Uint8Array(headerBytes)
  const got = readFully(fd, head, 0, headerBytes, 0)
  return decodeDigestFileHeader(path, head.subarray(0, got))
}

/** A digest file of an earlier session, open for reading. */
export class DigestFile {
  readonly header: DigestFileHeader
  readonly pages: DigestPages
  readonly #fd: number

  /** Errors: E_FORMAT_DAMAGED, E_FORMAT_KIND, E_FORMAT_NEWER, and those of the system. */
  constructor(path: string) {
    this.#fd = openSync(path, 'r')
    try {
      this.header = readHeader(path, this.#fd)
      const { sizeBytes, blockBytes } = this.header
      if (sizeBytes > blocksPerDiskMax * blockBytes || sizeBytes < 1 || blockBytes < blockBytesMin) {
        throw damaged(path, `a disk of ${String(sizeBytes)} bytes`)
      }
      const shape = digestFileShape(sizeBytes, blockBytes)
      if (fstatSync(this.#fd).size !== shape.tableAt + shape.tableBytes)
        throw damaged(path, 'it has another length than it says')
      const table = new Uint8Array(shape.tableBytes)
      readFully(this.#fd, table, 0, table.length, shape.tableAt)
      if (!equalBytes(sealedHash(table), this.header.tableHash)) throw damaged(path, 'the table of its pages is wrong')
      this.pages = new DigestPages(path, this.#fd, shape, table)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
