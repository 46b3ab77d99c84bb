import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, toStrataError } from '@strata/shared/errors.ts'
import { chainsLookIntervalMs } from '@strata/shared/limits.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId, TenantId } from '@strata/shared/types.ts'
import { policyInForce, setsOf } from '../retention/prune-tenant.ts'
import { keepSet } from './keep-set.ts'

export interface ChainKeeperOptions {
  /** Those that are served at the moment. */
  readonly repositories: () => readonly Repository[]
  /** Whether it is this process's turn with a set: once a day one process has it. */
  readonly takeTurn: (tenant: TenantId, set: SetId) => Promise<boolean>
  /** For what could not be done: somebody may try again. */
  readonly giveTurnBack: (tenant: TenantId, set: SetId) => Promise<void>
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
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>

  constructor(options: ChainKeeperOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  /** Ends it after the step that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#ended
  }

  async #run(): Promise<void> {
    while (!this.#signal.aborted) {
      for (const repository of this.#options.repositories()) await this.#tenant(repository)
      await this.#options.clock.sleep(chainsLookIntervalMs, this.#signal).catch((error: unknown) => {
        if (!this.#signal.aborted) throw error
      })
    }
  }

  async #tenant(repository: Repository): Promise<void> {
    try {
      const { policy, version } = await policyInForce(repository)
      for await (const set of setsOf(repository)) {
        if (this.#signal.aborted) return
        const about = {
          repository,
          set,
          policy,
          policyVersion: version,
          clock: this.#options.clock,
          signal: this.#signal,
        }
        if (await this.#options.takeTurn(repository.tenant, set)) await this.#set(about)
      }
    } catch (error) {
      if (this.#signal.aborted || hasCode(error, 'E_POLICY_MISSING')) return
      this.#note(`chains of tenant ${repository.tenant}: not now: ${toStrataError(error).message}`)
    }
  }

  async #set(about: Parameters<typeof keepSet>[0]): Promise<void> {
    const { repository, set } = about
    try {
      const { synthesised, pruning } = await keepSet(about)
      const name = `set '${pruning.setName ?? set}'`
      const { mark, gone } = pruning.plan
      if (synthesised !== undefined) this.#note(`${name}: a new chain, because of the ${synthesised} of the old one`)
      if (mark.length + gone.length > 0) {
        this.#note(`${name}: ${String(mark.length)} points begin to go, ${String(gone.length)} are gone`)
      }
      for (const { code, message } of pruning.problems) this.#note(`${name}: ${code}: ${message}`)
    } catch (error) {
      await this.#options.giveTurnBack(repository.tenant, set)
      if (this.#signal.aborted) return
      const { code, message } = toStrataError(error)
      this.#note(`set ${set}: not now: ${code}: ${message}`)
    }
  }

  #note(note: string): void {
    this.#options.onNote?.(note)
  }

  get #signal(): AbortSignal {
    const { signal } = this.#options
    return AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal])])
  }
}
