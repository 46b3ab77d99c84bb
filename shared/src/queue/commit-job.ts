import * as v from 'valibot'
import { type Fitting } from '../format/schema.ts'
import { jobPlace } from './jobs.ts'

/**
 * Job `commit`: makes the point of a session whose agent has sent everything.
 *
 * - Reads: the session's two documents, the footers of its packs, the base's map.
 * - Writes: page packs, and last the manifest, create-if-absent.
 * - A repeat is harmless: it finds its own manifest, or publishes it now.
 * - Ends it for good: E_SEGMENTS_MISSING, E_CONTENT_ROOT, anything `permanent`. `transient` errors are tried again.
 */
export const commitQueue = 'commit'

export const commitJobSchema = v.object(jobPlace)
export type CommitJob = Fitting<typeof commitJobSchema>

/** The rest is in the manifest. */
export interface CommitJobResult {
  readonly sequence: number
}

export function commitJobId(session: string, finishing: number): string {
  return `${session}-commit-${String(finishing)}`
}
