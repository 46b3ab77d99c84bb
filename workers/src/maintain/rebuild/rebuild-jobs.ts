import { hasCode } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { sessionName, sessionPlaceOf, tenantSessionsPrefix } from '@strata/shared/format/names.ts'
import { sessionType } from '@strata/shared/format/session.ts'
import type { CommitJob } from '@strata/shared/queue/commit-job.ts'
import type { StagedJob } from '@strata/shared/queue/ingest-job.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { stagedSegmentOf, stagedTenantPrefix } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import type { SessionId, SetId } from '@strata/shared/types.ts'

/** Where jobs are given again. One that is in its queue already stays as it is. */
export interface JobTakers {
  commit(job: CommitJob): Promise<void>
  stage(job: StagedJob): Promise<void>
}

export interface Rebuilt {
  readonly commits: number
  readonly segments: number
}

/**
 * Gives the jobs of a tenant again that Redis may have lost: of every session that has ended, and of every segment that
 * is staged. The bucket says which there are; a repeat of a job is harmless. (Segments in a hand-over directory are sent
 * again by their agents, who wait for an answer.)
 */
export async function rebuildJobs(
  repository: Repository,
  staging: StagingArea | undefined,
  jobs: JobTakers,
): Promise<Rebuilt> {
  const segments = staging === undefined ? 0 : await rebuildStaged(repository, staging, jobs)
  let commits = 0
  for await (const { name } of repository.store.list(tenantSessionsPrefix(repository.tenant))) {
    const place = sessionPlaceOf(repository.tenant, name)
    if (place?.document !== 'end') continue
    const after = await sequenceAtOpen(repository, place.set, place.session)
    if (after === undefined) continue
    await jobs.commit({ tenant: repository.tenant, set: place.set, session: place.session, after })
    commits += 1
  }
  return { commits, segments }
}

async function rebuildStaged({ tenant }: Repository, staging: StagingArea, jobs: JobTakers): Promise<number> {
  let segments = 0
  for await (const { name, sizeBytes } of staging.list(stagedTenantPrefix(tenant))) {
    const staged = stagedSegmentOf(name)
    if (staged === undefined) continue
    const { set, session, segment, attempt } = staged
    await jobs.stage({ from: 'staging', tenant, set, session, segment, attempt, bytes: sizeBytes })
    segments += 1
  }
  return segments
}

/** undefined: the session has come to its end meanwhile, or its document is for the sweeper to judge. */
async function sequenceAtOpen(repository: Repository, set: SetId, session: SessionId): Promise<number | undefined> {
  const name = sessionName(repository.placeOf(set), session)
  try {
    const bytes = await repository.store.get(name, { bytesMax: documentObjectBytesMax })
    return decodeDocument(sessionType, name, bytes, repository.indexKeys).sequenceAtOpen
  } catch (error) {
    if (hasCode(error, 'E_OBJECT_MISSING', 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER', 'E_SEAL_BROKEN')) {
      return undefined
    }
    throw error
  }
}
