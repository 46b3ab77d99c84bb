import { fstatSync, readSync } from 'node:fs'
import { hasCode, invariant, StrataError } from '@strata/shared/errors.ts'
import {
  decodeSealedTail,
  pieceLength,
  PieceOpener,
  sealedTailBytesMax,
  type SealedTail,
} from '@strata/shared/format/sealed-segment.ts'
import { sealedPieceBytes } from '@strata/shared/limits.ts'

/** Where a segment is, and which one it must be. */
export interface SegmentOrigin {
  readonly segmentPath: string
  readonly session: string
  readonly segment: number
  /** Given, the segment came from afar and must be sealed with it; else it must be plain. Its bytes have no say in it. */
  readonly transportKey?: Uint8Array
}

/** The plain bytes of a segment, wherever they come from. */
export interface SegmentSource {
  readonly sizeBytes: number
  /** Fills `target` with the bytes from `position` on; they must lie within `sizeBytes`. */
  read(target: Uint8Array, position: number): void
}

export function openSegmentSource(fd: number, origin: SegmentOrigin): SegmentSource {
  const { transportKey } = origin
  const file = new PlainFile(fd, origin)
  return transportKey === undefined ? file : new SealedFile(file, origin, transportKey)
}

/**
 * What it means that a segment is not what it must be. One that was handed over on this machine is as good as none: it
 * was cut or written over, and is sent again (E_HANDOVER_LOST). Of one from afar, its agent sealed something else, or
 * somebody altered it (E_SEGMENT_INVALID).
 */
export function badSegment({ segmentPath, segment, transportKey }: SegmentOrigin, cause?: unknown): StrataError {
  if (transportKey === undefined) {
    return new StrataError('E_HANDOVER_LOST', `the segment in ${segmentPath} is gone or cut`, { cause })
  }
  const reason = cause instanceof Error ? cause.message : 'it is another segment'
  // An agent hears this: where the service keeps its files is none of its business.
  const message = `segment ${String(segment)} is not the sealed segment it should be: ${reason}`
  return new StrataError('E_SEGMENT_INVALID', message, { cause })
}

class PlainFile implements SegmentSource {
  readonly sizeBytes: number
  readonly #fd: number
  readonly #origin: SegmentOrigin

  constructor(fd: number, origin: SegmentOrigin) {
    this.sizeBytes = fstatSync(fd).size
    this.#fd = fd
    this.#origin = origin
  }

  read(target: Uint8Array, position: number): void {
    let read = 0
    while (read < target.length) {
      const count = readSync(this.#fd, target, read, target.length - read, position + read)
      if (count === 0) throw badSegment(this.#origin, new StrataError('E_FORMAT_DAMAGED', 'it ends too early'))
      read += count
    }
  }
}

/** Opens pieces when they are wanted, and keeps the last one: reads go forward, and most begin where one has ended. */
class SealedFile implements SegmentSource {
  readonly sizeBytes: number
  readonly #file: SegmentSource
  readonly #origin: SegmentOrigin
  readonly #opener: PieceOpener
  readonly #piece: Buffer
  #opened = -1

  constructor(file: SegmentSource, origin: SegmentOrigin, transportKey: Uint8Array) {
    this.#file = file
    this.#origin = origin
    const tail = readTail(file, origin)
    this.sizeBytes = tail.plainBytes
    this.#opener = new PieceOpener(transportKey, tail)
    this.#piece = Buffer.allocUnsafeSlow(pieceLength(tail.plainBytes, 0))
  }

  read(target: Uint8Array, position: number): void {
    invariant(position + target.length <= this.sizeBytes, 'nothing is read beyond the end of a segment')
    for (let read = 0; read < target.length;) {
      const index = Math.floor((position + read) / sealedPieceBytes)
      const from = position + read - index * sealedPieceBytes
      const part = this.#open(index).subarray(from, from + target.length - read)
      target.set(part, read)
      read += part.length
    }
  }

  #open(index: number): Uint8Array {
    const piece = this.#piece.subarray(0, pieceLength(this.sizeBytes, index))
    if (index === this.#opened) return piece
    this.#opened = -1
    this.#file.read(piece, index * sealedPieceBytes)
    try {
      this.#opener.open(index, piece)
    } catch (error) {
      if (hasCode(error, 'E_SEAL_BROKEN')) throw badSegment(this.#origin, error)
      throw error
    }
    this.#opened = index
    return piece
  }
}

function readTail(file: SegmentSource, origin: SegmentOrigin): SealedTail {
  const bytes = Buffer.allocUnsafe(Math.min(file.sizeBytes, sealedTailBytesMax))
  file.read(bytes, file.sizeBytes - bytes.length)
  let tail: SealedTail
  try {
    tail = decodeSealedTail('the segment', bytes, file.sizeBytes)
  } catch (error) {
    if (hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND')) throw badSegment(origin, error)
    throw error
  }
  if (tail.session !== origin.session || tail.segment !== origin.segment) throw badSegment(origin)
  return tail
}
