import { readSync, writeSync } from 'node:fs'
import zstd from 'zstd-napi/binding.js'
import { invariant, StrataError, systemErrorCode, toStrataError } from '@strata/shared/errors.ts'
import { damaged, equalBytes } from '@strata/shared/format/bytes.ts'
import { BlockDigester, digestBytes, isAllZero } from '@strata/shared/format/digest.ts'
import { codecStored, decodeRecord, recordAad, type RecordHeader } from '@strata/shared/format/record.ts'
import { SealingKey } from '@strata/shared/format/xaes.ts'
import { blockBytesMax, gatheredWriteBytesMax, zeroingBytesMax } from '@strata/shared/limits.ts'
import type {
  DamagedRecord,
  FileTarget,
  MemoryTarget,
  ReadAnswer,
  ReadTask,
  WriteFailure,
  ZeroAnswer,
  ZeroTask,
} from './read-task.ts'
import { announceLoaded } from '@strata/shared/threads/loaded.ts'

/**
 * The work on one range of a pack, in a thread of the read pool: open each record, decompress it, compare the block
 * with its digest, and write it to the target. Nothing that failed a check reaches the target. One bad record does not
 * hide the others: damage is an answer, not an exception.
 *
 * Buffers and keys live as long as the thread.
 */
const compressed = Buffer.allocUnsafeSlow(blockBytesMax)
const blocks = Buffer.allocUnsafeSlow(Math.max(blockBytesMax, gatheredWriteBytesMax))
const decompressor = new zstd.DCtx()
const sealingKeys = new Map<string, SealingKey>()
const sealingKeysMax = 64

export function readRecords(task: ReadTask): ReadAnswer {
  const keys = new Map(task.dataKeys.map(({ keyId, key }) => [keyId, sealingKeyOf(keyId, key)]))
  const digester = new BlockDigester(Buffer.from(task.blockDigestKey))
  const { target } = task
  const sink = target !== null && 'memory' in target ? new MemorySink(target) : new GatheringWriter(target)
  const bad: DamagedRecord[] = []
  let checkedBytes = 0
  for (const [index, block] of task.blocks.entries()) {
    const start = block * task.blockBytes
    const plainBytes = Math.min(task.blockBytes, task.diskBytes - start)
    const room = sink.room(index, start, plainBytes)
    if (sink.failure !== null) break
    try {
      openBlock(task, index, room, keys, digester)
    } catch (error) {
      const known = toStrataError(error)
      if (known.kind === 'bug') throw error
      bad.push({ index, code: known.code, message: known.message })
      continue
    }
    sink.keep(plainBytes)
    checkedBytes += plainBytes
  }
  sink.flush()
  // Frees the range at once: garbage collection would let many of them pile up.
  task.range.buffer.transfer(0)
  return {
    checkedBlocks: task.blocks.length - bad.length,
    checkedBytes,
    writtenBytes: sink.writtenBytes,
    damaged: bad,
    writeFailure: sink.failure,
  }
}

function openBlock(
  task: ReadTask,
  index: number,
  block: Buffer,
  keys: ReadonlyMap<string, SealingKey>,
  digester: BlockDigester,
): void {
  const offset = task.offsets[index] ?? 0
  const record = task.range.subarray(offset, offset + (task.lengths[index] ?? 0))
  const digest = task.digests.subarray(index * digestBytes, (index + 1) * digestBytes)
  const header = decodeRecord(record)
  if (header.plainBytes !== block.length) {
    throw damaged('record', `holds ${String(header.plainBytes)} bytes where the block has ${String(block.length)}`)
  }
  const key = keys.get(header.keyId)
  if (key === undefined)
    throw new StrataError('E_SEAL_BROKEN', `record: names data key ${header.keyId}, which this point does not have`)
  if (header.codec === codecStored) key.openInto(block, header.nonce, recordAad(record, digest), header.sealed)
  else decompress(block, key.openInto(compressed, header.nonce, recordAad(record, digest), header.sealed), header)
  if (!equalBytes(digester.digest(block), digest)) {
    throw new StrataError('E_DIGEST_MISMATCH', 'record: holds another block than the one that was backed up')
  }
}

function decompress(block: Buffer, compressedBytes: number, header: RecordHeader): void {
  let plainBytes: number
  try {
    plainBytes = decompressor.decompress(block, compressed.subarray(0, compressedBytes))
  } catch (error) {
    throw new StrataError('E_FORMAT_DAMAGED', 'record: opens, and what is in it does not decompress', { cause: error })
  }
  if (plainBytes !== header.plainBytes)
    throw damaged('record', `decompresses to ${String(plainBytes)} bytes instead of ${String(header.plainBytes)}`)
}

