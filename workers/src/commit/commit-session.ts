import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { keptWarnings, type BasePoint, type Manifest } from '@strata/shared/format/manifest.ts'
import { sessionEndName, sessionName, type SessionPlace, type SetPlace } from '@strata/shared/format/names.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { writeMap, type WrittenMap } from '@strata/shared/repository/map-writer.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { baseOf, isVoid, latestSequence, readBase, type NumberEntry } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { lockSession, requireNotClosed, termsOf, type LockedSession } from './chain-locking.ts'
import { PointKeys } from './point-keys.ts'
import { SessionPacks } from './session-packs.ts'
import { findOwnNumber, requireVoids, takeNumber, type NumberFacts, type NumberSearch } from './take-number.ts'

/**
 * Makes a point of a session. The barrier is the bucket: whatever Redis says, every segment needs a valid pack there,
 * and the map that comes out must have exactly the content root that the agent computed from the disk. The manifest is
 * published last, in one step; before it nothing is visible, and a repeat of the whole commit is harmless.
 */
export interface CommitResult {
  readonly manifest: Manifest
  readonly manifestDigest: string
}

/** With whether its agent was asked for blocks that are damaged in the base. */
export type CommittedSession = CommitResult & { readonly wasAsked: boolean }

export async function commitSession(repository: Repository, set: SetId, session: SessionId): Promise<CommittedSession> {
  const { open, end } = await readSessionDocuments(repository, repository.placeOf(set), session)
  return { ...(await commitDocuments(repository, set, open, end)), wasAsked: open.wanted !== undefined }
}

async function commitDocuments(
  repository: Repository,
  set: SetId,
  open: Session,
  end: SessionEnd,
): Promise<CommitResult> {
  const setPlace = repository.placeOf(set)
  const session = asId<SessionId>(open.session)
  const latest = await latestSequence(repository, set, open.sequenceAtOpen)
  const published = await findPublished(repository, set, session, open.sequenceAtOpen, latest)
  if (published !== undefined) return published
  const place: SessionPlace = { ...setPlace, chain: asId<ChainId>(open.chain), session }
  if (end.copyOf !== undefined) await requireVoids(repository, set, end.copyOf.sequence, latest)
  const base = open.base === null ? null : await readingBase(openBase(repository, set, open.base))
  const terms = await termsOf(repository, base)
  const keys = new PointKeys(base?.root.keys ?? [])
  const packs = await SessionPacks.choose(repository, place, open, end.segments, keys)
  const map = await writeMap({
    repository,
    place,
    session,
    digestKeys: repository.digestKeysOf(set),
    base,
    disks: open.disks.map((disk, index) => ({
      ...disk,
      changes: packs.changesOf(index),
      isWanted: wantedIn(open.wanted, index),
    })),
    newKeys: keys.added,
  })
  requireContentRoots(open, end, map)
  const locked = await lockSession(repository, place, terms, { data: packs.references, map: map.packs })
  const body = manifestOf(open, end, base, map, packs.storedBytes, locked)
  const between = end.copyOf === undefined ? 'anything' : 'voids'
  const make = (facts: NumberFacts): Manifest => {
    if (body.lock !== undefined) requireNotClosed(body.lock, Date.parse(facts.createdAt))
    return { ...body, ...facts }
  }
  const options = { between, lock: locked.objectLock } as const
  return resultOf(await takeNumber(searchOf(repository, set, session), latest, make, options))
}

function wantedIn(wanted: Session['wanted'], index: number): (block: number) => boolean {
  const ranges = (wanted ?? []).filter(({ disk }) => disk === index)
  return (number) => ranges.some(({ block, blocks }) => block <= number && number < block + blocks)
}

async function openBase(repository: Repository, set: SetId, base: BasePoint): Promise<PointMap> {
  return await PointMap.open(repository, await readBase(repository, set, base))
}

async function readSessionDocuments(
  repository: Repository,
  place: SetPlace,
  session: SessionId,
): Promise<{ open: Session; end: SessionEnd }> {
  const openName = sessionName(place, session)
  const endName = sessionEndName(place, session)
  try {
    const [openBytes, endBytes] = await Promise.all([
      getDocument(repository, openName),
      getDocument(repository, endName),
    ])
    return {
      open: decodeDocument(sessionType, openName, openBytes, repository.indexKeys),
      end: decodeDocument(sessionEndType, endName, endBytes, repository.indexKeys),
    }
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_MISSING')) throw error
    throw new StrataError('E_SESSION_UNKNOWN', `session ${session} was given up, has expired, or was never finished`, {
      cause: error,
    })
  }
}

/**
 * The point of a session under a number after `after`, up to `last`. A commit may have published it and died, or lost
 * its queue, before it could say so. Where a sweeper was there first, the session is over.
 */
export async function findPublished(
  repository: Repository,
  set: SetId,
  session: SessionId,
  after: number,
  last: number,
): Promise<CommitResult | undefined> {
  const own = await findOwnNumber(searchOf(repository, set, session), after, last)
  return own === undefined ? undefined : resultOf(own)
}

/** A foreign number that is damaged ends no backup: this one is whole, and `verify` names the other. */
function searchOf(repository: Repository, set: SetId, session: SessionId): NumberSearch {
  return { repository, set, session, unreadable: 'foreign' }
}

function resultOf(own: NumberEntry): CommitResult {
  if (!isVoid(own)) return { manifest: own.manifest, manifestDigest: own.digest }
  throw new StrataError(
    'E_SESSION_UNKNOWN',
    `session ${own.void.session} was given up at ${own.void.createdAt}: number ${String(own.sequence)} of its set is a void`,
  )
}

function requireContentRoots(open: Session, end: SessionEnd, map: WrittenMap): void {
  if (end.contentRoots.length !== map.contentRoots.length) {
    throw new StrataError(
      'E_CONTENT_ROOT',
      `${String(end.contentRoots.length)} content roots for ${String(map.contentRoots.length)} disks`,
    )
  }
  for (const [index, root] of map.contentRoots.entries()) {
    if (!equalBytes(root, Buffer.from(end.contentRoots[index] ?? '', 'hex'))) {
      throw new StrataError(
        'E_CONTENT_ROOT',
        `the map of disk '${open.disks[index]?.name ?? ''}' is not what the agent read`,
      )
    }
  }
}

function manifestOf(
  open: Session,
  end: SessionEnd,
  base: PointMap | null,
  map: WrittenMap,
  packsBytes: number,
  { lock, warnings }: LockedSession,
): Omit<Manifest, keyof NumberFacts> {
  const { pack, offset, length } = map.root
  return {
    strata: 'manifest',
    version: 1,
    point: open.session,
    setName: open.setName,
    chain: open.chain,
    kind: open.kind,
    base: open.base,
    full: base === null ? null : (base.point.manifest.full ?? baseOf(base.point)),
    ...(end.copyOf === undefined ? {} : { copyOf: end.copyOf }),
    ...(lock === undefined ? {} : { lock }),
    capturedAt: end.capturedAt,
    consistency: end.consistency,
    machine: end.machine,
    disks: open.disks.map((disk, index) => ({ ...disk, contentRoot: end.contentRoots[index] ?? '' })),
    root: { ...pack, offset, length },
    statistics: {
      scannedBytes: end.scannedBytes,
      changedBytes: end.changedBytes,
      storedBytes: packsBytes + map.storedBytes,
      segments: end.segments,
    },
    warnings: keptWarnings([...open.warnings, ...end.warnings, ...warnings]),
  }
}

function getDocument({ store }: Repository, name: string): Promise<Uint8Array> {
  return store.get(name, { bytesMax: documentObjectBytesMax })
}
