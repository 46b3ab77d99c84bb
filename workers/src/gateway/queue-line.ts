import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, QueueEvents, type Job, type JobsOptions } from 'bullmq'
import { StrataError } from '@strata/shared/errors.ts'
import { jobAttemptsMax, jobCheckIntervalMs } from '@strata/shared/limits.ts'
import { fromJobError } from '../queue-error.ts'
import type { QueuePlace } from '../queue-place.ts'
import { bullConnection, isRefusal } from '../redis-connection.ts'

const options: JobsOptions = {
  attempts: jobAttemptsMax,
  backoff: { type: 'exponential', delay: 500 },
  removeOnComplete: { count: 100 },
  removeOnFail: { count: 100 },
}

interface Waiting {
  resolve(answer: unknown): void
  reject(error: Error): void
}

/**
 * One queue, for whoever gives jobs and waits for their answers.
 *
 * BullMQ's own waiting is not used: it loses an error that comes while it closes, which ends the process, and waits for
 * ever when the event of an answer is lost on its way.
 */
export class QueueLine {
  readonly #name: string
  readonly #queue: Queue
  readonly #events: QueueEvents
  readonly #waiting = new Map<string, Waiting>()

  constructor({ address, prefix }: QueuePlace, name: string) {
    this.#name = name
    this.#queue = new Queue(name, { connection: bullConnection(address), prefix })
    this.#events = new QueueEvents(name, { connection: bullConnection(address), prefix })
    // Connection trouble is the guard's to judge; an 'error' event without a listener would end the process.
    this.#queue.on('error', () => undefined)
    this.#events.on('error', () => undefined)
    this.#events.on('completed', ({ jobId, returnvalue }) => this.#waiting.get(jobId)?.resolve(returnvalue))
    this.#events.on('failed', ({ jobId, failedReason }) => this.#waiting.get(jobId)?.reject(new Error(failedReason)))
  }

  /** Gives a job to the workers and resolves with their answer. An id that is known already waits for the same job. */
  async run(jobId: string, data: unknown): Promise<unknown> {
    const { promise: told, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(jobId, { resolve, reject })
    const over = new AbortController()
    try {
      return await Promise.race([told, this.#added(jobId, data, over.signal)])
    } catch (error) {
      throw fromJobError(error)
    } finally {
      over.abort()
      this.#waiting.delete(jobId)
    }
  }

  async #added(jobId: string, data: unknown, over: AbortSignal): Promise<unknown> {
    await this.#events.waitUntilReady()
    const add = (): Promise<unknown> => this.#queue.add(this.#name, data, { ...options, jobId })
    while ((await unlessRefused(add())) === refused) await patience(over)
    return await this.#looked(jobId, over)
  }

  /**
   * Looks now and then how the job has ended. Rejects when Redis does not know it any more, because it was emptied or
   * came back without its data: nobody would ever say. Asked twice, since a finished job may just be removed.
   */
  async #looked(jobId: string, over: AbortSignal): Promise<unknown> {
    for (let misses = 0; misses < 2;) {
      await patience(over)
      const found = await unlessRefused(this.#find(jobId))
      if (found === refused) continue
      const { state, job } = found
      if (job !== undefined && state === 'completed') return job.returnvalue
      if (job !== undefined && state === 'failed') throw new Error(job.failedReason)
      misses = job === undefined ? misses + 1 : 0
    }
    throw new StrataError(
      'E_REDIS_LOST',
      `Redis does not know job ${jobId} any more: it was emptied, or came back without its data`,
    )
  }

  async #find(jobId: string): Promise<{ state: string; job: Job | undefined }> {
    return { state: await this.#queue.getJobState(jobId), job: (await this.#queue.getJob(jobId)) as Job | undefined }
  }

  async obliterate(): Promise<void> {
    await this.#queue.obliterate({ force: true })
  }

  /** Who still waits hears that there will be no answer: E_INTERRUPTED. */
  async close(): Promise<void> {
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new StrataError('E_INTERRUPTED', 'the service ended before the job was done'))
    }
    await Promise.all([this.#queue.close(), this.#events.close()])
  }
}

const refused = Symbol('refused')

/** What Redis refuses now it may take in a moment: for how long it may refuse is the guard's to judge. */
async function unlessRefused<Answer>(request: Promise<Answer>): Promise<Answer | typeof refused> {
  try {
    return await request
  } catch (error) {
    if (isRefusal(error)) return refused
    throw error
  }
}

async function patience(over: AbortSignal): Promise<void> {
  await sleep(jobCheckIntervalMs, undefined, { signal: over })
}
