import type { Clock } from '@strata/shared/clock.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import { maintainBeatMs, maintainIntervalMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { rebuildJobs, type JobTakers } from './rebuild/rebuild-jobs.ts'
import { expireRetired } from './retention/expire-retired.ts'
import { sweepSessions } from './sweep/sweep-sessions.ts'
import { sweepStaging } from './sweep/sweep-staging.ts'

export interface MaintenanceOptions {
  /** Those that are served at the moment. */
  readonly repositories: () => readonly Repository[]
  readonly staging: StagingArea | undefined
  readonly jobs: JobTakers
  /** Leaves a mark in Redis; true: there was none, so whatever else was there may be gone as well. */
  readonly mark: () => Promise<boolean>
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((note: string) => void) | undefined
}

/**
 * What has to be done now and then, as long as a process with the role `maintain` runs: dead sessions and what they have
 * staged go, as does what is retired in a directory, and jobs are given again, at once where Redis has lost them. Any number of processes may do it at the same
 * time; what one of them could not do, a later round does.
 */
export class Maintenance {
  readonly #options: MaintenanceOptions
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>

  constructor(options: MaintenanceOptions) {
    this.#options = options
    this.#ended = this.#run(options.clock.monotonicMs())
  }

  /** Ends it after the request that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#ended
  }

  async #run(startedMs: number): Promise<void> {
    const { clock } = this.#options
    let dueMs = startedMs
    while (!this.#isStopping) {
      const isDue = clock.monotonicMs() >= dueMs
      await this.#trying('jobs that Redis may have lost', async () => {
        if ((await this.#options.mark()) || isDue) await this.#rebuild()
      })
      if (isDue) {
        await this.#trying('what dead sessions have left', () => this.#sweep())
        await this.#trying('what is retired', () => this.#expire())
        dueMs = clock.monotonicMs() + maintainIntervalMs
      }
      await clock.sleep(maintainBeatMs, this.#signal).catch((error: unknown) => {
        if (!this.#isStopping) throw error
      })
    }
  }

  async #rebuild(): Promise<void> {
    const { repositories, staging, jobs, onNote } = this.#options
    for (const repository of repositories()) {
      const { commits, segments } = await rebuildJobs(repository, staging, jobs)
      if (commits + segments > 0) {
        onNote?.(`gave jobs again: ${String(commits)} commits, ${String(segments)} staged segments`)
      }
    }
  }

  async #sweep(): Promise<void> {
    const { repositories, staging, clock, onNote } = this.#options
    for (const repository of repositories()) {
      const { unreadable, problem } = await sweepSessions({ repository, clock, signal: this.#signal })
      if (problem !== undefined) {
        onNote?.(
          `${String(unreadable)} of the sessions that are over stay in the store: ${problem.code}: ${problem.message}`,
        )
      }
      if (staging !== undefined) await sweepStaging(repository, staging, this.#signal)
    }
  }

  /** Where a bucket deletes by itself, this does nothing. */
  async #expire(): Promise<void> {
    const { repositories, clock, onNote } = this.#options
    for (const store of new Set(repositories().map(({ store: ofTenant }) => ofTenant))) {
      const expired = await expireRetired(store, clock, this.#signal)
      if (expired > 0) onNote?.(`retired objects deleted: ${String(expired)}`)
    }
  }

  /** No backup fails for what could not be done now. */
  async #trying(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (this.#isStopping) return
      this.#options.onNote?.(`${what}: not now: ${toStrataError(error).message}`)
    }
  }

  get #signal(): AbortSignal {
    const { signal } = this.#options
    return AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal])])
  }

  get #isStopping(): boolean {
    return this.#signal.aborted
  }
}
