import { writeSync } from 'node:fs'
import { StrataError, systemErrorCode, toStrataError } from '@strata/shared/errors.ts'
import { BlockDigester, digestBytes, isAllZero } from '@strata/shared/format/digest.ts'
import { scanPieceBytes } from '@strata/shared/limits.ts'
import { alignedBuffer, readDirect } from './direct-read.ts'
import { spoolError } from '../spool-error.ts'
import { readFully } from './read-fully.ts'
import { blockStates, type OpenSegment, type ScanAnswer, type ScanReply, type ScanTask } from './scan-task.ts'
import { announceLoaded } from '@strata/shared/threads/loaded.ts'

/**
 * Runs in a thread: reads blocks, recognises zeros, takes digests, compares, and writes what differs into the open
 * segment. Reading, digest and writing follow each other piece by piece while the piece is in the processor's cache.
 */
export default function scan(task: ScanTask): ScanReply {
  try {
    return new RangeScan(task).run()
  } catch (error) {
    return { error: toStrataError(error).toJSON() }
  }
}

/** Kept by the thread for the next task. */
let piece = Buffer.alloc(0)
let pieceIsAligned = false

function pieceOf({ blockBytes, sourceDirect }: ScanTask): Buffer {
  const pieceBytes = Math.max(scanPieceBytes, blockBytes)
  if (piece.length !== pieceBytes || (sourceDirect && !pieceIsAligned)) {
    piece = sourceDirect ? alignedBuffer(pieceBytes) : Buffer.allocUnsafeSlow(pieceBytes)
    pieceIsAligned = sourceDirect
  }
  return piece
}

class RangeScan {
  readonly #task: ScanTask
  readonly #digester: BlockDigester
  readonly #piece: Buffer
  readonly #digests: Buffer
  readonly #reference: Buffer
  readonly #states: Uint8Array
  readonly #segment: SegmentRoom
  #done = 0
  #bytesRead = 0

  constructor(task: ScanTask) {
    this.#task = task
    this.#digester = new BlockDigester(bufferOver(task.blockDigestKey))
    this.#piece = pieceOf(task)
    this.#digests = Buffer.alloc(task.blockCount * digestBytes)
    this.#reference = task.reference === null ? Buffer.alloc(this.#digests.length) : bufferOver(task.reference)
    this.#states = new Uint8Array(task.blockCount)
    this.#segment = new SegmentRoom(task.segment)
  }

  run(): ScanAnswer {
    const { firstBlock, blockCount } = this.#task
    const end = firstBlock + blockCount
    const runs = this.#task.dataRuns ?? Uint32Array.of(firstBlock, end)
    let at = firstBlock
    let room = true
    for (let index = 0; room && index < runs.length; index += 2) {
      const runEnd = runs[index + 1] ?? end
      room = this.#holes((runs[index] ?? end) - at) && this.#data(runEnd)
      at = runEnd
    }
    if (room) this.#holes(end - at)
    this.#segment.flush()
    return {
      blocksDone: this.#done,
      digests: this.#digests.subarray(0, this.#done * digestBytes),
      states: this.#states.subarray(0, this.#done),
      bytesRead: this.#bytesRead,
      framesBytes: this.#segment.framesBytes,
    }
  }

  /** Takes the next `count` blocks as zeros without reading them; false when the segment is full. */
  #holes(count: number): boolean {
    for (const end = this.#done + count; this.#done < end; this.#done += 1) {
      if (!this.#isSame() && !this.#addZero()) return false
    }
    return true
  }

  /** Reads the next blocks up to block `end` of the disk; false when the segment is full. */
  #data(end: number): boolean {
    const { firstBlock, blockBytes, sizeBytes } = this.#task
    const blocksPerPiece = this.#piece.length / blockBytes
    while (firstBlock + this.#done < end) {
      // Nothing is read that could not be kept.
      if (!this.#segment.hasRoom(blockBytes)) return false
      const block = firstBlock + this.#done
      const offset = block * blockBytes
      const bytes = Math.min(Math.min(blocksPerPiece, end - block) * blockBytes, sizeBytes - offset)
      this.#read(offset, bytes)
      // The frames of a piece are written together, before the next piece takes its place.
      const room = this.#compare(bytes)
      this.#segment.flush()
      if (!room) return false
    }
    return true
  }

