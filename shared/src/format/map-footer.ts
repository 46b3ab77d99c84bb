import { invariant } from '../errors.ts'
import { boxKinds, openBox, sealBox, type IndexKeys } from './box.ts'
import { equalBytes, requireExactLength, requireZero, viewOf } from './bytes.ts'
import { footerContextSuffix, type PackTail } from './pack.ts'

/** The footer of a page pack: which page each piece is. docs/format.md, "Packs". */
export interface MapPiece {
  readonly disk: number
  /** 0 page, 1 node, 2 root. */
  readonly level: number
  readonly number: number
}

const mapPieceDiskAt = 0
const mapPieceLevelAt = 2
const mapPieceReservedAt = 3
const mapPieceNumberAt = 4
const mapPieceBytes = 8

export function encodeMapFooter(pieces: readonly MapPiece[]): Uint8Array<ArrayBuffer> {
  const bytes = writeMapFooter(pieces)
  const reread = decodeMapFooter('footer just written', bytes, pieces.length)
  invariant(equalBytes(writeMapFooter(reread), bytes), 'a footer reads back as written')
  return bytes
}

function writeMapFooter(pieces: readonly MapPiece[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.length * mapPieceBytes)
  const view = viewOf(bytes)
  pieces.forEach((piece, index) => {
    view.setUint16(index * mapPieceBytes + mapPieceDiskAt, piece.disk, true)
    view.setUint8(index * mapPieceBytes + mapPieceLevelAt, piece.level)
    view.setUint32(index * mapPieceBytes + mapPieceNumberAt, piece.number, true)
  })
  return bytes
}

export function decodeMapFooter(name: string, bytes: Uint8Array, pieceCount: number): MapPiece[] {
  requireExactLength(name, bytes, pieceCount * mapPieceBytes)
  const view = viewOf(bytes)
  return Array.from({ length: pieceCount }, (_, index) => {
    requireZero(name, view.getUint8(index * mapPieceBytes + mapPieceReservedAt))
    return {
      disk: view.getUint16(index * mapPieceBytes + mapPieceDiskAt, true),
      level: view.getUint8(index * mapPieceBytes + mapPieceLevelAt),
      number: view.getUint32(index * mapPieceBytes + mapPieceNumberAt, true),
    }
  })
}

export function sealMapFooter(name: string, pieces: readonly MapPiece[], keys: IndexKeys, nonce: Uint8Array) {
  return (suffix: string): Uint8Array => sealBox(boxKinds.footer, name + suffix, encodeMapFooter(pieces), keys, nonce)
}

export function openMapFooter(name: string, tail: PackTail, keys: IndexKeys): MapPiece[] {
  const plain = openBox(boxKinds.footer, name + footerContextSuffix(tail.openSection), tail.footerBox, keys)
  return decodeMapFooter(name, plain, tail.pieces.length)
}
