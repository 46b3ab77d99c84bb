import * as v from 'valibot'
import { type Fitting, matching } from '../format/schema.ts'
import { idSchema } from '../format/document.ts'
import { jobPlace, segmentNumberSchema } from './jobs.ts'

/**
 * Job `ingest`: one attempt at one segment.
 *
 * - Reads: the session's document, and the segment in the hand-over directory of its host.
 * - Writes: one pack, under a name of its own attempt.
 * - A repeat is harmless: it writes another pack, and commit takes one of them.
 * - Ends it for good: E_HANDOVER_LOST (the agent sends again), anything `permanent`. `transient` errors are tried again.
 * - Carries references, never blocks, digests or keys.
 */
export const ingestQueue = 'ingest'

export const ingestJobSchema = v.object({
  ...jobPlace,
  chain: idSchema,
  segment: segmentNumberSchema,
  /** The segment, in the session's directory of the worker's own hand-over directory. */
  segmentFile: matching(/^[0-9a-f]{32}-[0-9]{1,10}\.segment$/),
})
export type IngestJob = Fitting<typeof ingestJobSchema>

export interface IngestResult {
  readonly packBytes: number
}

/** BullMQ forbids ':' in ids. A segment that is sent again gets another `sending`. */
export function ingestJobId(session: string, segment: number, sending: number): string {
  return `${session}-${String(segment)}-${String(sending)}`
}
