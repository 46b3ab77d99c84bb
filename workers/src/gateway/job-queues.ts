import { commitJobId, commitQueue, type CommitJob, type CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import { ingestJobId, ingestQueue, type IngestJob, type IngestResult } from '@strata/shared/queue/ingest-job.ts'
import type { RedisGuard } from '../redis-guard.ts'
import type { QueuePlace } from '../queue-place.ts'
import { QueueLine } from './queue-line.ts'

/** Gives jobs to the workers and waits for their answers. */
export class JobQueues {
  readonly #guard: RedisGuard
  readonly #ingest: QueueLine
  readonly #commit: QueueLine

  constructor(place: QueuePlace, guard: RedisGuard) {
    this.#guard = guard
    this.#ingest = new QueueLine(place, ingestQueue)
    this.#commit = new QueueLine(place, commitQueue)
  }

  ingest(job: IngestJob, sending: number): Promise<IngestResult> {
    return this.#guard.whileConnected(
      this.#ingest.run(ingestJobId(job.session, job.segment, sending), job) as Promise<IngestResult>,
    )
  }

  commit(job: CommitJob, finishing: number): Promise<CommitJobResult> {
    return this.#guard.whileConnected(
      this.#commit.run(commitJobId(job.session, finishing), job) as Promise<CommitJobResult>,
    )
  }

  /** Removes the queues and all their jobs: for a prefix that belongs to one run. */
  async obliterate(): Promise<void> {
    await this.#guard.whileConnected(Promise.all([this.#ingest.obliterate(), this.#commit.obliterate()]))
  }

  async close(): Promise<void> {
    await Promise.all([this.#ingest.close(), this.#commit.close()])
  }
}
