import { createHash } from 'node:crypto'
import { invariant } from '@strata/shared/errors.ts'
import {
  damaged,
  equalBytes,
  preambleBytes,
  readSafeU64,
  requireExactLength,
  requirePreamble,
  viewOf,
  writePreamble,
} from '@strata/shared/format/bytes.ts'
import { digestBytes, isAllZero, sealedHash } from '@strata/shared/format/digest.ts'
import type { DiskIdentity } from '@strata/shared/format/manifest.ts'
import { isBlockBytes } from '@strata/shared/format/root.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import { idBytes, idFromBytes, idToBytes, type ChainId } from '@strata/shared/types.ts'

/**
 * The layout of the local digest file of a disk. It is a copy of what the map of a point says, kept so that the next
 * session need not ask for it; whatever is wrong with it, it is lost and nothing else.
 *
 *   header | digests by pages of 1,024 blocks | table: one mark a page
 *
 * Pages of zeros are left out of the file (a hole) and have the zero mark, so a terabyte of holes takes no space. The
 * header holds the hash of the table and is written last: what it names is complete.
 */
const version = 1
const kind = 96

const blockBytesAt = preambleBytes
const reservedAt = blockBytesAt + 4
const sizeBytesAt = reservedAt + 4
const sequenceAt = sizeBytesAt + 8
const chainAt = sequenceAt + 8
const manifestDigestAt = chainAt + idBytes
const diskMarkAt = manifestDigestAt + digestBytes
const tableHashAt = diskMarkAt + digestBytes
const checksumAt = tableHashAt + digestBytes
const checksumBytes = 8
export const headerBytes = checksumAt + checksumBytes

/** Pages begin at a place of their own, which a file system can leave out. */
export const pagesAt = 4096
invariant(headerBytes <= pagesAt, 'the header ends before the first page')
export const pageBytes = pageEntriesMax * digestBytes
export const pageMarkBytes = 8
export const zeroPageMark: Uint8Array = new Uint8Array(pageMarkBytes)

export interface DigestFileHeader {
  readonly blockBytes: number
  readonly sizeBytes: number
  readonly chain: ChainId
  /** Of the point whose digests these are. */
  readonly sequence: number
  /** Of the same; SHA-256 as 64 hex digits. */
  readonly manifestDigest: string
  readonly diskMark: Uint8Array
  readonly tableHash: Uint8Array
}

/** Stands for a disk's name and identity: another disk's digests are never taken for this one's. */
export function diskMark(name: string, identity: DiskIdentity): Uint8Array {
  const parts = [name, identity.gpt ?? '', identity.mbr ?? '', identity.filesystem ?? '']
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}

export function encodeDigestFileHeader(header: DigestFileHeader): Uint8Array {
  const bytes = new Uint8Array(headerBytes)
  const view = viewOf(bytes)
  writePreamble(bytes, 0, version, kind)
  view.setUint32(blockBytesAt, header.blockBytes, true)
  view.setBigUint64(sizeBytesAt, BigInt(header.sizeBytes), true)
  view.setBigUint64(sequenceAt, BigInt(header.sequence), true)
  bytes.set(idToBytes(header.chain), chainAt)
  bytes.set(Buffer.from(header.manifestDigest, 'hex'), manifestDigestAt)
  bytes.set(header.diskMark, diskMarkAt)
  bytes.set(header.tableHash, tableHashAt)
  bytes.set(checksumOf(bytes), checksumAt)
  invariant(decodeDigestFileHeader('header just written', bytes).sizeBytes === header.sizeBytes, 'it reads back')
  return bytes
}

/** Errors: E_FORMAT_DAMAGED, E_FORMAT_KIND, E_FORMAT_NEWER. */
export function decodeDigestFileHeader(name: string, bytes: Uint8Array): DigestFileHeader {
  requireExactLength(name, bytes, headerBytes)
  requirePreamble(name, bytes, version, kind)
  if (!equalBytes(checksumOf(bytes), bytes.subarray(checksumAt)))
    throw damaged(name, 'the checksum of its header is wrong')
  const view = viewOf(bytes)
  const blockBytes = view.getUint32(blockBytesAt, true)
  if (!isBlockBytes(blockBytes)) throw damaged(name, `a block size of ${String(blockBytes)} bytes`)
  return {
    blockBytes,
    sizeBytes: readSafeU64(name, view, sizeBytesAt),
    sequence: readSafeU64(name, view, sequenceAt),
    chain: idFromBytes<ChainId>(bytes.subarray(chainAt, manifestDigestAt)),
    manifestDigest: Buffer.from(bytes.subarray(manifestDigestAt, diskMarkAt)).toString('hex'),
    diskMark: bytes.slice(diskMarkAt, tableHashAt),
    tableHash: bytes.slice(tableHashAt, checksumAt),
  }
}

function checksumOf(header: Uint8Array): Uint8Array {
  return sealedHash(header.subarray(0, checksumAt)).subarray(0, checksumBytes)
}

/** What the table says of a page. */
export function pageMark(page: Uint8Array): Uint8Array {
  if (isAllZero(page)) return zeroPageMark
  const mark = sealedHash(page).subarray(0, pageMarkBytes)
  if (isAllZero(mark)) mark[0] = 1
  return mark
}

export interface DigestFileShape {
  readonly blocks: number
  readonly pages: number
  readonly tableAt: number
  readonly tableBytes: number
}

export function digestFileShape(sizeBytes: number, blockBytes: number): DigestFileShape {
  const blocks = Math.ceil(sizeBytes / blockBytes)
  const pages = Math.ceil(blocks / pageEntriesMax)
  return { blocks, pages, tableAt: pagesAt + blocks * digestBytes, tableBytes: pages * pageMarkBytes }
}

/** Bytes of page `page`. */
export function bytesOfPage(shape: DigestFileShape, page: number): number {
  return Math.min(pageBytes, shape.blocks * digestBytes - page * pageBytes)
}
