import { DelayedError, UnrecoverableError, Worker, type Job } from 'bullmq'
import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, toStrataError } from '@strata/shared/errors.ts'
import { commitPendingDelayMs, jobLockMs, jobStalledMax, smallSegmentsAtOnceMax } from '@strata/shared/limits.ts'
import { commitJobSchema, commitQueue } from '@strata/shared/queue/commit-job.ts'
import {
  handOverQueues,
  ingestJobSchema,
  stagedQueues,
  type IngestJob,
  type SegmentSize,
} from '@strata/shared/queue/ingest-job.ts'
import { parseJob } from '@strata/shared/queue/jobs.ts'
import { asId, type TenantId } from '@strata/shared/types.ts'
import { runCommit, type Staged } from './commit/commit-job.ts'
import { runIngest, type IngestPlace } from './ingest/ingest-job.ts'
import { Ingest } from './ingest/ingest-segment.ts'
import { fromJobError, toJobError } from './queue-error.ts'
import { isAlone, type QueuePlace, type QueuePlaces } from './queue-place.ts'
import { bullConnection } from './redis-connection.ts'
import type { Role } from './roles.ts'
import type { Tenants } from './tenants.ts'

export interface JobWorkersOptions {
  readonly tenants: Pick<Tenants, 'repositoryOf'>
  readonly places: QueuePlaces
  readonly roles: ReadonlySet<Role>
  readonly handOverDirectory: string
  readonly staged?: Staged | undefined
  readonly threads: number
  readonly commitsAtOnce: number
  readonly clock: Clock
  /** Told when a segment is packed, or given up for good. */
  readonly onIngested?: ((job: IngestJob) => Promise<void>) | undefined
  /** Told of each job that failed for good: its agent hears no more than a code. */
  readonly onFailed?: ((line: string) => void) | undefined
}

/** Takes jobs from the queues and does them: ingest in a pool of threads, commits a few at a time. */
export class JobWorkers {
  readonly #ingest: Ingest
  readonly #workers: Worker[] = []
  readonly #onFailed: JobWorkersOptions['onFailed']

  constructor(options: JobWorkersOptions) {
    this.#ingest = new Ingest(options.threads)
    this.#onFailed = options.onFailed
    if (options.roles.has('ingest')) this.#startIngest(options)
    if (options.roles.has('commit')) this.#startCommit(options)
  }

  #startIngest({ tenants, places, handOverDirectory, staged, threads, onIngested }: JobWorkersOptions): void {
    const at: IngestPlace = { ingest: this.#ingest, handOverDirectory, staging: staged?.staging }
    const of = (size: SegmentSize): Work => {
      return async ({ data }) => {
        const job = parseJob(stagedQueues[size], ingestJobSchema, data)
        try {
          const result = await runIngest(at, await tenants.repositoryOf(asId<TenantId>(job.tenant)), job, size)
          await onIngested?.(job)
          return result
        } catch (error) {
          if (toStrataError(error).kind !== 'transient') await onIngested?.(job)
          throw error
        }
      }
    }
    // One job more than there are threads: while its pack is being stored, no thread waits.
    const atOnce: Record<SegmentSize, number> = { large: threads + 1, small: smallSegmentsAtOnceMax }
    for (const size of isAlone(places) ? (['large'] as const) : (['large', 'small'] as const)) {
      this.#start(places.own, handOverQueues[size], atOnce[size], of(size))
      if (staged !== undefined) this.#start(places.shared, stagedQueues[size], atOnce[size], of(size))
    }
  }

  #startCommit({ tenants, places, staged, commitsAtOnce, clock }: JobWorkersOptions): void {
    const work = async (job: Job, token: string | undefined): Promise<unknown> => {
      const data = parseJob(commitQueue, commitJobSchema, job.data)
      try {
        return await runCommit(await tenants.repositoryOf(asId<TenantId>(data.tenant)), data, staged)
      } catch (error) {
        if (!hasCode(error, 'E_SEGMENTS_PENDING')) throw error
        await job.updateProgress({ segmentsPending: error.details?.['count'] ?? 0 })
        await job.moveToDelayed(clock.nowMs() + commitPendingDelayMs, token)
        throw new DelayedError()
      }
    }
    this.#start(places.shared, commitQueue, commitsAtOnce, work)
  }

  #start(place: QueuePlace, name: string, concurrency: number, work: Work): void {
    const worker = startWorker(place, name, concurrency, work)
    worker.on('failed', (job, error) => {
      if (job !== undefined && hasFailedForGood(job, error)) this.#onFailed?.(failureLine(name, job, error))
    })
    this.#workers.push(worker)
  }

  /** Lets running jobs end, then stops. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()))
    await this.#ingest.close()
  }
}

type Work = (job: Job, token: string | undefined) => Promise<unknown>

function hasFailedForGood(job: Job, error: Error): boolean {
  return error instanceof UnrecoverableError || job.attemptsMade >= (job.opts.attempts ?? 1)
}

function failureLine(queue: string, { data }: Job, error: Error): string {
  const { code, message } = fromJobError(error)
  const { tenant, set, session, segment } = data as Partial<IngestJob>
  const what = segment === undefined ? '' : `segment ${String(segment)} of `
  return `${queue}: ${what}session ${String(session)} of set ${String(set)}, tenant ${String(tenant)}: ${code}: ${message}`
}

function startWorker({ address, prefix }: QueuePlace, name: string, concurrency: number, work: Work): Worker {
  const worker = new Worker(
    name,
    async (job, token) => {
      try {
        return await work(job, token)
      } catch (error) {
        throw error instanceof DelayedError ? error : toJobError(error)
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
