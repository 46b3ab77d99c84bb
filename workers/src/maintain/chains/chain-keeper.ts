import type { Clock } from '@strata/shared/clock.ts'
import type { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { hasCode, toStrataError } from '@strata/shared/errors.ts'
import { chainsLookIntervalMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId, TenantId } from '@strata/shared/types.ts'
import { policyInForce, setsOf } from '../retention/prune-tenant.ts'
import { storedNow } from '../usage/stored-now.ts'
import { Turns } from '../turns.ts'
import { keepSet } from './keep-set.ts'

export interface ChainKeeperOptions {
  /** Those that are served at the moment. */
  readonly repositories: () => readonly Repository[]
  /** Whether it is this process's turn with a set: once a day one process has it. */
  readonly takeTurn: (tenant: TenantId, set: SetId) => Promise<boolean>
  /** For what could not be done: somebody may try again. */
  readonly giveTurnBack: (tenant: TenantId, set: SetId) => Promise<void>
  /** Told how much a set stores, for the ledger. */
  readonly meter: UsageMeter
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((note: string) => void) | undefined
}

/**
 * Keeps the chains of all tenants as their policies say, as long as a process with the role `maintain` runs. Each set has
 * its turn once a day. A tenant without a policy is left alone.
 */
export class ChainKeeper {
  readonly #options: ChainKeeperOptions
  readonly #turns: Turns

  constructor(options: ChainKeeperOptions) {
    this.#options = options
    const { clock, signal } = options
    this.#turns = new Turns({ turn: (ending) => this.#turn(ending), pauseMs: chainsLookIntervalMs, clock, signal })
  }

  /** Ends it after the step that is under way. */
  async stop(): Promise<void> {
    await this.#turns.stop()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    for (const repository of this.#options.repositories()) await this.#tenant(repository, signal)
  }

  async #tenant(repository: Repository, signal: AbortSignal): Promise<void> {
    try {
      const { policy, version } = await policyInForce(repository)
      for await (const set of setsOf(repository)) {
        if (signal.aborted) return
        const about = {
          repository,
          set,
          policy,
          policyVersion: version,
          clock: this.#options.clock,
          signal,
        }
        if (await this.#options.takeTurn(repository.tenant, set)) await this.#set(about)
      }
    } catch (error) {
      if (signal.aborted || hasCode(error, 'E_POLICY_MISSING')) return
      this.#note(`chains of tenant ${repository.tenant}: not now: ${toStrataError(error).message}`)
    }
  }

  async #set(about: Parameters<typeof keepSet>[0] & { readonly signal: AbortSignal }): Promise<void> {
    const { repository, set, signal } = about
    try {
      const { synthesised, pruning } = await keepSet(about)
      const name = `set '${pruning.setName ?? set}'`
      const { mark, gone } = pruning.plan
      if (synthesised !== undefined) this.#note(`${name}: a new chain, because of the ${synthesised} of the old one`)
      if (mark.length + gone.length > 0) {
        this.#note(`${name}: ${String(mark.length)} points begin to go, ${String(gone.length)} are gone`)
      }
      for (const { code, message } of pruning.problems) this.#note(`${name}: ${code}: ${message}`)
      const stored = (await storedNow(repository, set)).get(set)
      if (stored !== undefined) this.#options.meter.noteStored(repository.tenant, set, stored)
    } catch (error) {
      await this.#options.giveTurnBack(repository.tenant, set)
      if (signal.aborted) return
      const { code, message } = toStrataError(error)
      this.#note(`set ${set}: not now: ${code}: ${message}`)
    }
  }

  #note(note: string): void {
    this.#options.onNote?.(note)
  }
}
