import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, QueueEvents, type Job, type JobsOptions } from 'bullmq'
import { StrataError } from '@strata/shared/errors.ts'
import { jobAttemptsMax, jobCheckIntervalMs } from '@strata/shared/limits.ts'
import { fromJobError } from '../queue-error.ts'
import type { QueuePlace } from '../queue-place.ts'
import { bullConnection, isRefusal } from '../redis-connection.ts'

const retrying = { attempts: jobAttemptsMax, backoff: { type: 'exponential', delay: 500 } } satisfies JobsOptions
/** Whoever waits for the answer may look for it a little later. */
const attended: JobsOptions = { ...retrying, removeOnComplete: { count: 1000 }, removeOnFail: { count: 1000 } }
/** Nobody asks how it ended, and the same job can be given again. */
const unattended: JobsOptions = { ...retrying, removeOnComplete: true, removeOnFail: true }

export interface LineOptions {
  /** From 1 on, lower first; jobs without one go before all that have one. */
  readonly priority?: number | undefined
  /** One of the same id that failed is done again; else its failure is the answer. */
  readonly again?: boolean
  /** Hears what the worker says while it works, as far as that arrives. */
  readonly onProgress?: ((said: unknown) => void) | undefined
}

interface Waiting {
  resolve(answer: unknown): void
  reject(error: Error): void
  progress(said: unknown): void
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
  /** Several may wait for one job. */
  readonly #waiting = new Map<string, Set<Waiting>>()

  constructor({ address, prefix }: QueuePlace, name: string) {
    this.#name = name
    this.#queue = new Queue(name, { connection: bullConnection(address), prefix })
    this.#events = new QueueEvents(name, { connection: bullConnection(address), prefix })
    // Connection trouble is the guard's to judge; an 'error' event without a listener would end the process.
    this.#queue.on('error', () => undefined)
    this.#events.on('error', () => undefined)
    this.#events.on('completed', ({ jobId, returnvalue }) => {
      for (const waiting of this.#waitingFor(jobId)) waiting.resolve(returnvalue)
    })
    this.#events.on('failed', ({ jobId, failedReason }) => {
      for (const waiting of this.#waitingFor(jobId)) waiting.reject(new Error(failedReason))
    })
    this.#events.on('progress', ({ jobId, data }) => {
      for (const waiting of this.#waitingFor(jobId)) waiting.progress(data)
    })
  }

  #waitingFor(jobId: string): ReadonlySet<Waiting> {
    return this.#waiting.get(jobId) ?? nobody
  }

  /** Gives a job to the workers and resolves with their answer. An id that is known already waits for the same job. */
  async run(jobId: string, data: unknown, options: LineOptions = {}): Promise<unknown> {
    const { promise: told, resolve, reject } = Promise.withResolvers<unknown>()
    const waiting: Waiting = { resolve, reject, progress: (said) => options.onProgress?.(said) }
    const together = this.#waiting.get(jobId) ?? new Set()
    this.#waiting.set(jobId, together.add(waiting))
    const over = new AbortController()
    try {
      return await Promise.race([told, this.#given(jobId, data, options, over.signal)])
    } catch (error) {
      throw fromJobError(error)
    } finally {
      over.abort()
      together.delete(waiting)
      if (together.size === 0) this.#waiting.delete(jobId)
    }
  }

  /** Gives a job to the workers; nobody waits for its answer. */
  async add(jobId: string, data: unknown, { priority }: LineOptions): Promise<void> {
    await this.#queue.add(this.#name, data, { ...unattended, ...(priority === undefined ? {} : { priority }), jobId })
  }

  async #given(jobId: string, data: unknown, options: LineOptions, over: AbortSignal): Promise<unknown> {
    const { priority, again = false } = options
    await this.#events.waitUntilReady()
    const add = async (): Promise<void> => {
      if (again) await this.#removeFailed(jobId)
      await this.#queue.add(this.#name, data, { ...attended, ...(priority === undefined ? {} : { priority }), jobId })
    }
    while ((await unlessRefused(add())) === refused) await patience(over)
    return await this.#looked(jobId, over)
  }

  /** BullMQ takes no job whose id is known, be it that of one that failed. */
  async #removeFailed(jobId: string): Promise<void> {
    const { state, job } = await this.#find(jobId)
    if (state === 'failed') await job?.remove()
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
    for (const waiting of [...this.#waiting.values()].flatMap((together) => [...together])) {
      waiting.reject(new StrataError('E_INTERRUPTED', 'the service ended before the job was done'))
    }
    await Promise.all([this.#queue.close(), this.#events.close()])
  }
}

const nobody: ReadonlySet<Waiting> = new Set()
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
