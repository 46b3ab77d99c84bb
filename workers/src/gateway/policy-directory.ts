import type { Clock } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { TenantPolicy } from '@strata/shared/format/tenant-policy.ts'
import { policyCacheMsMax } from '@strata/shared/limits.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { Versioned } from '@strata/shared/repository/registry/versioned.ts'

/** A tenant's policy as its endpoints ask for it: not older than `policyCacheMsMax`, however many of them ask. */
export class PolicyDirectory {
  readonly #registry: Registry
  readonly #clock: Clock
  #found: Versioned<TenantPolicy> | undefined
  #askedMs = -Infinity
  #asking: Promise<void> | undefined

  constructor(repository: Repository, clock: Clock) {
    this.#registry = new Registry(repository)
    this.#clock = clock
  }

  async latest(): Promise<Versioned<TenantPolicy> | undefined> {
    if (this.#clock.monotonicMs() - this.#askedMs > policyCacheMsMax) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined
      })
      await this.#asking
    }
    return this.#found
  }

  /** One that is not understood is for the commit of a full to tell of. */
  async wantsLocks(): Promise<boolean> {
    const found = await this.latest()
    try {
      return found !== undefined && readPolicy(found.document.body).policy.immutability !== undefined
    } catch (error) {
      if (hasCode(error, 'E_POLICY_NEWER', 'E_POLICY_INVALID')) return false
      throw error
    }
  }

  async #ask(): Promise<void> {
    const askedMs = this.#clock.monotonicMs()
    this.#found = await latestPolicy(this.#registry, this.#found)
    this.#askedMs = askedMs
  }
}
