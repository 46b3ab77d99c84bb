import { type Static, Type } from 'typebox'
import { idSchema } from '../format/document.ts'
import { jobPlace, segmentNumberSchema } from './jobs.ts'

/**
 * Job `ingest`: one attempt at one segment.
 *
 * - Reads: the segment and the session's data key from the hand-over directory.
 * - Writes: one pack, under a name of its own attempt.
 * - A repeat is harmless: it writes another pack, and commit takes one of them.
 * - Ends it for good: E_HANDOVER_LOST (the agent sends again), anything `permanent`. `transient` errors are tried again.
 * - Carries references, never blocks, digests or keys.
 */
export const ingestQueue = 'ingest'

export const ingestJobSchema = Type.Object({
  ...jobPlace,
  chain: idSchema,
  segment: segmentNumberSchema,
  /** File of the hand-over directory that holds the segment. */
  segmentPath: Type.String({ minLength: 1, maxLength: 4096 }),
  /** File of the hand-over directory that holds the session's data key. */
  keyPath: Type.String({ minLength: 1, maxLength: 4096 }),
})
export type IngestJob = Static<typeof ingestJobSchema>

export interface IngestResult {
  readonly packBytes: number
}

/** BullMQ forbids ':' in ids. A segment that is sent again gets another `sending`. */
export function ingestJobId(session: string, segment: number, sending: number): string {
  return `${session}-${String(segment)}-${String(sending)}`
}
