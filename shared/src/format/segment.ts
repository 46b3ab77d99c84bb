import { createHash } from 'node:crypto'
import { invariant } from '../errors.ts'
import { disksPerSetMax, segmentBytesMax, segmentEntriesMax, segmentsPerSessionMax } from '../limits.ts'
import { idBytes, idFromBytes, idToBytes, type SessionId } from '../types.ts'
import {
  concatBytes,
  damaged,
  equalBytes,
  preambleBytes,
  requireCount,
  requireLength,
  requirePreamble,
  requireZero,
  viewOf,
  writePreamble,
} from './bytes.ts'
import { digestBytes, zeroDigest } from './digest.ts'
import { isBlockBytes } from './root.ts'

/**
 * What an agent sends: changed blocks of one disk with numbers and digests. docs/format.md, "Segments".
 *
 *   frames | entries | trailer
 *
 * Frames come first, so that an agent writes them while it reads the disk.
 */
export const segmentVersion = 1
export const segmentKind = 32

const stateZero = 0
const stateData = 1
const stateBase = 2

const entryBlockAt = 0
const entryStateAt = 4
const entryReservedAt = 5
const entryOffsetAt = 8
const entryLengthAt = 12
const entryDigestAt = 16
const entryBytes = entryDigestAt + digestBytes

const sessionAt = preambleBytes
const diskAt = sessionAt + idBytes
const segmentAt = diskAt + 4
const entryCountAt = segmentAt + 4
const blockBytesAt = entryCountAt + 4
const framesBytesAt = blockBytesAt + 4
const reservedAt = framesBytesAt + 4
const checksumAt = reservedAt + 4
const checksumBytes = 8
export const segmentTrailerBytes = checksumAt + checksumBytes
export const segmentTailBytesMax = segmentEntriesMax * entryBytes + segmentTrailerBytes
invariant(entryBytes === 48 && segmentTrailerBytes === 56, 'docs/format.md states these numbers')

/**
 * `data`: the frame holds the block. `zero`: the block is all zeros. `base`: the block is again what the base has at
 * this number (it had changed in an earlier pass of the session).
 */
export type SegmentEntry =
  | {
      readonly state: 'data'
      readonly block: number
      readonly digest: Uint8Array
      readonly offset: number
      readonly length: number
    }
  | { readonly state: 'zero' | 'base'; readonly block: number; readonly digest: Uint8Array }

export interface SegmentHeader {
  readonly session: SessionId
  readonly segment: number
  readonly disk: number
  readonly blockBytes: number
  /** Ascending block numbers, each once. */
  readonly entries: readonly SegmentEntry[]
}

/** Entries and trailer, to be written behind `framesBytes` of frames. */
export function encodeSegmentTail(header: SegmentHeader, framesBytes: number): Uint8Array<ArrayBuffer> {
  const tail = writeSegmentTail(header, framesBytes)
  const reread = decodeSegmentTail('segment just written', tail, framesBytes + tail.length)
  invariant(
    typeof reread !== 'number' && equalBytes(writeSegmentTail(reread, framesBytes), tail),
    'a segment reads back as written',
  )
  return tail
}

function writeSegmentTail(header: SegmentHeader, framesBytes: number): Uint8Array<ArrayBuffer> {
  const entries = writeEntries(header.entries)
  const trailer = new Uint8Array(segmentTrailerBytes)
  const trailerView = viewOf(trailer)
  writePreamble(trailer, 0, segmentVersion, segmentKind)
  trailer.set(idToBytes(header.session), sessionAt)
  trailerView.setUint32(diskAt, header.disk, true)
  trailerView.setUint32(segmentAt, header.segment, true)
  trailerView.setUint32(entryCountAt, header.entries.length, true)
  trailerView.setUint32(blockBytesAt, header.blockBytes, true)
  trailerView.setUint32(framesBytesAt, framesBytes, true)
  trailer.set(checksumOf(entries, trailer), checksumAt)
  return concatBytes([entries, trailer])
}

