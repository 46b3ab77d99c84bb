import { invariant } from '../errors.ts'
import { pageEntriesMax, referencesPerPageMax } from '../limits.ts'
import { damaged, equalBytes, requireCount, requireExactLength, requireLength, requireZero, viewOf } from './bytes.ts'
import { boxOverheadBytes } from './box.ts'
import { digestBytes, zeroDigest } from './digest.ts'
import { packReferenceBytes, readPackReference, samePack, writePackReference, type PackReference } from './names.ts'
import { recordBytesMax } from './record.ts'

/**
 * A page of the map, plain (it is sealed in a box). docs/format.md, "Pages and nodes".
 *
 * The map of a disk is a tree of three levels of one shape: a list of entries, each a digest and the place where what
 * it stands for lies. Pages (level 0) point at records in packs, nodes (level 1) at pages in page packs, the disk's
 * part of the root (level 2) at nodes in page packs.
 */
export const pageLevels = { page: 0, node: 1, root: 2 } as const
export type PageLevel = (typeof pageLevels)[keyof typeof pageLevels]

/** An entry whose blocks are all zeros: its digest is the zero digest and it has no place. */
const stateZero = 0
const stateStored = 1

const levelAt = 0
const reserved1At = 1
const referenceCountAt = 2
const entryCountAt = 4
const reserved2At = 6
const numberAt = 8
const reserved3At = 12
const headerBytes = 16

const entryDigestAt = 0
const entryReferenceAt = digestBytes
const entryStateAt = entryReferenceAt + 2
const entryReservedAt = entryStateAt + 1
const entryOffsetAt = entryReservedAt + 1
const entryLengthAt = entryOffsetAt + 4
const entryBytes = entryLengthAt + 4

export const pageBytesMax = headerBytes + referencesPerPageMax * packReferenceBytes + pageEntriesMax * entryBytes
invariant(entryBytes === 44 && packReferenceBytes === 28, 'docs/format.md states these numbers')

/** Where stored bytes lie: a range of a pack. */
export interface Place {
  readonly pack: PackReference
  readonly offset: number
  readonly length: number
}

/** A page (or node, or a disk's part of the root) in memory. */
export class Page {
  readonly level: PageLevel
  /** Page or node number on its disk; for a disk's part of the root the disk's index. */
  readonly number: number
  readonly entryCount: number
  /** The entries' digests, one after the other. */
  readonly digests: Uint8Array
  readonly #references: PackReference[]
  readonly #referenceOf: Uint16Array
  readonly #offsets: Uint32Array
  /** 0 for a zero entry: nothing stored is empty. */
  readonly #lengths: Uint32Array

  /** A page of zeros. */
  constructor(level: PageLevel, number: number, entryCount: number) {
    invariant(entryCount >= 0 && entryCount <= pageEntriesMax, `${String(entryCount)} entries in a page`)
    this.level = level
    this.number = number
    this.entryCount = entryCount
    this.digests = new Uint8Array(entryCount * digestBytes)
    this.#references = []
    this.#referenceOf = new Uint16Array(entryCount)
    this.#offsets = new Uint32Array(entryCount)
    this.#lengths = new Uint32Array(entryCount)
  }

  digest(entry: number): Uint8Array {
    return this.digests.subarray(entry * digestBytes, (entry + 1) * digestBytes)
  }

  isZero(entry: number): boolean {
    return this.#lengths[entry] === 0
  }

  /** Where the entry's bytes lie, or undefined for zeros. */
  place(entry: number): Place | undefined {
    const length = this.#lengths[entry] ?? 0
    if (length === 0) return undefined
    const pack = this.#references[this.#referenceOf[entry] ?? 0]
    invariant(pack !== undefined, 'decode checked the references')
    return { pack, offset: this.#offsets[entry] ?? 0, length }
  }

  /** The packs that entries refer to, each once. */
  get references(): readonly PackReference[] {
    return this.#references
  }

  setStored(entry: number, digest: Uint8Array, place: Place): void {
    invariant(entry < this.entryCount && place.length > 0, 'a stored entry lies in the page and has bytes')
    this.digests.set(digest, entry * digestBytes)
    this.#referenceOf[entry] = this.#referenceIndex(place.pack)
    this.#offsets[entry] = place.offset
    this.#lengths[entry] = place.length
  }

  setZero(entry: number): void {
    invariant(entry < this.entryCount, 'a zero entry lies in the page')
    this.digests.set(zeroDigest, entry * digestBytes)
    this.#referenceOf[entry] = 0
    this.#offsets[entry] = 0
    this.#lengths[entry] = 0
  }

  /** The same entries in a page that has room for `entryCount` of them; new ones are zeros. */
  resized(entryCount: number): Page {
    const page = new Page(this.level, this.number, entryCount)
    for (let entry = 0; entry < Math.min(entryCount, this.entryCount); entry += 1) {
      const place = this.place(entry)
      if (place !== undefined) page.setStored(entry, this.digest(entry), place)
    }
    return page
  }

  // Neighbours usually lie in one pack, so the last reference is tried first.
  #referenceIndex(pack: PackReference): number {
    const last = this.#references.length - 1
    const lastReference = this.#references[last]
    if (lastReference !== undefined && samePack(lastReference, pack)) return last
    const found = this.#references.findIndex((known) => samePack(known, pack))
    if (found >= 0) return found
    this.#references.push(pack)
    return last + 1
  }
}

