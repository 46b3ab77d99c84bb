import { Worker } from 'bullmq'
import { jobLockMs, jobStalledMax } from '@strata/shared/limits.ts'
import { commitJobSchema, commitQueue, type CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import { ingestJobSchema, ingestQueue, type IngestResult } from '@strata/shared/queue/ingest-job.ts'
import { parseJob } from '@strata/shared/queue/jobs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { commitSession } from './commit/commit-session.ts'
import { Ingest } from './ingest/ingest-segment.ts'
import { toJobError } from './queue-error.ts'
import type { QueuePlace } from './queue-place.ts'
import { bullConnection } from './redis-connection.ts'

/** Takes jobs from the queues and does them: ingest in a pool of threads, commits one at a time. */
export class JobWorkers {
  readonly #ingest: Ingest
  readonly #workers: readonly Worker[]

  constructor(repository: Repository, place: QueuePlace, handOverDirectory: string, threads: number) {
    this.#ingest = new Ingest(repository, handOverDirectory, threads)
    // One job more than there are threads: while its pack is being stored, no thread waits.
    this.#workers = [
      startWorker(place, ingestQueue, threads + 1, (data): Promise<IngestResult> =>
        this.#ingest.run(parseJob(ingestQueue, ingestJobSchema, data)),
      ),
      startWorker(place, commitQueue, 1, async (data): Promise<CommitJobResult> => {
        const { set, session } = parseJob(commitQueue, commitJobSchema, data)
        const { manifest } = await commitSession(repository, asId<SetId>(set), asId<SessionId>(session))
        return { sequence: manifest.sequence }
      }),
    ]
  }

  /** Lets running jobs end, then stops. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()))
    await this.#ingest.close()
  }
}

function startWorker(
  { address, prefix }: QueuePlace,
  name: string,
  concurrency: number,
  work: (data: unknown) => Promise<unknown>,
): Worker {
  const worker = new Worker(
    name,
    async ({ data }) => {
      try {
        return await work(data)
      } catch (error) {
        throw toJobError(error)
      }
    },
    {
      connection: bullConnection(address),
      prefix,
      concurrency,
      maxStalledCount: jobStalledMax,
      lockDuration: jobLockMs,
      stalledInterval: jobLockMs,
    },
  )
  // Connection trouble is the guard's to judge; an 'error' event without a listener would end the process.
  worker.on('error', () => undefined)
  return worker
}
