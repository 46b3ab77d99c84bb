import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import { systemRandomBytes } from '@strata/shared/clock.ts'
import { invariant, toStrataError, type ErrorDocument } from '@strata/shared/errors.ts'
import { requirePreamble } from '@strata/shared/format/bytes.ts'
import { pieceLength, PieceSealer } from '@strata/shared/format/sealed-segment.ts'
import { segmentKind, segmentTrailerBytes, segmentVersion } from '@strata/shared/format/segment.ts'
import { sealedPieceBytes } from '@strata/shared/limits.ts'
import type { SessionId } from '@strata/shared/types.ts'
import { readFully } from '../capture/read-fully.ts'
import { spoolError } from '../spool-error.ts'

export interface SealTask {
  readonly path: string
  readonly session: SessionId
  readonly segment: number
  readonly transportKey: Uint8Array
}

/** The file as it goes out: what a staging area is told of it beforehand. */
export interface SealedFile {
  readonly sizeBytes: number
  readonly sha256: Uint8Array
}

export type SealAnswer = SealedFile | { readonly error: ErrorDocument }

/** Kept for the next task. */
const memory = Buffer.allocUnsafeSlow(sealedPieceBytes)

/** Reads a piece, seals it, writes it back and hashes it while the processor's cache has it. */
export function sealSegment(task: SealTask): SealAnswer {
  try {
    return sealFile(task)
  } catch (error) {
    const ofSystem = error instanceof Error && 'syscall' in error
    return { error: toStrataError(ofSystem ? spoolError(task.path, error) : error).toJSON() }
  }
}

function sealFile(task: SealTask): SealedFile {
  const fd = openSync(task.path, 'r+')
  try {
    return seal(fd, task)
  } finally {
    closeSync(fd)
  }
}

function seal(fd: number, { session, segment, transportKey }: SealTask): SealedFile {
  const plainBytes = fstatSync(fd).size
  requirePlain(fd, plainBytes)
  const sealer = new PieceSealer(transportKey, { session, segment, plainBytes }, systemRandomBytes)
  const hash = createHash('sha256')
  for (let index = 0, at = 0; at < plainBytes; index += 1) {
    const piece = memory.subarray(0, pieceLength(plainBytes, index))
    readExactly(fd, piece, at)
    sealer.seal(piece)
    hash.update(piece)
    writeFully(fd, piece, at)
    at += piece.length
  }
  const tail = sealer.finish()
  writeFully(fd, tail, plainBytes)
  return { sizeBytes: plainBytes + tail.length, sha256: new Uint8Array(hash.update(tail).digest()) }
}

/** A file that is sealed already would be sealed a second time, and no worker could use it. */
function requirePlain(fd: number, plainBytes: number): void {
  invariant(plainBytes >= segmentTrailerBytes, 'a segment is complete before it is sealed')
  const trailer = Buffer.alloc(segmentTrailerBytes)
  readExactly(fd, trailer, plainBytes - trailer.length)
  const kind = requirePreamble('segment to be sealed', trailer, segmentVersion)
  invariant(kind === segmentKind, 'a segment is sealed once')
}

function readExactly(fd: number, target: Uint8Array, position: number): void {
  const got = readFully(fd, target, 0, target.length, position)
  invariant(got === target.length, 'nobody cuts a segment while it is sealed')
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}