  #compare(bytes: number): boolean {
    for (let at = 0; at < bytes; at += this.#task.blockBytes) {
      const block = this.#piece.subarray(at, Math.min(at + this.#task.blockBytes, bytes))
      const zero = isAllZero(block)
      if (!zero) this.#digests.set(this.#digester.digest(block), this.#done * digestBytes)
      if (!this.#isSame() && !(zero ? this.#addZero() : this.#addData(block))) return false
      this.#done += 1
    }
    return true
  }

  #isSame(): boolean {
    const at = this.#done * digestBytes
    return this.#digests.compare(this.#reference, at, at + digestBytes, at, at + digestBytes) === 0
  }

  #addZero(): boolean {
    if (!this.#segment.takeEntry(0)) return false
    this.#states[this.#done] = blockStates.zero
    return true
  }

  #addData(block: Buffer): boolean {
    if (!this.#segment.takeEntry(block.length)) return false
    this.#segment.addFrame(block)
    this.#states[this.#done] = blockStates.data
    return true
  }

  #read(offset: number, bytes: number): void {
    const { sourceFd, sourcePath, sourceDirect } = this.#task
    let got
    try {
      got = sourceDirect
        ? readDirect(sourceFd, this.#piece, bytes, offset)
        : readFully(sourceFd, this.#piece, 0, bytes, offset)
    } catch (error) {
      const reason = systemErrorCode(error) ?? String(error)
      const message = `${sourcePath}: reading the ${String(bytes)} bytes at byte ${String(offset)} failed: ${reason}`
      throw new StrataError('E_SOURCE_UNREADABLE', message, { cause: error, details: { path: sourcePath, offset } })
    }
    this.#bytesRead += got
    if (got < bytes) {
      const end = offset + got
      const message = `${sourcePath} became shorter while it was read: it ends at byte ${String(end)} instead of ${String(this.#task.sizeBytes)}`
      throw new StrataError('E_SOURCE_CHANGED', message, { details: { path: sourcePath, offset: end } })
    }
  }
}

/** What is left of a segment, and frames on their way into it: neighbours in the piece are written together. */
class SegmentRoom {
  readonly #segment: OpenSegment
  #entriesFree: number
  #pending: Buffer | null = null
  framesBytes: number

  constructor(segment: OpenSegment) {
    this.#segment = segment
    this.#entriesFree = segment.entriesFree
    this.framesBytes = segment.framesBytes
  }

  hasRoom(frameBytes: number): boolean {
    return this.#entriesFree > 0 && this.framesBytes + frameBytes <= this.#segment.framesBytesMax
  }

  /** False when the segment has no room for one more entry with a frame of `frameBytes`. */
  takeEntry(frameBytes: number): boolean {
    if (!this.hasRoom(frameBytes)) return false
    this.#entriesFree -= 1
    return true
  }

  /** The frame must stay as it is until `flush`. */
  addFrame(frame: Buffer): void {
    const pending = this.#pending
    if (pending !== null && pending.byteOffset + pending.length === frame.byteOffset) {
      this.#pending = Buffer.from(pending.buffer, pending.byteOffset, pending.length + frame.length)
    } else {
      this.flush()
      this.#pending = frame
    }
    this.framesBytes += frame.length
  }

  flush(): void {
    const pending = this.#pending
    if (pending === null) return
    this.#pending = null
    const position = this.framesBytes - pending.length
    for (let done = 0; done < pending.length;) done += this.#write(pending, done, position + done)
  }

  #write(bytes: Buffer, from: number, position: number): number {
    try {
      return writeSync(this.#segment.fd, bytes, from, bytes.length - from, position)
    } catch (error) {
      throw spoolError(this.#segment.path, error)
    }
  }
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

announceLoaded()
