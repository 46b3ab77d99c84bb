import { createHash } from 'node:crypto'
import { invariant } from '../errors.ts'
import {
  blockBytesDefault,
  disksPerSetMax,
  footerEntriesMax,
  footerGuessBytes,
  keysPerRootMax,
  packBytesMax,
  packsNamedMax,
  segmentBytesMax,
} from '../limits.ts'
import { boxKinds, boxOverheadBytes, openBox, sealBox, type IndexKeys } from './box.ts'
import {
  concatBytes,
  damaged,
  equalBytes,
  preambleBytes,
  readPreamble,
  requireCount,
  requireExactLength,
  requireLength,
  requireZero,
  viewOf,
  writePreamble,
} from './bytes.ts'
import { digestBytes, zeroDigest } from './digest.ts'
import {
  packFooterContext,
  packKey,
  packReferenceBytes,
  readPackReference,
  writePackReference,
  type PackReference,
} from './names.ts'
import type { Place } from './page.ts'
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
export const packVersion = 2
/** Its footer, when it is one of a pack, is bound to the whole name, and names no other packs. */
const packVersionOldest = 1
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
  readonly version: number
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
  const { version, kind } = readPreamble(name, trailer, packVersionOldest, packVersion)
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
  return { version, kind, pieces: decodePieces(name, openSection, packBytes - tailBytes), openSection, footerBox }
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
/** The record lies in another pack of the chain. */
const recordElsewhere = 0xffff_fffd

export type FooterEntry =
  | {
      readonly state: 'record'
      readonly block: number
      readonly digest: Uint8Array
      readonly piece: number
      /** Which of the footer's data keys the record is sealed under. */
      readonly key: number
    }
  | {
      readonly state: 'elsewhere'
      readonly block: number
      readonly digest: Uint8Array
      /** In a pack of the same chain that was copied whole. */
      readonly place: Place
      readonly key: number
    }
  | { readonly state: 'zero' | 'base'; readonly block: number; readonly digest: Uint8Array }

export interface DataFooter {
  readonly disk: number
  readonly segment: number
  /** What the records of its entries are sealed under; none when there are no records. */
  readonly dataKeys: readonly WrappedDataKey[]
  /** Ascending block numbers, each once. */
  readonly entries: readonly FooterEntry[]
}

const footerDiskAt = 0
const footerPackCountAt = 2
const footerSegmentAt = 4
const footerEntryCountAt = 8
const footerKeyCountAt = 12
/**
 * The wrapped data keys; then the other packs that entries name, the entries, where there are several keys which entry has
 * which, and for each record that lies elsewhere its place.
 */
const footerKeyAt = footerKeyCountAt + 4

const entryBlockAt = 0
const entryRecordAt = 4
const entryDigestAt = 8
const footerEntryBytes = entryDigestAt + digestBytes
const entryKeyBytes = 2

const placePackAt = 0
const placeReservedAt = 2
const placeOffsetAt = 4
const placeLengthAt = 8
const placeBytes = placeLengthAt + 4
invariant(
  footerKeyAt === 16 && footerEntryBytes === 40 && packReferenceBytes === 28 && placeBytes === 12,
  'docs/format.md states these numbers',
)

/** How many there are of everything that a footer consists of. */
interface FooterCounts {
  readonly keys: number
  readonly packs: number
  readonly entries: number
  readonly elsewhere: number
}

/** Where its parts begin, and how many bytes it has. */
function footerLayout({ keys, packs, entries, elsewhere }: FooterCounts): {
  readonly packsAt: number
  readonly entriesAt: number
  readonly entryKeysAt: number
  readonly placesAt: number
  readonly bytes: number
} {
  const packsAt = footerKeyAt + keys * wrappedDataKeyBytes
  const entriesAt = packsAt + packs * packReferenceBytes
  const entryKeysAt = entriesAt + entries * footerEntryBytes
  // Where there is one key, nothing says which entry has it.
  const placesAt = entryKeysAt + (keys > 1 ? entries * entryKeyBytes : 0)
  return { packsAt, entriesAt, entryKeysAt, placesAt, bytes: placesAt + elsewhere * placeBytes }
}

/** Footers of page packs (map-footer.ts) are smaller. */
const footerBoxBytesMax =
  boxOverheadBytes +
  footerLayout({
    keys: keysPerRootMax,
    packs: packsNamedMax,
    entries: footerEntriesMax,
    elsewhere: footerEntriesMax,
  }).bytes
