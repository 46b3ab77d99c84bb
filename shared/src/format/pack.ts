import { createHash } from 'node:crypto'
import { invariant } from '../errors.ts'
import {
  blockBytesDefault,
  disksPerSetMax,
  footerEntriesMax,
  footerGuessBytes,
  keysPerRootMax,
  packBytesMax,
  segmentBytesMax,
} from '../limits.ts'
import { boxKinds, boxOverheadBytes, openBox, sealBox, type IndexKeys } from './box.ts'
import {
  concatBytes,
  damaged,
  equalBytes,
  preambleBytes,
  requireCount,
  requireExactLength,
  requireLength,
  requirePreamble,
  requireZero,
  viewOf,
  writePreamble,
} from './bytes.ts'
import { digestBytes, zeroDigest } from './digest.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey, wrappedDataKeyBytes, type WrappedDataKey } from './wrapped-key.ts'

/**
 * The end of a pack. docs/format.md, "Packs".
 *
 *   pieces | open section | footer box | trailer
 *
 * The pieces (records, or boxed pages) lie back to back from offset 0. The open section has place and hash of each
 * piece, so that a scrub needs no key. The footer box says what the pieces are. The trailer has a fixed size and says
 * where the rest begins; a pack that was cut or grew is noticed there.
 */
export const packVersion = 1
export const packKinds = { data: 16, map: 17 } as const
export type PackContainerKind = (typeof packKinds)[keyof typeof packKinds]

const pieceOffsetAt = 0
const pieceLengthAt = 4
const pieceHashAt = 8
const pieceBytes = pieceHashAt + digestBytes

const trailerPieceCountAt = preambleBytes
const trailerBoxBytesAt = 12
const trailerPackBytesAt = 16
const trailerReservedAt = 20
const trailerChecksumAt = 24
const checksumBytes = 8
export const trailerBytes = trailerChecksumAt + checksumBytes
invariant(pieceBytes === 40 && trailerBytes === 32, 'docs/format.md states these numbers')

export interface Piece {
  readonly offset: number
  readonly length: number
  /** Unkeyed BLAKE3-256 of the piece as it is stored. */
  readonly hash: Uint8Array
}

export interface PackTail {
  readonly kind: PackContainerKind
  readonly pieces: readonly Piece[]
  readonly openSection: Uint8Array
  readonly footerBox: Uint8Array
}

/** How many bytes of the pack's end this was read from. */
export function packTailBytes({ openSection, footerBox }: PackTail): number {
  return openSection.length + footerBox.length + trailerBytes
}

/**
 * Everything behind the pieces. `seal` gets the open section's hash, which the footer box's context ends with, and the
 * number of pieces, which the footer has to fit.
 */
export function encodePackTail(
  kind: PackContainerKind,
  piecesBytes: number,
  pieces: readonly Piece[],
  seal: (contextSuffix: string, pieceCount: number) => Uint8Array,
): Uint8Array<ArrayBuffer> {
  const openSection = writeOpenSection(pieces)
  const box = seal(footerContextSuffix(openSection), pieces.length)
  const packBytes = piecesBytes + openSection.length + box.length + trailerBytes
  invariant(packBytes <= packBytesMax, `a pack of ${String(packBytes)} bytes`)
  const trailer = new Uint8Array(trailerBytes)
  const trailerView = viewOf(trailer)
  writePreamble(trailer, 0, packVersion, kind)
  trailerView.setUint32(trailerPieceCountAt, pieces.length, true)
  trailerView.setUint32(trailerBoxBytesAt, box.length, true)
  trailerView.setUint32(trailerPackBytesAt, packBytes, true)
  trailer.set(checksumOf(openSection, box, trailer), trailerChecksumAt)
  const tail = concatBytes([openSection, box, trailer])
  const reread = decodePackTail('pack just written', tail, packBytes)
  invariant(
    typeof reread !== 'number' &&
      reread.kind === kind &&
      equalBytes(writeOpenSection(reread.pieces), openSection) &&
      equalBytes(reread.footerBox, box),
    'a pack reads back as written',
  )
  return tail
}

function writeOpenSection(pieces: readonly Piece[]): Uint8Array {
  const bytes = new Uint8Array(pieces.length * pieceBytes)
  const view = viewOf(bytes)
  pieces.forEach((piece, index) => {
    view.setUint32(index * pieceBytes + pieceOffsetAt, piece.offset, true)
    view.setUint32(index * pieceBytes + pieceLengthAt, piece.length, true)
    bytes.set(piece.hash, index * pieceBytes + pieceHashAt)
  })
  return bytes
}

/**
 * Reads the tail of a pack of `packBytes` from its last bytes. When `bytes` does not reach back far enough, the answer
 * is the number of bytes that do.
 */
