import { closeSync, openSync } from 'node:fs'
import zstd from 'zstd-napi/binding.js'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode, invariant, StrataError, toStrataError, type ErrorDocument } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { BlockDigester, sealedHash } from '@strata/shared/format/digest.ts'
import { encodePackTail, packKinds, sealDataFooter, type FooterEntry, type Piece } from '@strata/shared/format/pack.ts'
import {
  codecStored,
  codecZstd,
  decodeRecord,
  recordAad,
  recordHeaderBytes,
  writeRecordHeader,
} from '@strata/shared/format/record.ts'
import {
  decodeSegmentTail,
  segmentTailBytesMax,
  type SegmentEntry,
  type SegmentHeader,
} from '@strata/shared/format/segment.ts'
import { nonceBytes, SaltedNonces, SealingKey } from '@strata/shared/format/xaes.ts'
import type { NewDataKey } from '@strata/shared/keys/data-keys.ts'
import { blockBytesMax, handOverFileBytesMax } from '@strata/shared/limits.ts'
import { stepBack } from '@strata/shared/system/thread-priority.ts'
import { idToBytes } from '@strata/shared/types.ts'
import { handOverError } from '../local/hand-over-errors.ts'
import { announceLoaded } from '@strata/shared/threads/loaded.ts'
import { badSegment, openSegmentSource, type SegmentOrigin, type SegmentSource } from './segment-source.ts'

/**
 * The work on one segment, in a thread of the ingest pool: open it, check every digest, compress, seal, and put the
 * pack together in memory. Buffers live as long as the thread.
 */
export interface SegmentTask extends SegmentOrigin {
  readonly disks: readonly { readonly blockBytes: number; readonly sizeBytes: number }[]
  /** The name that the pack will have; its footer is bound to it. */
  readonly packName: string
  readonly dataKey: NewDataKey
  readonly blockDigestKey: Uint8Array
  readonly indexKey: Uint8Array
  readonly indexKeyGeneration: number
  readonly compressionLevel: number
  /** Others of this process go first from now on where processors are scarce. */
  readonly stepsBack: boolean
  /** `packRoomBytes` of its size of memory for the pack; the thread's alone until it has answered. */
  readonly room: SharedArrayBuffer
}

/**
 * Bytes of the pack at the front of the room; or why there is none, as a document, since errors lose their class
 * between threads.
 */
export type SegmentAnswer = { readonly packBytes: number } | { readonly error: ErrorDocument }

const readPieceBytes = 4 * 1024 * 1024
const frames = Buffer.allocUnsafeSlow(readPieceBytes)
const scratch = Buffer.allocUnsafeSlow(zstd.compressBound(blockBytesMax))
const compressor = new zstd.CCtx()
let compressorLevel: number | undefined

export default function packSegment(task: SegmentTask): SegmentAnswer {
  if (task.stepsBack) stepBack()
  try {
    return { packBytes: pack(task) }
  } catch (error) {
    return { error: toStrataError(handOverError(task.segmentPath, error)).toJSON() }
  }
}

/** Says how many bytes the pack has. */
function pack(task: SegmentTask): number {
  const fd = openSync(task.segmentPath, 'r')
  try {
    const source = openSegmentSource(fd, task)
    const header = readHeader(source, task)
    const builder = new PackBuilder(task)
    readFrames(source, header, (entry, frame) => {
      builder.add(entry, frame)
    })
    return builder.finish(header)
  } finally {
    closeSync(fd)
  }
}

