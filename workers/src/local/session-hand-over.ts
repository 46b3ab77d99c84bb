import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { HandOverJob } from '@strata/shared/queue/ingest-job.ts'

/**
 * One session's part of the hand-over directory: its segments, which lie there only as long as the session runs. Jobs
 * name them by session and file alone, and a worker looks for them in its own hand-over directory: so whoever can write
 * to Redis cannot make it read another file.
 */
export function sessionHandOver(directory: string, session: string): string {
  return join(directory, session)
}

/** Where a job's segment lies. */
export function segmentPathOf(directory: string, { session, segmentFile }: HandOverJob): string {
  return join(sessionHandOver(directory, session), segmentFile)
}

/** Gives the path. Error: E_HANDOVER_SPACE. */
export async function createSessionHandOver(directory: string, session: string): Promise<string> {
  const path = sessionHandOver(directory, session)
  try {
    await mkdir(path, { mode: 0o700 })
    return path
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_HANDOVER_SPACE', `a session's directory could not be made in ${directory}: ${reason}`, {
      cause: error,
    })
  }
}

/** A segment may come in at that moment: then once more. */
export async function removeSessionHandOver(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
}