export function encodePage(page: Page): Uint8Array<ArrayBuffer> {
  // Built anew, so that packs which no entry refers to any more leave the table.
  const compact = page.resized(page.entryCount)
  const encoded = writePage(compact)
  const reread = decodePage(encoded, page.level, page.number)
  invariant(
    equalBytes(reread.digests, page.digests) && equalBytes(writePage(reread), encoded),
    'a page reads back as written',
  )
  return encoded
}

function writePage(page: Page): Uint8Array<ArrayBuffer> {
  const { references, entryCount } = page
  const entriesAt = headerBytes + references.length * packReferenceBytes
  const bytes = new Uint8Array(entriesAt + entryCount * entryBytes)
  const view = viewOf(bytes)
  view.setUint8(levelAt, page.level)
  view.setUint16(referenceCountAt, references.length, true)
  view.setUint16(entryCountAt, entryCount, true)
  view.setUint32(numberAt, page.number, true)
  references.forEach((reference, index) => {
    writePackReference(bytes, headerBytes + index * packReferenceBytes, reference)
  })
  const indexOf = new Map(references.map((reference, index) => [reference, index]))
  for (let entry = 0; entry < entryCount; entry += 1) {
    const at = entriesAt + entry * entryBytes
    const place = page.place(entry)
    bytes.set(page.digest(entry), at + entryDigestAt)
    view.setUint8(at + entryStateAt, place === undefined ? stateZero : stateStored)
    if (place === undefined) continue
    view.setUint16(at + entryReferenceAt, indexOf.get(place.pack) ?? 0, true)
    view.setUint32(at + entryOffsetAt, place.offset, true)
    view.setUint32(at + entryLengthAt, place.length, true)
  }
  return bytes
}

/** Reads a page; level and number must be the expected ones. */
export function decodePage(bytes: Uint8Array, level: PageLevel, number: number): Page {
  const what = `map page ${String(number)} of level ${String(level)}`
  requireLength(what, bytes, headerBytes)
  const view = viewOf(bytes)
  if (view.getUint8(levelAt) !== level || view.getUint32(numberAt, true) !== number) {
    throw damaged(what, 'is another page than its place says')
  }
  requireZero(what, view.getUint8(reserved1At) | view.getUint16(reserved2At, true) | view.getUint32(reserved3At, true))
  const referenceCount = view.getUint16(referenceCountAt, true)
  const entryCount = view.getUint16(entryCountAt, true)
  requireCount(`${what}, references`, referenceCount, referencesPerPageMax)
  requireCount(`${what}, entries`, entryCount, pageEntriesMax)
  const entriesAt = headerBytes + referenceCount * packReferenceBytes
  requireExactLength(what, bytes, entriesAt + entryCount * entryBytes)
  const references = Array.from({ length: referenceCount }, (_, index) =>
    readPackReference(bytes, headerBytes + index * packReferenceBytes),
  )
  const page = new Page(level, number, entryCount)
  const lengthMax = level === pageLevels.page ? recordBytesMax : boxOverheadBytes + pageBytesMax
  for (let entry = 0; entry < entryCount; entry += 1) {
    const at = entriesAt + entry * entryBytes
    const digest = bytes.subarray(at + entryDigestAt, at + entryReferenceAt)
    const state = view.getUint8(at + entryStateAt)
    const reference = view.getUint16(at + entryReferenceAt, true)
    const pack = references[reference]
    const offset = view.getUint32(at + entryOffsetAt, true)
    const length = view.getUint32(at + entryLengthAt, true)
    requireZero(what, view.getUint8(at + entryReservedAt))
    const zero = equalBytes(digest, zeroDigest)
    if (state === stateStored && !zero && length > 0 && length <= lengthMax && pack !== undefined) {
      page.setStored(entry, digest, { pack, offset, length })
    } else if (!(state === stateZero && zero && length === 0 && offset === 0 && reference === 0)) {
      throw damaged(what, `entry ${String(entry)} is neither zeros nor a place in a pack`)
    }
  }
  return page
}
