import { createHash } from 'node:crypto'
import type { RandomBytes } from '../clock.ts'
import { invariant } from '../errors.ts'
import { handOverFileBytesMax, sealedPieceBytes, segmentBytesMax, segmentsPerSessionMax } from '../limits.ts'
import { idBytes, idFromBytes, idToBytes, type SessionId } from '../types.ts'
import {
  concatBytes,
  damaged,
  equalBytes,
  preambleBytes,
  requireCount,
  requireLength,
  requirePreamble,
  viewOf,
  writePreamble,
} from './bytes.ts'
import { segmentTailBytesMax, segmentTrailerBytes } from './segment.ts'
import { saltBytes, saltedNonce, SaltedNonces, SealingKey, tagBytes } from './xaes.ts'

/**
 * A segment on its way from afar: the whole plain segment, sealed piece by piece under its session's transport key.
 * docs/format.md, "Sealed segments".
 *
 *   ciphertext | tags | trailer
 *
 * The ciphertext lies where the plain bytes lay, so a file is sealed without a copy of it; and a reader opens the
 * pieces that it wants. All of the trailer that says anything is authenticated with every piece.
 */
export const sealedSegmentVersion = 1
export const sealedSegmentKind = 33

const sessionAt = preambleBytes
const segmentAt = sessionAt + idBytes
const plainBytesAt = segmentAt + 4
const pieceBytesAt = plainBytesAt + 4
const saltAt = pieceBytesAt + 4
const checksumAt = saltAt + saltBytes
const checksumBytes = 8
const trailerBytes = checksumAt + checksumBytes
const pieceAadBytes = checksumAt + 4

/** A plain segment is no shorter than its trailer, so there is at least one piece, and something to authenticate. */
const plainBytesMin = segmentTrailerBytes
const plainBytesMax = segmentBytesMax + segmentTailBytesMax
export const sealedTailBytesMax = tailBytesOf(plainBytesMax)

invariant(trailerBytes === 56 && pieceAadBytes === 52, 'docs/format.md states these numbers')
invariant(plainBytesMin > 0, 'no sealed segment is without a tag')
invariant(sealedSegmentBytes(plainBytesMax) <= handOverFileBytesMax, 'every sealed segment may be handed over')

interface SealedSegment {
  readonly session: SessionId
  readonly segment: number
  /** Bytes of the plain segment, and of the ciphertext. */
  readonly plainBytes: number
}

/** What stands behind the ciphertext. Nothing of it is authenticated before a piece has been opened. */
export interface SealedTail extends SealedSegment {
  readonly salt: Uint8Array
  /** One after the other. */
  readonly tags: Uint8Array
}

/** Bytes that a plain segment has when it is sealed. */
export function sealedSegmentBytes(plainBytes: number): number {
  return plainBytes + tailBytesOf(plainBytes)
}

function pieceCount(plainBytes: number): number {
  return Math.ceil(plainBytes / sealedPieceBytes)
}

/** Piece `index` begins at `index × sealedPieceBytes`; the last one is shorter. */
export function pieceLength(plainBytes: number, index: number): number {
  return Math.min(sealedPieceBytes, plainBytes - index * sealedPieceBytes)
}

function tailBytesOf(plainBytes: number): number {
  return pieceCount(plainBytes) * tagBytes + trailerBytes
}

/** Seals the pieces of one segment, first to last. Each sealing has a salt of its own, so no nonce is used twice. */
export class PieceSealer {
  readonly #of: SealedSegment
  readonly #key: SealingKey
  readonly #nonces: SaltedNonces
  readonly #trailer: Uint8Array
  readonly #tags: Uint8Array[] = []

  constructor(transportKey: Uint8Array, of: SealedSegment, random: RandomBytes) {
    invariant(
      of.plainBytes >= plainBytesMin && of.plainBytes <= plainBytesMax,
      'a segment has a length that it can have',
    )
    this.#of = of
    this.#key = new SealingKey(transportKey)
    this.#nonces = new SaltedNonces(random)
    this.#trailer = encodeTrailer(of, this.#nonces.salt)
  }

