import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { handOverFileBytesMax } from '@strata/shared/limits.ts'
import type { HandOverJob, IngestJob, IngestResult, SegmentSize, StagedJob } from '@strata/shared/queue/ingest-job.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { stagedName } from '@strata/shared/staging/names.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { handOverError } from '../local/hand-over-errors.ts'
import { segmentPathOf } from '../local/session-hand-over.ts'
import type { Ingest } from './ingest-segment.ts'

export interface IngestPlace {
  readonly ingest: Ingest
  readonly handOverDirectory: string
  readonly staging?: StagingArea | undefined
}

/** Job `ingest`: finds the segment where the job says, and has it packed. */
export async function runIngest(
  place: IngestPlace,
  repository: Repository,
  job: IngestJob,
  size: SegmentSize,
): Promise<IngestResult> {
  return job.from === 'handOver'
    ? await runHandedOver(place, repository, job, size)
    : await runStaged(place, repository, job, size)
}

async function runHandedOver(
  { ingest, handOverDirectory }: IngestPlace,
  repository: Repository,
  job: HandOverJob,
  size: SegmentSize,
): Promise<IngestResult> {
  const path = segmentPathOf(handOverDirectory, job)
  return await ingest.run(repository, { ...idsOf(job), path, sealed: job.sealed, size })
}

const nothingToDo: IngestResult = { packBytes: 0 }

/**
 * A staged segment is removed when its pack is stored; when its session is over; and when it is good for nothing, so that
 * the commit finds it missing and says so.
 */
async function runStaged(
  { ingest, handOverDirectory, staging }: IngestPlace,
  repository: Repository,
  job: StagedJob,
  size: SegmentSize,
): Promise<IngestResult> {
  if (staging === undefined) throw toStrataError(new Error('a job for staged segments, and no staging area'))
  const { set, session, segment } = idsOf(job)
  const name = stagedName({ tenant: repository.tenant, set, session, segment, attempt: job.attempt })
  const path = join(handOverDirectory, `${session}-${String(segment)}-${job.attempt}.staged`)
  try {
    await fetchTo(path, staging, name, job.bytes)
    const result = await ingest.run(repository, { set, session, segment, path, sealed: true, size })
    await staging.delete(name)
    return result
  } catch (error) {
    // Packed by another worker, or given up.
    if (hasCode(error, 'E_OBJECT_MISSING')) {
      await staging.delete(name)
      return nothingToDo
    }
    if (toStrataError(error).kind === 'permanent' && !isOfThisMachine(error)) await staging.delete(name)
    throw error
  } finally {
    await rm(path, { force: true })
  }
}

function isOfThisMachine(error: unknown): boolean {
  return toStrataError(error).code.startsWith('E_HANDOVER') || toStrataError(error).code.startsWith('E_STORE')
}

async function fetchTo(path: string, staging: StagingArea, name: string, bytesStaged: number): Promise<void> {
  const bytes = await staging.get(name, { bytesMax: handOverFileBytesMax })
  if (bytes.length !== bytesStaged) {
    const message = `${name}: ${String(bytes.length)} bytes, and ${String(bytesStaged)} were staged`
    throw new StrataError('E_SEGMENT_INVALID', message)
  }
  try {
    await writeFile(path, bytes, { mode: 0o600 })
  } catch (error) {
    throw handOverError(path, error)
  }
}

function idsOf({ set, session, segment }: IngestJob): { set: SetId; session: SessionId; segment: number } {
  return { set: asId<SetId>(set), session: asId<SessionId>(session), segment }
}