function writeEntries(entries: readonly SegmentEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * entryBytes)
  const view = viewOf(bytes)
  entries.forEach((entry, index) => {
    const at = index * entryBytes
    view.setUint32(at + entryBlockAt, entry.block, true)
    view.setUint8(
      at + entryStateAt,
      entry.state === 'data' ? stateData : entry.state === 'zero' ? stateZero : stateBase,
    )
    if (entry.state === 'data') {
      view.setUint32(at + entryOffsetAt, entry.offset, true)
      view.setUint32(at + entryLengthAt, entry.length, true)
    }
    bytes.set(entry.digest, at + entryDigestAt)
  })
  return bytes
}

/** Reads entries and trailer from the last bytes of a segment; a number means that so many of them are needed. */
export function decodeSegmentTail(name: string, bytes: Uint8Array, segmentBytes: number): SegmentHeader | number {
  requireLength(name, bytes, segmentTrailerBytes)
  const trailer = bytes.subarray(bytes.length - segmentTrailerBytes)
  requirePreamble(name, trailer, segmentVersion, segmentKind)
  const view = viewOf(trailer)
  requireZero(name, view.getUint32(reservedAt, true))
  const entryCount = view.getUint32(entryCountAt, true)
  requireCount(`${name}, entries`, entryCount, segmentEntriesMax)
  const disk = view.getUint32(diskAt, true)
  requireCount(`${name}, disk`, disk, disksPerSetMax - 1)
  const segment = view.getUint32(segmentAt, true)
  requireCount(`${name}, number`, segment, segmentsPerSessionMax - 1)
  const blockBytes = view.getUint32(blockBytesAt, true)
  if (!isBlockBytes(blockBytes)) throw damaged(name, `a block size of ${String(blockBytes)} bytes`)
  const framesBytes = view.getUint32(framesBytesAt, true)
  requireCount(`${name}, bytes of frames`, framesBytes, segmentBytesMax)
  const tailBytes = entryCount * entryBytes + segmentTrailerBytes
  if (framesBytes + tailBytes !== segmentBytes) throw damaged(name, 'its end speaks of another length than it has')
  if (tailBytes > bytes.length) return tailBytes
  const entries = bytes.subarray(bytes.length - tailBytes, bytes.length - segmentTrailerBytes)
  if (!equalBytes(checksumOf(entries, trailer), trailer.subarray(checksumAt)))
    throw damaged(name, 'the checksum of its end is wrong')
  const session = idFromBytes<SessionId>(trailer.subarray(sessionAt, sessionAt + idBytes))
  return { session, segment, disk, blockBytes, entries: decodeEntries(name, entries, framesBytes, blockBytes) }
}

function decodeEntries(name: string, bytes: Uint8Array, framesBytes: number, blockBytes: number): SegmentEntry[] {
  const view = viewOf(bytes)
  const entries: SegmentEntry[] = []
  let blockAfter = -1
  let frameEnd = 0
  for (let at = 0; at < bytes.length; at += entryBytes) {
    const block = view.getUint32(at + entryBlockAt, true)
    const state = view.getUint8(at + entryStateAt)
    const offset = view.getUint32(at + entryOffsetAt, true)
    const length = view.getUint32(at + entryLengthAt, true)
    const digest = bytes.subarray(at + entryDigestAt, at + entryBytes)
    requireZero(name, view.getUint8(at + entryReservedAt) | view.getUint16(at + entryReservedAt + 1, true))
    if (block <= blockAfter) throw damaged(name, 'block numbers do not ascend')
    blockAfter = block
    const zero = equalBytes(digest, zeroDigest)
    if (state === stateData && !zero) {
      if (offset !== frameEnd || length === 0 || length > blockBytes || offset + length > framesBytes) {
        throw damaged(name, `the frame of block ${String(block)} lies outside`)
      }
      frameEnd = offset + length
      entries.push({ state: 'data', block, digest, offset, length })
    } else if (
      (state === stateZero || state === stateBase) &&
      zero === (state === stateZero) &&
      offset === 0 &&
      length === 0
    ) {
      entries.push({ state: state === stateZero ? 'zero' : 'base', block, digest })
    } else {
      throw damaged(name, `the state of block ${String(block)} makes no sense`)
    }
  }
  if (frameEnd !== framesBytes) throw damaged(name, 'frames without an entry')
  return entries
}

function checksumOf(entries: Uint8Array, trailer: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(entries)
    .update(trailer.subarray(0, checksumAt))
    .digest()
    .subarray(0, checksumBytes)
}