function sealingKeyOf(keyId: string, key: Uint8Array): SealingKey {
  const known = sealingKeys.get(keyId)
  if (known !== undefined) return known
  // Only ever this many points' worth of keys; a key that is made again costs microseconds.
  if (sealingKeys.size >= sealingKeysMax) sealingKeys.clear()
  const made = new SealingKey(key)
  sealingKeys.set(keyId, made)
  return made
}

/** What takes the blocks of a task. */
interface BlockSink {
  readonly failure: WriteFailure | null
  readonly writtenBytes: number
  /** Memory for the block of the record `index`, which begins at `start` on the disk. It counts only after `keep`. */
  room(index: number, start: number, bytes: number): Buffer
  keep(bytes: number): void
  flush(): void
}

/** Each block has its place in memory that is shared with whoever wants it. */
class MemorySink implements BlockSink {
  readonly failure = null
  writtenBytes = 0
  readonly #target: MemoryTarget

  constructor(target: MemoryTarget) {
    this.#target = target
  }

  room(index: number, _start: number, bytes: number): Buffer {
    const { memory, places } = this.#target
    const place = places[index]
    invariant(place !== undefined, 'each block has a place')
    return Buffer.from(memory, place, bytes)
  }

  keep(bytes: number): void {
    this.writtenBytes += bytes
  }

  flush(): void {
    // Nothing was gathered.
  }
}

/** Collects neighbouring blocks in one buffer and writes them together. */
class GatheringWriter implements BlockSink {
  failure: WriteFailure | null = null
  writtenBytes = 0
  readonly #target: FileTarget | null
  /** Where on the disk the gathered bytes begin, and how many they are. */
  #start = 0
  #gathered = 0

  constructor(target: FileTarget | null) {
    this.#target = target
  }

  room(_index: number, start: number, bytes: number): Buffer {
    const neighbour = start === this.#start + this.#gathered
    const full = this.#gathered >= gatheredWriteBytesMax || this.#gathered + bytes > blocks.length
    if (this.#target === null || !neighbour || full) {
      this.flush()
      this.#start = start
    }
    return blocks.subarray(this.#gathered, this.#gathered + bytes)
  }

  keep(bytes: number): void {
    this.#gathered += bytes
  }

  flush(): void {
    const target = this.#target
    if (target !== null && this.#gathered > 0 && this.failure === null) {
      const bytes = Math.min(this.#gathered, target.sizeBytes - this.#start)
      if (bytes > 0) this.failure = writeFully(target.fd, blocks.subarray(0, bytes), this.#start)
      if (this.failure === null) this.writtenBytes += Math.max(0, bytes)
    }
    this.#gathered = 0
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): WriteFailure | null {
  let at = 0
  try {
    while (at < bytes.length) at += writeSync(fd, bytes, at, bytes.length - at, position + at)
    return null
  } catch (error) {
    return writeFailure(error, position + at)
  }
}

function writeFailure(error: unknown, offset: number): WriteFailure {
  const system = systemErrorCode(error)
  if (system === undefined) throw error
  return { system, offset }
}

const zeros = Buffer.alloc(zeroingBytesMax)

/** Writes zeros where there are none yet: reading costs less than writing, and what a thin device lacks stays unallocated. */
export function writeZeros({ fd, ranges }: ZeroTask): ZeroAnswer {
  let writtenBytes = 0
  for (let i = 0; i < ranges.length; i += 2) {
    const start = ranges[i] ?? 0
    const end = start + (ranges[i + 1] ?? 0)
    for (let at = start; at < end;) {
      const piece = blocks.subarray(0, Math.min(zeroingBytesMax, end - at))
      const bytesRead = readUpTo(fd, piece, at)
      if (typeof bytesRead !== 'number') return { writtenBytes, writeFailure: bytesRead }
      invariant(bytesRead === piece.length, 'zeros are wanted on the target only')
      if (!isAllZero(piece)) {
        const failure = writeFully(fd, zeros.subarray(0, piece.length), at)
        if (failure !== null) return { writtenBytes, writeFailure: failure }
        writtenBytes += piece.length
      }
      at += piece.length
    }
  }
  return { writtenBytes, writeFailure: null }
}

function readUpTo(fd: number, target: Uint8Array, position: number): number | WriteFailure {
  let at = 0
  try {
    while (at < target.length) {
      const bytesRead = readSync(fd, target, at, target.length - at, position + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return at
  } catch (error) {
    return writeFailure(error, position + at)
  }
}

announceLoaded()
