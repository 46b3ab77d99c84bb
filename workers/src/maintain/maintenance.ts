import type { Clock } from '@strata/shared/clock.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import { maintainBeatMs, maintainIntervalMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { rebuildJobs, type JobTakers } from './rebuild/rebuild-jobs.ts'
import { expireRetired } from './retention/expire-retired.ts'
import { sweepSessions } from './sweep/sweep-sessions.ts'
import { sweepStaging } from './sweep/sweep-staging.ts'
import { Turns } from './turns.ts'

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
  readonly #turns: Turns
  #dueMs: number

  constructor(options: MaintenanceOptions) {
    this.#options = options
    const { clock, signal } = options
    this.#dueMs = clock.monotonicMs()
    this.#turns = new Turns({ turn: (ending) => this.#turn(ending), pauseMs: maintainBeatMs, clock, signal })
  }

  /** Ends it after the request that is under way. */
  async stop(): Promise<void> {
    await this.#turns.stop()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { clock, mark } = this.#options
    const isDue = clock.monotonicMs() >= this.#dueMs
    await this.#trying(signal, 'jobs that Redis may have lost', async () => {
      if ((await mark()) || isDue) await this.#rebuild()
    })
    if (!isDue) return
    await this.#trying(signal, 'what dead sessions have left', () => this.#sweep(signal))
    await this.#trying(signal, 'what is retired', () => this.#expire(signal))
    this.#dueMs = clock.monotonicMs() + maintainIntervalMs
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

  async #sweep(signal: AbortSignal): Promise<void> {
    const { repositories, staging, clock, onNote } = this.#options
    for (const repository of repositories()) {
      const { unreadable, problem } = await sweepSessions({ repository, clock, signal })
      if (problem !== undefined) {
        onNote?.(
          `${String(unreadable)} of the sessions that are over stay in the store: ${problem.code}: ${problem.message}`,
        )
      }
      if (staging !== undefined) await sweepStaging(repository, staging, signal)
    }
  }

  /** Where a bucket deletes by itself, this does nothing. */
  async #expire(signal: AbortSignal): Promise<void> {
    const { repositories, clock, onNote } = this.#options
    for (const store of new Set(repositories().map(({ store: ofTenant }) => ofTenant))) {
      const expired = await expireRetired(store, clock, signal)
      if (expired > 0) onNote?.(`retired objects deleted: ${String(expired)}`)
    }
  }

  /** No backup fails for what could not be done now. */
  async #trying(signal: AbortSignal, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (signal.aborted) return
      this.#options.onNote?.(`${what}: not now: ${toStrataError(error).message}`)
    }
  }
}
