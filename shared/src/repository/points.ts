import { StrataError, toStrataError } from '../errors.ts'
import { decodeEither, documentObjectBytesMax } from '../format/document.ts'
import { manifestDigest, manifestType, type BasePoint, type Manifest } from '../format/manifest.ts'
import { manifestName, manifestPlaceOf, pointsPrefix, tenantPointsPrefix, type ChainPlace } from '../format/names.ts'
import { voidType, type Void } from '../format/void.ts'
import { storeRequestsInFlightMax } from '../limits.ts'
import { asId, type ChainId, type SessionId, type SetId } from '../types.ts'
import { mapConcurrently } from './concurrency.ts'
import type { Repository } from './repository.ts'

/** A point that can be read, as its manifest tells. */
export interface Point {
  readonly set: SetId
  readonly sequence: number
  readonly manifest: Manifest
  /** SHA-256 of the manifest object. */
  readonly digest: string
}

/** A number that a session which is over was given instead of a point: a link of the set's history, and no more. */
export interface VoidNumber {
  readonly set: SetId
  readonly sequence: number
  readonly void: Void
  /** SHA-256 of the void's object. */
  readonly digest: string
}

/** What a number of a set stands for, for good. */
export type NumberEntry = Point | VoidNumber

/** A manifest (or void) that is there and cannot be used: damaged, of a newer format, or moved from elsewhere. */
export interface UnreadablePoint {
  readonly set: SetId
  readonly sequence: number
  readonly error: StrataError
}

export type PointEntry = NumberEntry | UnreadablePoint

/** A point that can be read. */
export function isReadable(entry: PointEntry): entry is Point {
  return 'manifest' in entry
}

export function isVoid(entry: PointEntry): entry is VoidNumber {
  return 'void' in entry
}

export function isUnreadable(entry: PointEntry): entry is UnreadablePoint {
  return 'error' in entry
}

export function pointId(point: Point): SessionId {
  return asId<SessionId>(point.manifest.point)
}

/** When the machine was as the point has it, by the store's clock: a synthetic full has the moment of its source. */
export function momentOf({ createdAt, copyOf }: Manifest): string {
  return copyOf?.createdAt ?? createdAt
}

export function chainPlaceOf(repository: Repository, point: Point): ChainPlace {
  return { ...repository.placeOf(point.set), chain: asId<ChainId>(point.manifest.chain) }
}

/** `digest`: of the object as it is stored. */
export function numberEntry(set: SetId, document: Manifest | Void, digest: string): NumberEntry {
  const { sequence } = document
  if (document.strata === 'void') return { set, sequence, void: document, digest }
  return { set, sequence, manifest: document, digest }
}

export async function readNumber(repository: Repository, set: SetId, sequence: number): Promise<NumberEntry> {
  const name = manifestName(repository.placeOf(set), sequence)
  const bytes = await repository.store.get(name, { bytesMax: documentObjectBytesMax })
  const document = decodeEither(manifestType, voidType, name, bytes, repository.indexKeys)
  if (document.sequence !== sequence) {
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: holds number ${String(document.sequence)}`)
  }
  return numberEntry(set, document, manifestDigest(bytes))
}

export async function readPoint(repository: Repository, set: SetId, sequence: number): Promise<Point> {
  const entry = await readNumber(repository, set, sequence)
  if (isVoid(entry)) {
    throw new StrataError('E_FORMAT_KIND', `number ${String(sequence)} of the set is a void, and no point`)
  }
  return entry
}

/**
 * All points and voids of a tenant, or of one set, by set and sequence number. One listing; one request a number,
 * several at the same time.
 */
export async function* listPoints(repository: Repository, set?: SetId): AsyncGenerator<PointEntry> {
  const prefix = set === undefined ? tenantPointsPrefix(repository.tenant) : pointsPrefix(repository.placeOf(set))
  yield* mapConcurrently(listSequences(repository, prefix), storeRequestsInFlightMax, ({ set: of, sequence }) =>
    readEntry(repository, of, sequence),
  )
}

/** Of a number that is there. One that cannot be read is an entry as well; only the store's own trouble is an error. */
export async function readEntry(repository: Repository, set: SetId, sequence: number): Promise<PointEntry> {
  try {
    return await readNumber(repository, set, sequence)
  } catch (error) {
    const known = toStrataError(error)
    if (known.kind === 'transient' || known.code.startsWith('E_STORE') || known.kind === 'bug') throw known
    return { set, sequence, error: known }
  }
}

/** What lies among them and has no name of ours is passed over (docs/format.md, 2). */
async function* listSequences(
  { store, tenant }: Repository,
  prefix: string,
  options: { startAfter?: string } = {},
): AsyncGenerator<{ set: SetId; sequence: number }> {
  for await (const { name } of store.list(prefix, options)) {
    const place = manifestPlaceOf(tenant, name)
    if (place !== undefined) yield place
  }
}

/**
 * The newest point of a set, or undefined when there is none yet; voids after it are passed over. A number on the way to
 * it that cannot be read is an error: whoever builds on the point before would hide it. `last`: the highest number of
 * the set, where that is known.
 */
export async function latestPoint(repository: Repository, set: SetId, last?: number): Promise<Point | undefined> {
  const sequence = last ?? (await latestSequence(repository, set))
  if (sequence === 0) return undefined
  // Nearly always the newest number is a point, and nothing is read ahead for it.
  const newest = await readNumber(repository, set, sequence)
  if (!isVoid(newest)) return newest
  const read = (earlier: number): Promise<NumberEntry> => readNumber(repository, set, earlier)
  for await (const entry of mapConcurrently(downFrom(sequence - 1), storeRequestsInFlightMax, read)) {
    if (!isVoid(entry)) return entry
  }
  return undefined
}

function* downFrom(sequence: number): Generator<number> {
  for (let earlier = sequence; earlier >= 1; earlier -= 1) yield earlier
}

/** The highest sequence number that a set has used, or 0. `after`: one that it is known to have used. */
export async function latestSequence(repository: Repository, set: SetId, after = 0): Promise<number> {
  let last = after
  const place = repository.placeOf(set)
  const options = after === 0 ? {} : { startAfter: manifestName(place, after) }
  for await (const { sequence } of listSequences(repository, pointsPrefix(place), options)) last = sequence
  return last
}

/** The same for whoever remembers a number of the set: one request, unless `remembered` is not there (any more). */
export async function latestSequenceFrom(repository: Repository, set: SetId, remembered: number): Promise<number> {
  if (remembered > 1) {
    const last = await latestSequence(repository, set, remembered - 1)
    if (last >= remembered) return last
  }
  return await latestSequence(repository, set)
}

/** The full that `point`'s chain began with. */
export async function fullOf(repository: Repository, point: Point): Promise<Point> {
  const { full } = point.manifest
  return full === null ? point : await readBase(repository, point.set, full)
}

export function baseOf(point: Point): BasePoint {
  return { point: point.manifest.point, sequence: point.sequence, manifestDigest: point.digest }
}

/** Reads the point that a session or manifest builds on, and checks that it is the very same one. */
export async function readBase(
  repository: Repository,
  set: SetId,
  base: { point: string; sequence: number; manifestDigest: string },
): Promise<Point> {
  const point = await readPoint(repository, set, base.sequence)
  if (point.digest !== base.manifestDigest) {
    throw new StrataError(
      'E_HISTORY_BROKEN',
      `point number ${String(base.sequence)} is not the one that was built on: its manifest was replaced`,
    )
  }
  return point
}