export const dataPackTailBytesMax = footerEntriesMax * pieceBytes + footerBoxBytesMax + trailerBytes
invariant(
  boxOverheadBytes +
    footerKeyAt +
    wrappedDataKeyBytes +
    (segmentBytesMax / blockBytesDefault) * (pieceBytes + footerEntryBytes) <=
    footerGuessBytes - trailerBytes,
  "one request takes the whole end of a default block size's pack",
)

export function encodeDataFooter(footer: DataFooter, pieceCount: number): Uint8Array<ArrayBuffer> {
  const bytes = writeDataFooter(footer)
  const reread = decodeDataFooter('footer just written', bytes, pieceCount)
  invariant(equalBytes(writeDataFooter(reread), bytes), 'a footer reads back as written')
  return bytes
}

/** The packs that a footer names, each once, in the order in which its entries come to them. */
export function packsNamedBy({ entries }: Pick<DataFooter, 'entries'>): Map<string, PackReference> {
  const packs = new Map<string, PackReference>()
  for (const entry of entries) if (entry.state === 'elsewhere') packs.set(packKey(entry.place.pack), entry.place.pack)
  return packs
}

function writeDataFooter({ disk, segment, dataKeys, entries }: DataFooter): Uint8Array<ArrayBuffer> {
  const packs = packsNamedBy({ entries })
  invariant(packs.size <= packsNamedMax, `a footer that names ${String(packs.size)} packs`)
  const elsewhere = entries.filter((entry) => entry.state === 'elsewhere')
  const counts = { keys: dataKeys.length, packs: packs.size, entries: entries.length, elsewhere: elsewhere.length }
  const layout = footerLayout(counts)
  const bytes = new Uint8Array(layout.bytes)
  const view = viewOf(bytes)
  view.setUint16(footerDiskAt, disk, true)
  view.setUint16(footerPackCountAt, counts.packs, true)
  view.setUint32(footerSegmentAt, segment, true)
  view.setUint32(footerEntryCountAt, counts.entries, true)
  view.setUint32(footerKeyCountAt, counts.keys, true)
  dataKeys.forEach((key, index) => {
    bytes.set(encodeWrappedDataKey(key), footerKeyAt + index * wrappedDataKeyBytes)
  })
  const packIndexOf = new Map<string, number>()
  for (const [key, pack] of packs) {
    writePackReference(bytes, layout.packsAt + packIndexOf.size * packReferenceBytes, pack)
    packIndexOf.set(key, packIndexOf.size)
  }
  entries.forEach((entry, index) => {
    const at = layout.entriesAt + index * footerEntryBytes
    view.setUint32(at + entryBlockAt, entry.block, true)
    view.setUint32(at + entryRecordAt, recordNumberOf(entry), true)
    bytes.set(entry.digest, at + entryDigestAt)
    if (counts.keys > 1 && 'key' in entry) view.setUint16(layout.entryKeysAt + index * entryKeyBytes, entry.key, true)
  })
  elsewhere.forEach(({ place }, index) => {
    const at = layout.placesAt + index * placeBytes
    view.setUint16(at + placePackAt, packIndexOf.get(packKey(place.pack)) ?? 0, true)
    view.setUint32(at + placeOffsetAt, place.offset, true)
    view.setUint32(at + placeLengthAt, place.length, true)
  })
  return bytes
}

function recordNumberOf(entry: FooterEntry): number {
  if (entry.state === 'record') return entry.piece
  return { zero: recordZero, base: recordBase, elsewhere: recordElsewhere }[entry.state]
}

export function decodeDataFooter(name: string, bytes: Uint8Array, pieceCount: number): DataFooter {
  requireLength(name, bytes, footerKeyAt)
  const view = viewOf(bytes)
  const disk = view.getUint16(footerDiskAt, true)
  requireCount(`${name}, disk`, disk, disksPerSetMax - 1)
  const packs = view.getUint16(footerPackCountAt, true)
  requireCount(`${name}, other packs`, packs, packsNamedMax)
  const entryCount = view.getUint32(footerEntryCountAt, true)
  requireCount(`${name}, entries`, entryCount, footerEntriesMax)
  const keys = view.getUint32(footerKeyCountAt, true)
  requireCount(`${name}, data keys`, keys, keysPerRootMax)
  const shortest = footerLayout({ keys, packs, entries: entryCount, elsewhere: 0 })
  requireLength(name, bytes, shortest.bytes)
  const elsewhere = countElsewhere(view, shortest.entriesAt, entryCount)
  requireExactLength(name, bytes, footerLayout({ keys, packs, entries: entryCount, elsewhere }).bytes)
  if ((keys === 0) !== (pieceCount + elsewhere === 0)) {
    throw damaged(name, `has ${String(keys)} data keys for ${String(pieceCount + elsewhere)} records`)
  }
  const dataKeys = Array.from({ length: keys }, (_, index) => {
    const at = footerKeyAt + index * wrappedDataKeyBytes
    return decodeWrappedDataKey(bytes.subarray(at, at + wrappedDataKeyBytes))
  })
  const named = Array.from({ length: packs }, (_, index) =>
    readPackReference(bytes, shortest.packsAt + index * packReferenceBytes),
  )
  const places = decodePlaces(name, bytes.subarray(shortest.placesAt), named)
  const parts = { bytes, view, layout: shortest, entryCount, pieceCount, keyCount: keys, places }
  return { disk, segment: view.getUint32(footerSegmentAt, true), dataKeys, entries: decodeEntries(name, parts) }
}