function readHeader(source: SegmentSource, task: SegmentTask): SegmentHeader {
  const segmentBytes = source.sizeBytes
  if (segmentBytes > handOverFileBytesMax) {
    throw new StrataError(
      'E_LIMIT',
      `a segment of ${String(segmentBytes)} bytes; at most ${String(handOverFileBytesMax)}`,
    )
  }
  const tail = Buffer.allocUnsafe(Math.min(segmentBytes, segmentTailBytesMax))
  source.read(tail, segmentBytes - tail.length)
  let header: SegmentHeader | number
  try {
    header = decodeSegmentTail('the segment', tail, segmentBytes)
  } catch (error) {
    if (hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND')) throw badSegment(task, error)
    throw error
  }
  invariant(typeof header !== 'number', 'the longest possible tail was read')
  if (header.session !== task.session || header.segment !== task.segment) throw badSegment(task)
  const disk = task.disks[header.disk]
  if (disk?.blockBytes !== header.blockBytes) {
    throw new StrataError(
      'E_LIMIT',
      `segment ${String(task.segment)} speaks of a disk or block size that its session does not have`,
    )
  }
  const blocks = Math.ceil(disk.sizeBytes / disk.blockBytes)
  for (const entry of header.entries) requireFits(entry, blocks, disk)
  return header
}

function requireFits(entry: SegmentEntry, blocks: number, disk: { blockBytes: number; sizeBytes: number }): void {
  const bytes = Math.min(disk.blockBytes, disk.sizeBytes - entry.block * disk.blockBytes)
  if (entry.block >= blocks || (entry.state === 'data' && entry.length !== bytes)) {
    throw new StrataError('E_LIMIT', `block ${String(entry.block)} lies outside its disk or has another length`)
  }
}

/** Gives each frame of the segment, in order; the memory is good until the next one. */
function readFrames(
  source: SegmentSource,
  header: SegmentHeader,
  take: (entry: SegmentEntry, frame: Uint8Array) => void,
): void {
  let start = 0
  let end = 0
  const framesEnd = header.entries.reduce(
    (sum, entry) => (entry.state === 'data' ? entry.offset + entry.length : sum),
    0,
  )
  for (const entry of header.entries) {
    if (entry.state !== 'data') {
      take(entry, frames.subarray(0, 0))
      continue
    }
    if (entry.offset + entry.length > end) {
      start = entry.offset
      end = Math.min(framesEnd, start + readPieceBytes)
      source.read(frames.subarray(0, end - start), start)
    }
    take(entry, frames.subarray(entry.offset - start, entry.offset - start + entry.length))
  }
}

class PackBuilder {
  readonly #task: SegmentTask
  readonly #digester: BlockDigester
  readonly #sealing: SealingKey
  readonly #nonces: SaltedNonces
  readonly #keyIdBytes: Uint8Array
  readonly #room: Uint8Array
  readonly #pieces: Piece[] = []
  readonly #entries: FooterEntry[] = []
  #size = 0

  constructor(task: SegmentTask) {
    this.#task = task
    this.#digester = new BlockDigester(Buffer.from(task.blockDigestKey))
    this.#sealing = new SealingKey(task.dataKey.key)
    this.#nonces = new SaltedNonces(systemRandomBytes)
    this.#keyIdBytes = idToBytes(task.dataKey.keyId)
    this.#room = new Uint8Array(task.room)
    if (compressorLevel !== task.compressionLevel) {
      compressor.setParameter(zstd.CParameter.compressionLevel, task.compressionLevel)
      compressorLevel = task.compressionLevel
    }
  }

  add(entry: SegmentEntry, frame: Uint8Array): void {
    const { block, digest } = entry
    if (entry.state !== 'data') {
      this.#entries.push({ state: entry.state, block, digest })
      return
    }
    if (!equalBytes(this.#digester.digest(frame), digest)) {
      throw badSegment(
        this.#task,
        new StrataError('E_DIGEST_MISMATCH', `block ${String(block)} is not what its digest says`),
      )
    }
    this.#entries.push({ state: 'record', block, digest, piece: this.#pieces.length, key: 0 })
    this.#seal(frame, digest)
  }

  /** Completes the pack and says how many bytes it has. */
  finish(header: SegmentHeader): number {
    const { packName, indexKey, indexKeyGeneration } = this.#task
    const key = new SealingKey(indexKey)
    const keys = {
      currentGeneration: indexKeyGeneration,
      key: (generation: number) => (generation === indexKeyGeneration ? key : undefined),
    }
    const dataKeys = this.#pieces.length === 0 ? [] : [this.#task.dataKey.wrapped]
    const footer = { disk: header.disk, segment: header.segment, dataKeys, entries: this.#entries }
    const seal = sealDataFooter(packName, footer, keys, systemRandomBytes(nonceBytes))
    const tail = encodePackTail(packKinds.data, this.#size, this.#pieces, seal)
    this.#room.set(tail, this.#size)
    return this.#size + tail.length
  }

  #seal(frame: Uint8Array, digest: Uint8Array): void {
    const compressed = compressor.compress2(scratch, frame)
    const worth = compressed < frame.length
    const codec = worth ? codecZstd : codecStored
    const offset = this.#size
    const nonce = this.#nonces.next()
    writeRecordHeader(this.#room, offset, {
      codec,
      plainBytes: frame.length,
      keyIdBytes: this.#keyIdBytes,
      nonce,
    })
    const aad = recordAad(this.#room.subarray(offset, offset + recordHeaderBytes), digest)
    const plain = worth ? scratch.subarray(0, compressed) : frame
    const length = recordHeaderBytes + this.#sealing.sealInto(this.#room, offset + recordHeaderBytes, nonce, aad, plain)
    const reread = decodeRecord(this.#room.subarray(offset, offset + length))
    invariant(reread.codec === codec && reread.plainBytes === frame.length, 'a record reads back as written')
    this.#size += length
    this.#pieces.push({ offset, length, hash: sealedHash(this.#room.subarray(offset, this.#size)) })
  }
}

announceLoaded()
