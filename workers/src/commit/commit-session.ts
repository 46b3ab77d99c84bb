import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { decodeDocument, documentObjectBytesMax, encodeDocument } from '@strata/shared/format/document.ts'
import {
  keptWarnings,
  manifestDigest,
  manifestType,
  type BasePoint,
  type Manifest,
} from '@strata/shared/format/manifest.ts'
import {
  manifestName,
  sessionEndName,
  sessionName,
  type SessionPlace,
  type SetPlace,
} from '@strata/shared/format/names.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import { pointsPerSetMax } from '@strata/shared/limits.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { writeMap, type WrittenMap } from '@strata/shared/repository/map-writer.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { baseOf, latestSequence, readBase, readPoint } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { PointKeys } from './point-keys.ts'
import { SessionPacks } from './session-packs.ts'

/**
 * Makes a point of a session. The barrier is the bucket: whatever Redis says, every segment needs a valid pack there,
 * and the map that comes out must have exactly the content root that the agent computed from the disk. The manifest is
 * published last, in one step; before it nothing is visible, and a repeat of the whole commit is harmless.
 */
export interface CommitResult {
  readonly manifest: Manifest
  readonly manifestDigest: string
}

const sequenceTriesMax = 100

export async function commitSession(repository: Repository, set: SetId, session: SessionId): Promise<CommitResult> {
  const setPlace = repository.placeOf(set)
  const { open, end } = await readSessionDocuments(repository, setPlace, session)
  const latest = await latestSequence(repository, set, open.sequenceAtOpen)
  const published = await findPublished(repository, set, session, open.sequenceAtOpen, latest)
  if (published !== undefined) return published
  const place: SessionPlace = { ...setPlace, chain: asId<ChainId>(open.chain), session }
  const base = open.base === null ? null : await readingBase(openBase(repository, set, open.base))
  const keys = new PointKeys(base?.root.keys ?? [])
  const packs = await SessionPacks.choose(repository, place, open, end.segments, keys)
  const map = await writeMap({
    repository,
    place,
    session,
    digestKeys: repository.digestKeysOf(set),
    base,
    disks: open.disks.map((disk, index) => ({ ...disk, changes: packs.changesOf(index) })),
    newKeys: keys.added,
  })
  requireContentRoots(open, end, map)
  return publish(repository, setPlace, manifestOf(open, end, base, map, packs.storedBytes), latest)
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
 * The point of a session under a number after `after`, up to `latest`. A commit may have published it and died, or lost
 * its queue, before it could say so.
 */
export async function findPublished(
  repository: Repository,
  set: SetId,
  session: SessionId,
  after: number,
  latest: number,
): Promise<CommitResult | undefined> {
  for (let sequence = after + 1; sequence <= latest; sequence += 1) {
    const result = await readIfOwn(repository, set, sequence, session)
    if (result === undefined) continue
    // What reading finds may still be lost in a power cut; what `head` shows may not.
    await repository.store.head(manifestName(repository.placeOf(set), sequence))
    return result
  }
  return undefined
}

async function readIfOwn(
  repository: Repository,
  set: SetId,
  sequence: number,
  session: string,
): Promise<CommitResult | undefined> {
  try {
    const { manifest, digest } = await readPoint(repository, set, sequence)
    return manifest.point === session ? { manifest, manifestDigest: digest } : undefined
  } catch (error) {
    // What cannot be read is not what this session has just written.
    if (hasCode(error, 'E_FORMAT_NEWER', 'E_FORMAT_KIND', 'E_FORMAT_DAMAGED', 'E_SEAL_BROKEN', 'E_OBJECT_ARCHIVED'))
      return undefined
    throw error
  }
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
): Omit<Manifest, 'sequence' | 'previous' | 'createdAt'> {
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
    warnings: keptWarnings([...open.warnings, ...end.warnings]),
  }
}

/** Takes the set's next free sequence number. A number that somebody else took is passed over, never reused. */
async function publish(
  repository: Repository,
  place: SetPlace,
  body: Omit<Manifest, 'sequence' | 'previous' | 'createdAt'>,
  latest: number,
): Promise<CommitResult> {
  let previous = latest === 0 ? null : await digestOf(repository, place, latest)
  for (let sequence = latest + 1; sequence <= latest + sequenceTriesMax; sequence += 1) {
    if (sequence > pointsPerSetMax) {
      throw new StrataError('E_LIMIT', `the set has no number left after ${String(pointsPerSetMax)}`, {
        hint: 'Use another --set. Should an object of that number be there that nobody made on purpose, find out who could write to the store.',
      })
    }
    const createdAt = new Date(await repository.store.now()).toISOString()
    const manifest: Manifest = { ...body, sequence, previous, createdAt }
    const name = manifestName(place, sequence)
    const bytes = encodeDocument(manifestType, name, manifest, repository.indexKeys, repository.nonce())
    try {
      await repository.store.put(name, [bytes], { ifAbsent: true })
      return { manifest, manifestDigest: manifestDigest(bytes) }
    } catch (error) {
      if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
      const own = await readIfOwn(repository, place.set, sequence, body.point)
      if (own !== undefined) return own
      previous = await digestOf(repository, place, sequence)
    }
  }
  throw new StrataError(
    'E_SEQUENCE_TAKEN',
    `${String(sequenceTriesMax)} numbers in a row were taken by other sessions of the set`,
  )
}

/** Of the stored bytes as they are: a manifest that cannot be read has a digest all the same. */
async function digestOf(repository: Repository, place: SetPlace, sequence: number): Promise<string> {
  return manifestDigest(await getDocument(repository, manifestName(place, sequence)))
}

function getDocument({ store }: Repository, name: string): Promise<Uint8Array> {
  return store.get(name, { bytesMax: documentObjectBytesMax })
}
