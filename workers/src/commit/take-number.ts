import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { documentObjectBytesMax, encodeDocument } from '@strata/shared/format/document.ts'
import { manifestDigest, manifestType, type Manifest } from '@strata/shared/format/manifest.ts'
import { manifestName, type SetPlace } from '@strata/shared/format/names.ts'
import { voidType, type Void } from '@strata/shared/format/void.ts'
import { pointsPerSetMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { isVoid, numberEntry, readNumber, type NumberEntry } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectLock } from '@strata/shared/store/object-store.ts'
import type { SessionId, SetId } from '@strata/shared/types.ts'

/**
 * A session ends with one number of its set, whatever dies and whoever tries at the same time: a manifest, and it is a
 * point, or a void, and it never will be one. Both walk the same way: every number after the one that the session began
 * with is looked at, in order, and the first free one is created if absent. So whoever comes second meets the first.
 */
export interface NumberSearch {
  readonly repository: Repository
  readonly set: SetId
  readonly session: SessionId
  /**
   * What a number counts as that cannot be read. `foreign`: it is not what this session has just written. `refused`: an
   * error; for whoever deletes because a number is not the session's.
   */
  readonly unreadable: 'foreign' | 'refused'
}

/**
 * What may lie between the number that a document follows and its own. `anything`: it goes behind whatever others have
 * taken. `voids`: it is of the point it follows, and worth nothing behind another (E_COPY_OVERTAKEN).
 */
export type Between = 'anything' | 'voids'

export interface TakeOptions {
  readonly between?: Between
  /** What the document is put with. */
  readonly lock?: ObjectLock | undefined
}

/** What a document says of its number; the rest is its maker's. */
export type NumberFacts = Pick<Manifest, 'sequence' | 'previous' | 'createdAt'>

const sequenceTriesMax = 100

/** The session's own number after `after`, up to `last`, where it has one; it is durable. A point counts before a void. */
export async function findOwnNumber(
  search: NumberSearch,
  after: number,
  last: number,
): Promise<NumberEntry | undefined> {
  const { repository, set } = search
  const read = (sequence: number): Promise<NumberEntry | undefined> => readIfOwn(search, sequence)
  let own: NumberEntry | undefined
  for await (const found of mapConcurrently(numbers(after + 1, last), storeRequestsInFlightMax, read)) {
    if (found !== undefined && (own === undefined || isVoid(own))) own = found
  }
  // What reading finds may still be lost in a power cut; what `head` shows may not.
  if (own !== undefined) await repository.store.head(manifestName(repository.placeOf(set), own.sequence))
  return own
}

/**
 * Takes the first free number after `last`, which is not the session's, with the document that `make` gives for it.
 * Numbers that others take at the last moment are passed over, never reused. Where the session turns out to have a
 * number already, that one is the answer: a commit may meet a void, and a sweeper a manifest.
 */
export async function takeNumber(
  search: NumberSearch,
  last: number,
  make: (facts: NumberFacts) => Manifest | Void,
  { between = 'anything', lock }: TakeOptions = {},
): Promise<NumberEntry> {
  const { repository, set } = search
  const place = repository.placeOf(set)
  let previous = last === 0 ? null : await digestOf(repository, place, last)
  for (let sequence = last + 1; sequence <= last + sequenceTriesMax; sequence += 1) {
    requireInRange(sequence)
    const createdAt = new Date(await repository.store.now()).toISOString()
    const document = make({ sequence, previous, createdAt })
    const name = manifestName(place, sequence)
    const bytes = encode(repository, name, document)
    try {
      await repository.store.put(name, [bytes], { ifAbsent: true, lock })
      return numberEntry(set, document, manifestDigest(bytes))
    } catch (error) {
      if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
      const own = await readIfOwn(search, sequence)
      if (own !== undefined) return own
      if (between === 'voids') await requireVoid(repository, set, sequence)
      previous = await digestOf(repository, place, sequence)
    }
  }
  throw new StrataError(
    'E_SEQUENCE_TAKEN',
    `${String(sequenceTriesMax)} numbers in a row were taken by other sessions of the set`,
  )
}

async function readIfOwn(search: NumberSearch, sequence: number): Promise<NumberEntry | undefined> {
  const { repository, set, session, unreadable } = search
  try {
    const entry = await readNumber(repository, set, sequence)
    const owner = isVoid(entry) ? entry.void.session : entry.manifest.point
    return owner === session ? entry : undefined
  } catch (error) {
    if (unreadable === 'refused' || !isForeign(error)) throw error
    return undefined
  }
}

/** For a copy of the point `after`: the numbers behind it, up to `last`, must be voids. Error: E_COPY_OVERTAKEN. */
export async function requireVoids(repository: Repository, set: SetId, after: number, last: number): Promise<void> {
  for (let sequence = last; sequence > after; sequence -= 1) await requireVoid(repository, set, sequence)
}

async function requireVoid(repository: Repository, set: SetId, sequence: number): Promise<void> {
  try {
    if (isVoid(await readNumber(repository, set, sequence))) return
  } catch (error) {
    // What cannot be read may be a point.
    if (!isForeign(error)) throw error
  }
  throw new StrataError('E_COPY_OVERTAKEN', `number ${String(sequence)} of the set was taken by a point meanwhile`)
}

function isForeign(error: unknown): boolean {
  return hasCode(error, 'E_FORMAT_NEWER', 'E_FORMAT_KIND', 'E_FORMAT_DAMAGED', 'E_SEAL_BROKEN', 'E_OBJECT_ARCHIVED')
}

function requireInRange(sequence: number): void {
  if (sequence <= pointsPerSetMax) return
  throw new StrataError('E_LIMIT', `the set has no number left after ${String(pointsPerSetMax)}`, {
    hint: 'Use another --set. Should an object of that number be there that nobody made on purpose, find out who could write to the store.',
  })
}

function encode(repository: Repository, name: string, document: Manifest | Void): Uint8Array {
  const { indexKeys } = repository
  return document.strata === 'void'
    ? encodeDocument(voidType, name, document, indexKeys, repository.nonce())
    : encodeDocument(manifestType, name, document, indexKeys, repository.nonce())
}

/** Of the stored bytes as they are: a manifest that cannot be read has a digest all the same. */
async function digestOf({ store }: Repository, place: SetPlace, sequence: number): Promise<string> {
  return manifestDigest(await store.get(manifestName(place, sequence), { bytesMax: documentObjectBytesMax }))
}

function* numbers(first: number, last: number): Generator<number> {
  for (let sequence = first; sequence <= last; sequence += 1) yield sequence
}