function countElsewhere(view: DataView, entriesAt: number, entryCount: number): number {
  let count = 0
  for (let index = 0; index < entryCount; index += 1) {
    const record = view.getUint32(entriesAt + index * footerEntryBytes + entryRecordAt, true)
    if (record === recordElsewhere) count += 1
  }
  return count
}

function decodePlaces(name: string, bytes: Uint8Array, packs: readonly PackReference[]): Place[] {
  const view = viewOf(bytes)
  const places: Place[] = []
  for (let at = 0; at < bytes.length; at += placeBytes) {
    const pack = packs[view.getUint16(at + placePackAt, true)]
    requireZero(name, view.getUint16(at + placeReservedAt, true))
    const offset = view.getUint32(at + placeOffsetAt, true)
    const length = view.getUint32(at + placeLengthAt, true)
    if (pack === undefined || length === 0 || offset + length > packBytesMax) {
      throw damaged(name, 'names a record elsewhere that cannot be there')
    }
    places.push({ pack, offset, length })
  }
  return places
}

interface FooterParts {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly layout: ReturnType<typeof footerLayout>
  readonly entryCount: number
  readonly pieceCount: number
  readonly keyCount: number
  /** Of the entries whose record lies elsewhere, in their order. */
  readonly places: readonly Place[]
}

function decodeEntries(
  name: string,
  { bytes, view, layout, entryCount, pieceCount, keyCount, places }: FooterParts,
): FooterEntry[] {
  const entries: FooterEntry[] = []
  let after = -1
  let placesTaken = 0
  for (let index = 0; index < entryCount; index += 1) {
    const at = layout.entriesAt + index * footerEntryBytes
    const block = view.getUint32(at + entryBlockAt, true)
    const record = view.getUint32(at + entryRecordAt, true)
    const key = keyCount > 1 ? view.getUint16(layout.entryKeysAt + index * entryKeyBytes, true) : 0
    const digest = bytes.subarray(at + entryDigestAt, at + footerEntryBytes)
    if (block <= after) throw damaged(name, 'block numbers do not ascend')
    after = block
    if ((record === recordZero) !== equalBytes(digest, zeroDigest))
      throw damaged(name, 'state and digest of a block disagree')
    if (record === recordZero || record === recordBase) {
      requireZero(name, key)
      entries.push({ state: record === recordZero ? 'zero' : 'base', block, digest })
      continue
    }
    if (key >= keyCount) throw damaged(name, `block ${String(block)} names a data key that is not in the pack`)
    if (record === recordElsewhere) {
      const place = places[placesTaken]
      invariant(place !== undefined, 'there is a place for each of them')
      placesTaken += 1
      entries.push({ state: 'elsewhere', block, digest, place, key })
      continue
    }
    if (record >= pieceCount) throw damaged(name, `block ${String(block)} names a record that is not in the pack`)
    entries.push({ state: 'record', block, digest, piece: record, key })
  }
  return entries
}

export function sealDataFooter(name: string, footer: DataFooter, keys: IndexKeys, nonce: Uint8Array) {
  return (suffix: string, pieceCount: number): Uint8Array =>
    sealBox(boxKinds.footer, packFooterContext(name) + suffix, encodeDataFooter(footer, pieceCount), keys, nonce)
}

export function openDataFooter(name: string, tail: PackTail, keys: IndexKeys): DataFooter {
  const context = canBeCopiedWhole(tail) ? packFooterContext(name) : name
  const plain = openBox(boxKinds.footer, context + footerContextSuffix(tail.openSection), tail.footerBox, keys)
  const footer = decodeDataFooter(name, plain, tail.pieces.length)
  if (!canBeCopiedWhole(tail)) requireZero(name, packsNamedBy(footer).size)
  return footer
}

/** Whether the end of a pack opens in another chain of its set, too. */
export function canBeCopiedWhole({ version }: Pick<PackTail, 'version'>): boolean {
  return version > packVersionOldest
}
