import type { Clock } from '@strata/shared/clock.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import { maintainIntervalMs, scrubTurnBytesMax } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { damagedPoints } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { Turns } from '../turns.ts'
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
  readonly #pool = new PiecePool()
  readonly #turns: Turns

  constructor(options: BackgroundScrubOptions) {
    this.#options = options
    const { clock, signal } = options
    this.#turns = new Turns({ turn: (ending) => this.#turn(ending), pauseMs: maintainIntervalMs, clock, signal })
  }

  /** Ends it after the objects that are being read. */
  async stop(): Promise<void> {
    await this.#turns.stop()
    await this.#pool[Symbol.asyncDispose]()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    for (const repository of this.#options.repositories()) await this.#tenant(repository, signal)
  }

  /** No backup fails for what cannot be read now. */
  async #tenant(repository: Repository, signal: AbortSignal): Promise<void> {
    try {
      const everyDays = await verifyEveryDays(repository)
      if (everyDays === undefined) return
      const pool = this.#pool
      for await (const result of scrubTenant({ repository, everyDays, pool, bytesMax: scrubTurnBytesMax, signal })) {
        for (const note of notesOf(result)) this.#options.onNote?.(note)
      }
    } catch (error) {
      if (signal.aborted) return
      this.#options.onNote?.(`reading back what is stored: not now: ${toStrataError(error).message}`)
    }
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