export function decodePackTail(name: string, bytes: Uint8Array, packBytes: number): PackTail | number {
  requireLength(name, bytes, trailerBytes)
  const trailer = bytes.subarray(bytes.length - trailerBytes)
  const kind = requirePreamble(name, trailer, packVersion)
  if (kind !== packKinds.data && kind !== packKinds.map) throw damaged(name, `is no pack but of kind ${String(kind)}`)
  const view = viewOf(trailer)
  requireZero(name, view.getUint32(trailerReservedAt, true))
  const pieceCount = view.getUint32(trailerPieceCountAt, true)
  requireCount(`${name}, pieces`, pieceCount, footerEntriesMax)
  const boxBytes = view.getUint32(trailerBoxBytesAt, true)
  requireCount(`${name}, bytes of its footer`, boxBytes, footerBoxBytesMax)
  const tailBytes = pieceCount * pieceBytes + boxBytes + trailerBytes
  if (view.getUint32(trailerPackBytesAt, true) !== packBytes || tailBytes > packBytes) {
    throw damaged(name, `its end speaks of another length than its ${String(packBytes)} bytes`)
  }
  if (tailBytes > bytes.length) return tailBytes
  const openAt = bytes.length - tailBytes
  const boxAt = openAt + pieceCount * pieceBytes
  const openSection = bytes.subarray(openAt, boxAt)
  const footerBox = bytes.subarray(boxAt, boxAt + boxBytes)
  if (!equalBytes(checksumOf(openSection, footerBox, trailer), trailer.subarray(trailerChecksumAt))) {
    throw damaged(name, 'the checksum of its end is wrong')
  }
  return { kind, pieces: decodePieces(name, openSection, packBytes - tailBytes), openSection, footerBox }
}

function decodePieces(name: string, openSection: Uint8Array, piecesBytes: number): Piece[] {
  const view = viewOf(openSection)
  const pieces: Piece[] = []
  let end = 0
  for (let at = 0; at < openSection.length; at += pieceBytes) {
    const offset = view.getUint32(at + pieceOffsetAt, true)
    const length = view.getUint32(at + pieceLengthAt, true)
    if (offset < end || length === 0 || offset + length > piecesBytes)
      throw damaged(name, 'its pieces overlap or end outside')
    end = offset + length
    pieces.push({ offset, length, hash: openSection.subarray(at + pieceHashAt, at + pieceBytes) })
  }
  return pieces
}

function checksumOf(openSection: Uint8Array, box: Uint8Array, trailer: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update(openSection).update(box).update(trailer.subarray(0, trailerChecksumAt))
  return hash.digest().subarray(0, checksumBytes)
}

/** Binds a footer to the open section before it. */
export function footerContextSuffix(openSection: Uint8Array): string {
  return `#${createHash('sha256').update(openSection).digest('hex')}`
}

// ── footer of a data pack: which block is where ────────────────────────────────────────────────────────────────────

/** The block is all zeros; there is no record. */
const recordZero = 0xffff_ffff
/** The block is what the base has at this number; there is no record. */
const recordBase = 0xffff_fffe

export type FooterEntry =
  | {
      readonly state: 'record'
      readonly block: number
      readonly digest: Uint8Array
      readonly piece: number
      /** Which of the footer's data keys the record is sealed under. */
      readonly key: number
    }
  | { readonly state: 'zero' | 'base'; readonly block: number; readonly digest: Uint8Array }

export interface DataFooter {
  readonly disk: number
  readonly segment: number
  /** What the pack's records are sealed under; none when it has no records. */
  readonly dataKeys: readonly WrappedDataKey[]
  /** Ascending block numbers, each once. */
  readonly entries: readonly FooterEntry[]
}

const footerDiskAt = 0
const footerReservedAt = 2
const footerSegmentAt = 4
const footerEntryCountAt = 8
const footerKeyCountAt = 12
/** The wrapped data keys; the entries follow, and where there are several keys, which entry has which. */
const footerKeyAt = footerKeyCountAt + 4

const entryBlockAt = 0
const entryRecordAt = 4
const entryDigestAt = 8
const footerEntryBytes = entryDigestAt + digestBytes
const entryKeyBytes = 2
invariant(footerKeyAt === 16 && footerEntryBytes === 40, 'docs/format.md states these numbers')

/** Footers of page packs (map-footer.ts) are smaller. */
const footerBoxBytesMax =
  boxOverheadBytes + entriesAt(keysPerRootMax) + footerEntriesMax * (footerEntryBytes + entryKeyBytes)
export const dataPackTailBytesMax = footerEntriesMax * pieceBytes + footerBoxBytesMax + trailerBytes
invariant(
  boxOverheadBytes + entriesAt(1) + (segmentBytesMax / blockBytesDefault) * (pieceBytes + footerEntryBytes) <=
    footerGuessBytes - trailerBytes,
  "one request takes the whole end of a default block size's pack",
)

function entriesAt(keyCount: number): number {
  return footerKeyAt + keyCount * wrappedDataKeyBytes
}

export function encodeDataFooter(footer: DataFooter, pieceCount: number): Uint8Array<ArrayBuffer> {
  const bytes = writeDataFooter(footer)
  const reread = decodeDataFooter('footer just written', bytes, pieceCount)
  invariant(equalBytes(writeDataFooter(reread), bytes), 'a footer reads back as written')
  return bytes
}

