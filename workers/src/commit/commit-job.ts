import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { sessionEndName, sessionName } from '@strata/shared/format/names.ts'
import type { CommitJob, CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import type { StagedJob } from '@strata/shared/queue/ingest-job.ts'
import { latestSequence } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { stagedSegmentOf, stagedSessionPrefix } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { commitSession, findPublished, type CommitResult } from './commit-session.ts'

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
  const { manifest } = await commitOnce(repository, set, session, job.after).catch(async (error: unknown) => {
    throw staged !== undefined && hasCode(error, 'E_SEGMENTS_MISSING') ? await pending(staged, job, error) : error
  })
  return { sequence: manifest.sequence, warnings: await clearAway(repository, set, session) }
}

async function commitOnce(
  repository: Repository,
  set: SetId,
  session: SessionId,
  after: number,
): Promise<CommitResult> {
  try {
    return await commitSession(repository, set, session)
  } catch (error) {
    if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
    // It may be done already, and what it was made of cleared away.
    const latest = await latestSequence(repository, set, after)
    const published = await findPublished(repository, set, session, after, latest)
    if (published === undefined) throw error
    return published
  }
}

/** What is missing and staged will come; what is missing and not staged will not. */
async function pending({ staging, give }: Staged, job: CommitJob, missing: StrataError): Promise<StrataError> {
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
  const segments = (missing.details?.['segments'] ?? []) as readonly number[]
  if (segments.length === 0 || segments.some((segment) => !found.has(segment))) return missing
  const message = `${String(segments.length)} segments are staged and not packed yet`
  return new StrataError('E_SEGMENTS_PENDING', message, { details: { count: segments.length } })
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
