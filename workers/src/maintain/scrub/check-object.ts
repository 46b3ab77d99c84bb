import { invariant, StrataError } from '@strata/shared/errors.ts'
import { damaged } from '@strata/shared/format/bytes.ts'
import { openMapFooter } from '@strata/shared/format/map-footer.ts'
import type { PackKind, PackReference } from '@strata/shared/format/names.ts'
import {
  dataPackTailBytesMax,
  decodePackTail,
  openDataFooter,
  packKinds,
  trailerBytes,
  type Piece,
} from '@strata/shared/format/pack.ts'
import { boxOverheadBytes } from '@strata/shared/format/box.ts'
import { recordBytesMax } from '@strata/shared/format/record.ts'
import { readBytesMax, rootBytesMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isDamage } from '../../read/damage.ts'
import { whole } from '../../read/record-opener.ts'
import type { PiecePool } from './piece-pool.ts'

/** A pack or page pack as a listing shows it. */
export interface StoredObject {
  readonly name: string
  readonly sizeBytes: number
  readonly kind: PackKind
  readonly reference: PackReference
}

/** Bytes of an object that are not what they should be. */
export interface BadRange {
  readonly offset: number
  readonly length: number
  readonly code: StrataError['code']
  readonly message: string
}

/** Of one object. */
const rangesAtOnceMax = 2

invariant(dataPackTailBytesMax <= readBytesMax, 'one read has the whole end of every pack')

/**
 * Checks objects as far as the index keys go (docs/format.md, 9.3): the end, its footer, and every piece by its hash. One
 * request for each `readBytesMax`. What is bad at the first look is read once more before it counts.
 */
export class ObjectChecker {
  readonly #repository: Repository
  readonly #pool: PiecePool

  constructor(repository: Repository, pool: PiecePool) {
    this.#repository = repository
    this.#pool = pool
  }

  /** Nothing bad: an empty list. Errors: whatever says nothing of the object itself, such as a store that is away. */
  async check(stored: StoredObject): Promise<BadRange[]> {
    try {
      return await this.#checkWhole(stored)
    } catch (error) {
      if (!isDamage(error)) throw error
      // Nobody can tell any more what lies where in it.
      return [{ offset: 0, length: Math.max(1, stored.sizeBytes), code: error.code, message: error.message }]
    }
  }

  /** One range is fetched while the one before is compared. */
  async #checkWhole(stored: StoredObject): Promise<BadRange[]> {
    const { name, sizeBytes } = stored
    if (sizeBytes < trailerBytes) throw damaged(name, `has ${String(sizeBytes)} bytes`)
    const endBytes = Math.min(sizeBytes, readBytesMax)
    const endAt = sizeBytes - endBytes
    const end = await this.#repository.store.get(name, { offset: endAt, length: endBytes })
    const pieces = openedPieces(this.#repository, stored, end)
    const inEnd = pieces.filter(({ offset }) => offset >= endAt)
    const parts = [
      () => this.#compare(stored, inEnd, end, endAt),
      ...Array.from(
        grouped(pieces.slice(0, pieces.length - inEnd.length)),
        (group) => () => this.#checkGroup(stored, group),
      ),
    ]
    const bad: BadRange[] = []
    for await (const found of mapConcurrently(parts, rangesAtOnceMax, (check) => check())) bad.push(...found)
    return bad
  }

  async #checkGroup(stored: StoredObject, pieces: readonly Piece[]): Promise<BadRange[]> {
    const { offset, length } = spanOf(pieces)
    try {
      const range = await this.#repository.store.get(stored.name, { offset, length })
      return await this.#compare(stored, pieces, range, offset)
    } catch (error) {
      if (!isDamage(error) || isOfWhole(error)) throw error
      return await this.#lookAgain(stored, pieces)
    }
  }

  async #compare(
    stored: StoredObject,
    pieces: readonly Piece[],
    range: Uint8Array<ArrayBuffer>,
    rangeAt: number,
  ): Promise<BadRange[]> {
    if (pieces.length === 0) return []
    const bad = await this.#pool.check({
      range: whole(range),
      offsets: Uint32Array.from(pieces, ({ offset }) => offset - rangeAt),
      lengths: Uint32Array.from(pieces, ({ length }) => length),
      hashes: Buffer.concat(pieces.map(({ hash }) => hash)),
    })
    return bad.length === 0
      ? []
      : await this.#lookAgain(
          stored,
          bad.flatMap((index) => pieces[index] ?? []),
        )
  }

  /** Each piece by itself, so that only those in the bad part are lost, and none for what happened on its way. */
  async #lookAgain({ name }: StoredObject, pieces: readonly Piece[]): Promise<BadRange[]> {
    const bad: BadRange[] = []
    for (const { offset, length, hash } of pieces) {
      try {
        const range = await this.#repository.store.get(name, { offset, length })
        const found = await this.#pool.check({
          range: whole(range),
          offsets: Uint32Array.of(0),
          lengths: Uint32Array.of(length),
          hashes: Buffer.from(hash),
        })
        if (found.length === 0) continue
        bad.push({
          offset,
          length,
          code: 'E_FORMAT_DAMAGED',
          message: 'the stored bytes are not those that were written',
        })
      } catch (error) {
        if (!isDamage(error) || isOfWhole(error)) throw error
        bad.push({ offset, length, code: error.code, message: error.message })
      }
    }
    return bad
  }
}

/** The pieces of an object whose end is what it should be, under this name. */
function openedPieces({ indexKeys }: Repository, stored: StoredObject, end: Uint8Array): readonly Piece[] {
  const { name, sizeBytes, kind, reference } = stored
  const tail = decodePackTail(name, end, sizeBytes)
  invariant(typeof tail !== 'number', 'one read has the whole end of every pack')
  if (tail.kind !== packKinds[kind]) {
    throw new StrataError('E_FORMAT_KIND', `${name}: is of kind ${String(tail.kind)}`)
  }
  if (kind === 'map') openMapFooter(name, tail, indexKeys)
  else if (openDataFooter(name, tail, indexKeys).segment !== reference.number) {
    throw damaged(name, 'is of another segment than its name says')
  }
  const lengthMax = kind === 'data' ? recordBytesMax : boxOverheadBytes + rootBytesMax
  // No wrong length makes us fetch, or allocate, more than a piece can have.
  if (tail.pieces.some(({ length }) => length > lengthMax)) throw damaged(name, 'has a piece that is too long')
  // Copies: the memory of the end goes to a thread.
  return tail.pieces.map((piece) => ({ ...piece, hash: piece.hash.slice() }))
}

/** Neighbours that are fetched together. */
function* grouped(pieces: readonly Piece[]): Generator<Piece[]> {
  let group: Piece[] = []
  for (const piece of pieces) {
    const [first] = group
    if (first !== undefined && piece.offset + piece.length - first.offset > readBytesMax) {
      yield group
      group = []
    }
    group.push(piece)
  }
  if (group.length > 0) yield group
}

function spanOf(pieces: readonly Piece[]): { offset: number; length: number } {
  const offset = pieces[0]?.offset ?? 0
  const last = pieces.at(-1)
  return { offset, length: last === undefined ? 0 : last.offset + last.length - offset }
}

/** Then no part of the object can be read. */
function isOfWhole({ code }: StrataError): boolean {
  return code === 'E_OBJECT_MISSING' || code === 'E_OBJECT_ARCHIVED'
}
