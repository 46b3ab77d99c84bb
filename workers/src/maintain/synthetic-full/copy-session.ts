import { hasCode } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax, encodeDocument } from '@strata/shared/format/document.ts'
import type { CopiedPoint, DiskDescription, Manifest } from '@strata/shared/format/manifest.ts'
import {
  sessionEndName,
  sessionName,
  sessionPlaceOf,
  setSessionsPrefix,
  type SessionPlace,
} from '@strata/shared/format/names.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import { sessionLifeMs } from '@strata/shared/limits.ts'
import { baseOf, momentOf, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, idBytes, idFromBytes, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { giveUpSession } from '../sweep/sweep-sessions.ts'

/** The session of a synthetic full. */
interface CopySession {
  readonly place: SessionPlace
  readonly open: Session
}

/** The session that an earlier run has left, if it can become a copy of `source`, or else a new one. */
export async function openCopySession(repository: Repository, source: Point, sequence: number): Promise<CopySession> {
  for await (const earlier of copySessions(repository, source.set)) {
    if (sameDisks(earlier.open.disks, source.manifest.disks)) return earlier
    await giveUpSession(repository, source.set, earlier.place.session)
  }
  return await newSession(repository, source, sequence)
}

/** Where a full is there anyway, nothing needs what they have copied. */
export async function giveUpCopySessions(repository: Repository, set: SetId): Promise<void> {
  for await (const { place } of copySessions(repository, set)) await giveUpSession(repository, set, place.session)
}

async function newSession(repository: Repository, source: Point, sequence: number): Promise<CopySession> {
  const session = idFromBytes<SessionId>(repository.random(idBytes))
  const chain = idFromBytes<ChainId>(repository.random(idBytes))
  const place: SessionPlace = { ...repository.placeOf(source.set), chain, session }
  const openedMs = await repository.store.now()
  const open: Session = {
    strata: 'session',
    version: 1,
    session,
    setName: source.manifest.setName,
    kind: 'full',
    chain,
    base: null,
    copyOf: copiedPointOf(source),
    sequenceAtOpen: sequence,
    disks: source.manifest.disks.map(({ name, sizeBytes, blockBytes, identity }) => ({
      name,
      sizeBytes,
      blockBytes,
      identity,
    })),
    openedAt: new Date(openedMs).toISOString(),
    expiresAt: new Date(openedMs + sessionLifeMs).toISOString(),
    warnings: [],
  }
  const name = sessionName(place, session)
  const bytes = encodeDocument(sessionType, name, open, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
  return { place, open }
}

/** The sessions of synthetic fulls of a set that are not over. One listing; a request for each session of the set. */
async function* copySessions(repository: Repository, set: SetId): AsyncGenerator<CopySession> {
  const { store, tenant, indexKeys } = repository
  for await (const { name } of store.list(setSessionsPrefix(repository.placeOf(set)))) {
    const found = sessionPlaceOf(tenant, name)
    if (found?.document !== 'open') continue
    let open: Session
    try {
      open = decodeDocument(sessionType, name, await store.get(name, { bytesMax: documentObjectBytesMax }), indexKeys)
    } catch (error) {
      // It came to its end, or it is for the sweeper to judge.
      if (hasCode(error, 'E_OBJECT_MISSING', 'E_FORMAT_DAMAGED', 'E_FORMAT_NEWER', 'E_FORMAT_KIND', 'E_SEAL_BROKEN')) {
        continue
      }
      throw error
    }
    if (open.copyOf === undefined || Date.parse(open.expiresAt) <= (await store.now())) continue
    const place = { ...repository.placeOf(set), chain: asId<ChainId>(open.chain), session: found.session }
    yield { place, open }
  }
}

function sameDisks(a: readonly DiskDescription[], b: readonly DiskDescription[]): boolean {
  return (
    a.length === b.length &&
    a.every((disk, index) => {
      const other = b[index]
      return disk.name === other?.name && disk.sizeBytes === other.sizeBytes && disk.blockBytes === other.blockBytes
    })
  )
}

/** Says that the session's packs are those of `source`. It may be said again, of another one, until it is committed. */
export async function endCopySession(
  repository: Repository,
  place: SessionPlace,
  source: Point,
  segments: number,
): Promise<void> {
  const { manifest } = source
  const end: SessionEnd = {
    strata: 'session-end',
    version: 1,
    session: place.session,
    segments,
    contentRoots: manifest.disks.map(({ contentRoot }) => contentRoot),
    ...whatWasRead(manifest),
    scannedBytes: 0,
    changedBytes: 0,
    copyOf: copiedPointOf(source),
  }
  const name = sessionEndName(place, place.session)
  await repository.store.put(name, [
    encodeDocument(sessionEndType, name, end, repository.indexKeys, repository.nonce()),
  ])
}

function whatWasRead({
  capturedAt,
  consistency,
  machine,
  warnings,
}: Manifest): Pick<Manifest, 'capturedAt' | 'consistency' | 'machine' | 'warnings'> {
  return { capturedAt, consistency, machine, warnings }
}

function copiedPointOf(source: Point): CopiedPoint {
  return { ...baseOf(source), createdAt: momentOf(source.manifest) }
}
