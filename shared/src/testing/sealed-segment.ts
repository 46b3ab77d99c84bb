import { systemRandomBytes, type RandomBytes } from '../clock.ts'
import { decodeSealedTail, PieceOpener, PieceSealer } from '../format/sealed-segment.ts'
import { sealedPieceBytes } from '../limits.ts'
import type { SessionId } from '../types.ts'

/** Which segment, and the key that it is sealed with. */
export interface SealedAs {
  readonly transportKey: Uint8Array
  readonly session: SessionId
  readonly segment: number
}

/** The bytes of a sealed segment, in memory. */
export function sealed(plain: Uint8Array, as: SealedAs, random: RandomBytes = systemRandomBytes): Uint8Array {
  const { transportKey, session, segment } = as
  const bytes = Uint8Array.from(plain)
  const sealer = new PieceSealer(transportKey, { session, segment, plainBytes: plain.length }, random)
  for (const piece of piecesOf(bytes)) sealer.seal(piece)
  return new Uint8Array(Buffer.concat([bytes, sealer.finish()]))
}

/** The plain bytes of a sealed segment. */
export function opened(bytes: Uint8Array, transportKey: Uint8Array): Uint8Array {
  const tail = decodeSealedTail('sealed segment', bytes, bytes.length)
  const opener = new PieceOpener(transportKey, tail)
  const plain = bytes.slice(0, tail.plainBytes)
  piecesOf(plain).forEach((piece, index) => {
    opener.open(index, piece)
  })
  return plain
}

function piecesOf(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += sealedPieceBytes) pieces.push(bytes.subarray(at, at + sealedPieceBytes))
  return pieces
}