  /** The next piece becomes its ciphertext, where it is. */
  seal(piece: Uint8Array): void {
    const index = this.#tags.length
    invariant(piece.length === pieceLength(this.#of.plainBytes, index), 'pieces are sealed whole and in order')
    this.#tags.push(this.#key.sealInPlace(this.#nonces.next(), pieceAad(this.#trailer, index), piece))
  }

  /** Tags and trailer, to be written behind the ciphertext. */
  finish(): Uint8Array<ArrayBuffer> {
    const { plainBytes } = this.#of
    invariant(this.#tags.length === pieceCount(plainBytes), 'all pieces are sealed')
    const tail = concatBytes([...this.#tags, this.#trailer])
    const reread = decodeSealedTail('sealed segment just written', tail, plainBytes + tail.length)
    invariant(
      equalBytes(concatBytes([reread.tags, encodeTrailer(reread, reread.salt)]), tail),
      'a sealed segment reads back as written',
    )
    return tail
  }
}

/** Opens the pieces of one segment, in any order. */
export class PieceOpener {
  readonly #tags: Uint8Array
  readonly #salt: Uint8Array
  readonly #key: SealingKey
  readonly #trailer: Uint8Array

  constructor(transportKey: Uint8Array, tail: SealedTail) {
    this.#key = new SealingKey(transportKey)
    this.#tags = tail.tags
    this.#salt = tail.salt
    this.#trailer = encodeTrailer(tail, tail.salt)
  }

  /** The ciphertext of piece `index` becomes plain, where it is; or zeros, with E_SEAL_BROKEN. */
  open(index: number, piece: Uint8Array): void {
    const tag = this.#tags.subarray(index * tagBytes, (index + 1) * tagBytes)
    this.#key.openInPlace(saltedNonce(this.#salt, index), pieceAad(this.#trailer, index), piece, tag)
  }
}

function encodeTrailer({ session, segment, plainBytes }: SealedSegment, salt: Uint8Array): Uint8Array {
  const trailer = new Uint8Array(trailerBytes)
  const view = viewOf(trailer)
  writePreamble(trailer, 0, sealedSegmentVersion, sealedSegmentKind)
  trailer.set(idToBytes(session), sessionAt)
  view.setUint32(segmentAt, segment, true)
  view.setUint32(plainBytesAt, plainBytes, true)
  view.setUint32(pieceBytesAt, sealedPieceBytes, true)
  trailer.set(salt, saltAt)
  trailer.set(checksumOf(trailer), checksumAt)
  return trailer
}

/** Reads the last bytes of a sealed segment: `sealedTailBytesMax` of them, or all. */
export function decodeSealedTail(name: string, bytes: Uint8Array, sealedBytes: number): SealedTail {
  requireLength(name, bytes, trailerBytes)
  const trailerStart = bytes.length - trailerBytes
  const trailer = bytes.subarray(trailerStart)
  requirePreamble(name, trailer, sealedSegmentVersion, sealedSegmentKind)
  if (!equalBytes(checksumOf(trailer), trailer.subarray(checksumAt))) {
    throw damaged(name, 'the checksum of its trailer is wrong')
  }
  const view = viewOf(trailer)
  const segment = view.getUint32(segmentAt, true)
  requireCount(`${name}, number`, segment, segmentsPerSessionMax - 1)
  const plainBytes = view.getUint32(plainBytesAt, true)
  requireCount(`${name}, plain bytes`, plainBytes, plainBytesMax)
  if (plainBytes < plainBytesMin) throw damaged(name, 'it holds less than any segment has')
  const pieceBytes = view.getUint32(pieceBytesAt, true)
  if (pieceBytes !== sealedPieceBytes) throw damaged(name, `pieces of ${String(pieceBytes)} bytes`)
  if (sealedSegmentBytes(plainBytes) !== sealedBytes) throw damaged(name, 'its trailer speaks of another length')
  const tagsStart = trailerStart - pieceCount(plainBytes) * tagBytes
  invariant(tagsStart >= 0, 'the longest possible tail was given, or all there is')
  return {
    session: idFromBytes<SessionId>(trailer.subarray(sessionAt, sessionAt + idBytes)),
    segment,
    plainBytes,
    salt: trailer.subarray(saltAt, saltAt + saltBytes),
    tags: bytes.subarray(tagsStart, trailerStart),
  }
}

function pieceAad(trailer: Uint8Array, index: number): Uint8Array {
  const aad = new Uint8Array(pieceAadBytes)
  aad.set(trailer.subarray(0, checksumAt))
  viewOf(aad).setUint32(checksumAt, index, true)
  return aad
}

function checksumOf(trailer: Uint8Array): Uint8Array {
  return createHash('sha256').update(trailer.subarray(0, checksumAt)).digest().subarray(0, checksumBytes)
}
