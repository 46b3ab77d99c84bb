import type { Clock } from '@strata/shared/clock.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import { maintainIntervalMs, scrubTurnBytesMax } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { damagedPoints } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { PiecePool } from './piece-pool.ts'
import { isScrubbed, scrubTenant, verifyEveryDays, type UnscrubbedSet } from './scrub-tenant.ts'
import type { SetScrub } from './scrub-set.ts'

export interface BackgroundScrubOptions {
  /** Those that are served at the moment. */
  readonly repositories: () => readonly Repository[]
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((note: string) => void) | undefined
}

/**
 * Reads back what is due, as long as a process with the role `maintain` runs: now and then a turn through all sets of the
 * tenants that have a policy. What a turn did not come to, the next one does.
 */
export class BackgroundScrub {
  readonly #options: BackgroundScrubOptions
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>

  constructor(options: BackgroundScrubOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  /** Ends it after the objects that are being read. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { clock, repositories } = this.#options
    await using pool = new PiecePool()
    while (!this.#signal.aborted) {
      for (const repository of repositories()) await this.#turn(repository, pool)
      await clock.sleep(maintainIntervalMs, this.#signal).catch((error: unknown) => {
        if (!this.#signal.aborted) throw error
      })
    }
  }

  /** No backup fails for what cannot be read now. */
  async #turn(repository: Repository, pool: PiecePool): Promise<void> {
    try {
      const everyDays = await verifyEveryDays(repository)
      if (everyDays === undefined) return
      const signal = this.#signal
      for await (const result of scrubTenant({ repository, everyDays, pool, bytesMax: scrubTurnBytesMax, signal })) {
        for (const note of notesOf(result)) this.#options.onNote?.(note)
      }
    } catch (error) {
      if (this.#signal.aborted) return
      this.#options.onNote?.(`reading back what is stored: not now: ${toStrataError(error).message}`)
    }
  }

  get #signal(): AbortSignal {
    const { signal } = this.#options
    return AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal])])
  }
}

function* notesOf(result: SetScrub | UnscrubbedSet): Generator<string> {
  if (!isScrubbed(result)) {
    yield `set ${result.set} could not be read back: ${result.error.code}: ${result.error.message}`
    return
  }
  const { set, damage, history, isLate, oldestUncheckedMs } = result
  const hit = damagedPoints(result).size
  if (damage.length > 0)
    yield `E_POINT_DAMAGED: set ${set}: ${String(hit)} points are damaged in ${String(damage.length)} places`
  for (const { code, message } of history) yield `${code}: set ${set}: ${message}`
  if (isLate) {
    const since = new Date(oldestUncheckedMs).toISOString()
    yield `W_VERIFY_LATE: set ${set}: something was last read before ${since}, which is longer ago than its policy says`
  }
}
