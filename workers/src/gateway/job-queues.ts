import type { RandomBytes } from '@strata/shared/clock.ts'
import { invariant } from '@strata/shared/errors.ts'
import { commitJobId, commitQueue, type CommitJob, type CommitJobResult } from '@strata/shared/queue/commit-job.ts'
import {
  handOverQueues,
  ingestJobId,
  segmentSizeOf,
  stagedQueues,
  type HandOverJob,
  type IngestResult,
  type SegmentSize,
  type StagedJob,
} from '@strata/shared/queue/ingest-job.ts'
import { isAlone, type QueuePlace, type QueuePlaces } from '../queue-place.ts'
import type { RedisGuard } from '../redis-guard.ts'
import { QueueLine } from './queue-line.ts'

const attemptBytes = 8

/** Gives jobs to the workers and waits for their answers. */
export class JobQueues {
  readonly #guard: RedisGuard
  readonly #random: RandomBytes
  readonly #handOver: Readonly<Record<SegmentSize, QueueLine>>
  /** undefined: a service that is alone has no staging area. */
  readonly #staged: Readonly<Record<SegmentSize, QueueLine>> | undefined
  readonly #commit: QueueLine

  constructor(places: QueuePlaces, guard: RedisGuard, random: RandomBytes) {
    const { own, shared } = places
    this.#guard = guard
    this.#random = random
    const lines = (place: QueuePlace, names: typeof handOverQueues | typeof stagedQueues) => ({
      large: new QueueLine(place, names.large),
      small: new QueueLine(place, names.small),
    })
    if (isAlone(places)) {
      const line = new QueueLine(own, handOverQueues.large)
      this.#handOver = { large: line, small: line }
    } else {
      this.#handOver = lines(own, handOverQueues)
      this.#staged = lines(shared, stagedQueues)
    }
    this.#commit = new QueueLine(shared, commitQueue)
  }

  /** A segment on this host, of `bytes` where they are known. Resolves when its pack is stored. */
  async handOver(job: HandOverJob, { bytes, priority }: HandOverOptions = {}): Promise<IngestResult> {
    const attempt = Buffer.from(this.#random(attemptBytes)).toString('hex')
    const id = ingestJobId(job.session, job.segment, attempt)
    const line = this.#handOver[segmentSizeOf(bytes)]
    return (await this.#guard.whileConnected(line.run(id, job, { priority }))) as IngestResult
  }

  /** A staged segment. Resolves when the job is in the queue; one that is there already stays as it is. */
  async stage(job: StagedJob, priority?: number): Promise<void> {
    invariant(this.#staged !== undefined, 'where there is a staging area, queues are shared')
    const id = ingestJobId(job.session, job.segment, job.attempt)
    await this.#guard.whileConnected(this.#staged[segmentSizeOf(job.bytes)].add(id, job, { priority }))
  }

  /** Resolves when the point is there. A repeat of the attempt waits for the same job, or for a new one if that failed. */
  async commit(job: CommitJob, attempt: number, onProgress?: (said: unknown) => void): Promise<CommitJobResult> {
    const run = this.#commit.run(commitJobId(job.session, attempt), job, { again: true, onProgress })
    return (await this.#guard.whileConnected(run)) as CommitJobResult
  }

  /** Has the point made though nobody waits for it. */
  async commitUnattended(job: CommitJob): Promise<void> {
    await this.#guard.whileConnected(this.#commit.add(commitJobId(job.session, 0), job, {}))
  }

  /** Removes the queues that are this process's own, and all their jobs. */
  async obliterate(): Promise<void> {
    const lines = this.#staged === undefined ? this.#lines : new Set(Object.values(this.#handOver))
    await this.#guard.whileConnected(Promise.all([...lines].map((line) => line.obliterate())))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lines].map((line) => line.close()))
  }

  get #lines(): ReadonlySet<QueueLine> {
    return new Set([...Object.values(this.#handOver), ...Object.values(this.#staged ?? {}), this.#commit])
  }
}

export interface HandOverOptions {
  readonly bytes?: number | undefined
  readonly priority?: number | undefined
}
