import * as v from 'valibot'
import { wholeNumber, type Fitting } from '../format/schema.ts'
import type { Warning } from '../format/manifest.ts'
import { pointsPerSetMax, segmentsPerSessionMax } from '../limits.ts'
import { jobPlace } from './jobs.ts'

/**
 * Job `commit`: makes the point of a session whose agent has sent everything.
 *
 * - Reads: the session's two documents, the footers of its packs, the base's map.
 * - Writes: page packs, and last the manifest, create-if-absent. Then the session's documents are removed.
 * - A repeat is harmless: it finds its own manifest, or publishes it now.
 * - Waits (as a delayed job) for segments that are staged and not packed yet.
 * - Ends it for good: E_SEGMENTS_MISSING, E_CONTENT_ROOT, anything `permanent`. `transient` errors are tried again.
 */
export const commitQueue = 'commit'

export const commitJobSchema = v.object({
  ...jobPlace,
  /** The set's newest number when the session was opened: where to look for a point that was published already. */
  after: wholeNumber(0, pointsPerSetMax),
})
export type CommitJob = Fitting<typeof commitJobSchema>

/** The rest is in the manifest. */
export interface CommitJobResult {
  readonly sequence: number
  /** What could not be cleared away, and is in nobody's way. */
  readonly warnings: readonly Warning[]
}

/** What a commit that waits says of it. */
export const commitProgressSchema = v.object({ segmentsPending: wholeNumber(0, segmentsPerSessionMax) })
export type CommitProgress = Fitting<typeof commitProgressSchema>

export function commitJobId(session: string, attempt: number): string {
  return `${session}-commit-${String(attempt)}`
}
