import type { Clock } from '@strata/shared/clock.ts'
import { saveUsage, usageLost } from '@strata/shared/usage/usage-ledger.ts'
import type { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { usageSaveIntervalMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { Turns } from '../turns.ts'

export interface UsageKeeperOptions {
  readonly meter: UsageMeter
  /** Those that are served at the moment. */
  readonly repositories: () => readonly Repository[]
  readonly clock: Clock
  readonly onNote?: ((note: string) => void) | undefined
}

/** Writes down now and then, and at its end, what this process has asked of the store. */
export class UsageKeeper {
  readonly #options: UsageKeeperOptions
  readonly #turns: Turns

  constructor(options: UsageKeeperOptions) {
    this.#options = options
    this.#turns = new Turns({
      turn: () => this.#save(),
      pauseMs: usageSaveIntervalMs,
      beginsAfterMs: usageSaveIntervalMs,
      clock: options.clock,
    })
  }

  /** While the store is still open, and when the others have ended. */
  async stop(): Promise<void> {
    await this.#turns.stop()
    await this.#save()
  }

  async #save(): Promise<void> {
    const { meter, repositories, onNote } = this.#options
    for (const repository of repositories()) {
      try {
        await saveUsage(repository, meter, 'service')
      } catch (error) {
        const { code, message } = usageLost(error)
        onNote?.(`${code}: ${message}`)
      }
    }
  }
}