function writeDataFooter({ disk, segment, dataKeys, entries }: DataFooter): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(dataFooterBytes(dataKeys.length, entries.length))
  const view = viewOf(bytes)
  view.setUint16(footerDiskAt, disk, true)
  view.setUint32(footerSegmentAt, segment, true)
  view.setUint32(footerEntryCountAt, entries.length, true)
  view.setUint32(footerKeyCountAt, dataKeys.length, true)
  dataKeys.forEach((key, index) => {
    bytes.set(encodeWrappedDataKey(key), entriesAt(index))
  })
  const firstAt = entriesAt(dataKeys.length)
  const keysAt = firstAt + entries.length * footerEntryBytes
  entries.forEach((entry, index) => {
    const at = firstAt + index * footerEntryBytes
    const record = entry.state === 'record' ? entry.piece : entry.state === 'zero' ? recordZero : recordBase
    view.setUint32(at + entryBlockAt, entry.block, true)
    view.setUint32(at + entryRecordAt, record, true)
    bytes.set(entry.digest, at + entryDigestAt)
    if (dataKeys.length > 1 && entry.state === 'record') {
      view.setUint16(keysAt + index * entryKeyBytes, entry.key, true)
    }
  })
  return bytes
}

/** Where there is one key, nothing says which entry has it. */
function dataFooterBytes(keyCount: number, entryCount: number): number {
  return entriesAt(keyCount) + entryCount * (footerEntryBytes + (keyCount > 1 ? entryKeyBytes : 0))
}

export function decodeDataFooter(name: string, bytes: Uint8Array, pieceCount: number): DataFooter {
  requireLength(name, bytes, footerKeyAt)
  const view = viewOf(bytes)
  requireZero(name, view.getUint16(footerReservedAt, true))
  const disk = view.getUint16(footerDiskAt, true)
  requireCount(`${name}, disk`, disk, disksPerSetMax - 1)
  const entryCount = view.getUint32(footerEntryCountAt, true)
  requireCount(`${name}, entries`, entryCount, footerEntriesMax)
  const keyCount = view.getUint32(footerKeyCountAt, true)
  requireCount(`${name}, data keys`, keyCount, keysPerRootMax)
  if ((keyCount === 0) !== (pieceCount === 0)) {
    throw damaged(name, `has ${String(keyCount)} data keys for ${String(pieceCount)} records`)
  }
  requireExactLength(name, bytes, dataFooterBytes(keyCount, entryCount))
  const dataKeys = Array.from({ length: keyCount }, (_, index) =>
    decodeWrappedDataKey(bytes.subarray(entriesAt(index), entriesAt(index + 1))),
  )
  const entries = decodeEntries(name, bytes.subarray(entriesAt(keyCount)), entryCount, { pieceCount, keyCount })
  return { disk, segment: view.getUint32(footerSegmentAt, true), dataKeys, entries }
}

function decodeEntries(
  name: string,
  bytes: Uint8Array,
  entryCount: number,
  { pieceCount, keyCount }: { pieceCount: number; keyCount: number },
): FooterEntry[] {
  const view = viewOf(bytes)
  const keysAt = entryCount * footerEntryBytes
  const entries: FooterEntry[] = []
  let after = -1
  for (let index = 0; index < entryCount; index += 1) {
    const at = index * footerEntryBytes
    const block = view.getUint32(at + entryBlockAt, true)
    const record = view.getUint32(at + entryRecordAt, true)
    const key = keyCount > 1 ? view.getUint16(keysAt + index * entryKeyBytes, true) : 0
    const digest = bytes.subarray(at + entryDigestAt, at + footerEntryBytes)
    if (block <= after) throw damaged(name, 'block numbers do not ascend')
    after = block
    if ((record === recordZero) !== equalBytes(digest, zeroDigest))
      throw damaged(name, 'state and digest of a block disagree')
    if (record === recordZero || record === recordBase) {
      requireZero(name, key)
      entries.push({ state: record === recordZero ? 'zero' : 'base', block, digest })
    } else {
      if (record >= pieceCount) throw damaged(name, `block ${String(block)} names a record that is not in the pack`)
      if (key >= keyCount) throw damaged(name, `block ${String(block)} names a data key that is not in the pack`)
      entries.push({ state: 'record', block, digest, piece: record, key })
    }
  }
  return entries
}

export function sealDataFooter(name: string, footer: DataFooter, keys: IndexKeys, nonce: Uint8Array) {
  return (suffix: string, pieceCount: number): Uint8Array =>
    sealBox(boxKinds.footer, name + suffix, encodeDataFooter(footer, pieceCount), keys, nonce)
}

export function openDataFooter(name: string, tail: PackTail, keys: IndexKeys): DataFooter {
  const plain = openBox(boxKinds.footer, name + footerContextSuffix(tail.openSection), tail.footerBox, keys)
  return decodeDataFooter(name, plain, tail.pieces.length)
}
