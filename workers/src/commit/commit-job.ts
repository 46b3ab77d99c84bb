import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { sessionEndName, sessionName } from '@strata/shared/format/names.ts'
import type { CommitJob, CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import type { StagedJob } from '@strata/shared/queue/ingest-job.ts'
import { writeSegmentsEndingAt } from '@strata/shared/repository/catalog/write-catalog.ts'
import { latestSequence } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { stagedSegmentOf, stagedSessionPrefix } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { healChain } from '../maintain/scrub/heal-chain.ts'
import { commitSession, findPublished, type CommittedSession } from './commit-session.ts'

/** The staging area, and how its segments come to the workers. */
export interface Staged {
  readonly staging: StagingArea
  readonly give: (job: StagedJob) => Promise<void>
}

/**
 * Job `commit`. E_SEGMENTS_PENDING: segments are staged and not packed yet; their jobs are in the queue, also where Redis
 * had lost them.
 */
export async function runCommit(
  repository: Repository,
  job: CommitJob,
  staged: Staged | undefined,
): Promise<CommitJobResult> {
  const set = asId<SetId>(job.set)
  const session = asId<SessionId>(job.session)
  const { manifest, wasAsked } = await commitStaged(repository, job, staged)
  const { sequence } = manifest
  const warnings = [
    ...(await catalogue(repository, set, sequence)),
    ...(wasAsked ? await heal(repository, set, asId<ChainId>(manifest.chain)) : []),
    ...(await clearAway(repository, set, session)),
  ]
  return { sequence, warnings }
}

async function commitStaged(
  repository: Repository,
  job: CommitJob,
  staged: Staged | undefined,
): Promise<CommittedSession> {
  let missedBefore = Infinity
  for (;;) {
    try {
      return await commitOnce(repository, job)
    } catch (error) {
      if (staged === undefined || !hasCode(error, 'E_SEGMENTS_MISSING')) throw error
      const missed = (error.details?.['segments'] ?? []) as readonly number[]
      await requireNotStaged(staged, job, missed)
      // A segment goes from the staging area when its pack is there: it may have come between the two looks.
      if (missed.length >= missedBefore) throw error
      missedBefore = missed.length
    }
  }
}

async function commitOnce(repository: Repository, job: CommitJob): Promise<CommittedSession> {
  const set = asId<SetId>(job.set)
  const session = asId<SessionId>(job.session)
  try {
    return await commitSession(repository, set, session)
  } catch (error) {
    if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
    // It may be done already, and what it was made of cleared away.
    const latest = await latestSequence(repository, set, job.after)
    const published = await findPublished(repository, set, session, job.after, latest)
    if (published === undefined) throw error
    return { ...published, wasAsked: false }
  }
}

/** What is missing and staged will come: E_SEGMENTS_PENDING, if all of it is. */
async function requireNotStaged({ staging, give }: Staged, job: CommitJob, missing: readonly number[]): Promise<void> {
  const { tenant, set, session } = job
  const prefix = stagedSessionPrefix({ tenant: asId(tenant), set: asId(set), session: asId(session) })
  const found = new Set<number>()
  for await (const { name, sizeBytes } of staging.list(prefix)) {
    const place = stagedSegmentOf(name)
    if (place === undefined) continue
    const { segment, attempt } = place
    await give({ from: 'staging', tenant, set, session, segment, attempt, bytes: sizeBytes })
    found.add(segment)
  }
  if (missing.length === 0 || missing.some((segment) => !found.has(segment))) return
  const message = `${String(missing.length)} segments are staged and not packed yet`
  throw new StrataError('E_SEGMENTS_PENDING', message, { details: { count: missing.length } })
}

/** The point is there: without its part of the catalogue a list of points takes a few requests more. */
async function catalogue(repository: Repository, set: SetId, sequence: number): Promise<Warning[]> {
  try {
    await writeSegmentsEndingAt(repository, set, sequence)
    return []
  } catch (error) {
    return [{ code: 'W_CATALOG', message: `the catalogue was not brought up to date: ${toStrataError(error).message}` }]
  }
}

/** The new point is whole. What was sent again for it stands for the damaged records in older ones too. */
async function heal(repository: Repository, set: SetId, chain: ChainId): Promise<Warning[]> {
  try {
    const { healed, left } = await healChain(repository, set, chain)
    const message = `${String(healed)} damaged places of the store were healed by what was sent again; ${String(left)} are left`
    return healed + left === 0 ? [] : [{ code: 'W_DAMAGE_HEALED', message }]
  } catch (error) {
    const message = `older points are not healed yet, and will be with the next strata verify --rolling: ${toStrataError(error).message}`
    return [{ code: 'W_DAMAGE_HEALED', message }]
  }
}

/** The point is there: what cannot be cleared away now is in nobody's way. */
async function clearAway(repository: Repository, set: SetId, session: SessionId): Promise<Warning[]> {
  const place = repository.placeOf(set)
  try {
    // `open` last: while anything is left, the sweeper finds it by that.
    await repository.store.delete(sessionEndName(place, session))
    await repository.store.delete(sessionName(place, session))
    return []
  } catch (error) {
    const message = `not all of the session was cleared away: ${toStrataError(error).message}`
    return [{ code: 'W_LEFT_OVER', message }]
  }
}
