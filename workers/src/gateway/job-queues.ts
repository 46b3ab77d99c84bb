import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, QueueEvents, type Job, type JobsOptions } from 'bullmq'
import { StrataError } from '@strata/shared/errors.ts'
import { jobAttemptsMax, jobCheckIntervalMs } from '@strata/shared/limits.ts'
import { commitJobId, commitQueue, type CommitJob, type CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import { ingestJobId, ingestQueue, type IngestJob, type IngestResult } from '@strata/shared/queue/ingest-job.ts'
import { fromJobError } from '../queue-error.ts'
import { bullConnection, type RedisAddress, type RedisGuard } from '../redis-connection.ts'

/** Where queues live: a Redis, and a prefix that keeps one installation (or one run) apart from others. */
export interface QueuePlace {
  readonly address: RedisAddress
  readonly prefix: string
}

const options: JobsOptions = {
  attempts: jobAttemptsMax,
  backoff: { type: 'exponential', delay: 500 },
  removeOnComplete: { count: 100 },
  removeOnFail: { count: 100 },
}

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

class QueueLine {
  readonly #name: string
  readonly #queue: Queue
  readonly #events: QueueEvents

  constructor({ address, prefix }: QueuePlace, name: string) {
    this.#name = name
    this.#queue = new Queue(name, { connection: bullConnection(address), prefix })
    this.#events = new QueueEvents(name, { connection: bullConnection(address), prefix })
    // Connection trouble is the guard's to judge; an 'error' event without a listener would end the process.
    this.#queue.on('error', () => undefined)
    this.#events.on('error', () => undefined)
    this.#events.setMaxListeners(0)
  }

  async run(jobId: string, data: unknown): Promise<unknown> {
    await this.#events.waitUntilReady()
    const job: Job<unknown, unknown> = await this.#queue.add(this.#name, data, { ...options, jobId })
    const over = new AbortController()
    try {
      return await Promise.race([job.waitUntilFinished(this.#events), this.#missed(jobId, over.signal)])
    } catch (error) {
      throw fromJobError(error)
    } finally {
      over.abort()
    }
  }

  /**
   * Rejects when Redis does not know a job any more, because it was emptied or came back without its data: nobody
   * would ever say how the job ended. Asked twice, since the answer may be on its way while a finished job is removed.
   */
  async #missed(jobId: string, over: AbortSignal): Promise<never> {
    for (let misses = 0; misses < 2;) {
      await sleep(jobCheckIntervalMs, undefined, { signal: over })
      misses = (await this.#queue.getJob(jobId)) === undefined ? misses + 1 : 0
    }
    throw new StrataError(
      'E_REDIS_LOST',
      `Redis does not know job ${jobId} any more: it was emptied, or came back without its data`,
    )
  }

  async obliterate(): Promise<void> {
    await this.#queue.obliterate({ force: true })
  }

  async close(): Promise<void> {
    await Promise.all([this.#queue.close(), this.#events.close()])
  }
}
