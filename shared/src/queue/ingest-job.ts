import * as v from 'valibot'
import { matching, wholeNumber, type Fitting } from '../format/schema.ts'
import { handOverFileBytesMax, smallSegmentBytesMax } from '../limits.ts'
import { jobPlace, segmentNumberSchema } from './jobs.ts'

/**
 * Job `ingest`: one attempt at one segment.
 *
 * - Reads: the session's document, and the segment: in the hand-over directory of its host, or in the staging area.
 * - Writes: one pack, under a name of its own attempt. Then a staged segment is removed.
 * - A repeat is harmless: it writes another pack, and commit takes one of them; a staged segment that is gone was packed
 *   by somebody else.
 * - Ends it for good: E_HANDOVER_LOST (the agent sends again), anything `permanent`. `transient` errors are tried again.
 * - Carries references, never blocks, digests or keys.
 */
export const stagedQueues = { large: 'ingest', small: 'ingest-small' } as const
/** Segments in the hand-over directory of one process; the queues are under a prefix of that process. */
export const handOverQueues = { large: 'hand-over', small: 'hand-over-small' } as const

/** Small ones have queues and workers of their own: none of them waits for a worker to be done with a large one. */
export type SegmentSize = keyof typeof stagedQueues

/** `bytes`: of the segment; undefined where that is not known. */
export function segmentSizeOf(bytes: number | undefined): SegmentSize {
  return bytes !== undefined && bytes <= smallSegmentBytesMax ? 'small' : 'large'
}

const ofSegment = { ...jobPlace, segment: segmentNumberSchema }

export const ingestJobSchema = v.variant('from', [
  v.object({
    ...ofSegment,
    from: v.literal('handOver'),
    /** The segment, in the session's directory of the worker's own hand-over directory. */
    segmentFile: matching(/^[0-9a-f]{32}-[0-9]{1,10}\.segment$/),
    /** Sealed with the session's transport key; else it is plain and came from this machine. */
    sealed: v.boolean(),
  }),
  v.object({
    ...ofSegment,
    from: v.literal('staging'),
    /** What tells this staged object from others of the same segment. */
    attempt: matching(/^[0-9a-f]{16}$/),
    bytes: wholeNumber(1, handOverFileBytesMax),
  }),
])
export type IngestJob = Fitting<typeof ingestJobSchema>
export type HandOverJob = Extract<IngestJob, { from: 'handOver' }>
export type StagedJob = Extract<IngestJob, { from: 'staging' }>

export interface IngestResult {
  readonly packBytes: number
}

/** BullMQ forbids ':' in ids. `attempt` tells repeats of one segment apart. */
export function ingestJobId(session: string, segment: number, attempt: string): string {
  return `${session}-${String(segment)}-${attempt}`
}
