import { saveUsage, usageLost } from '@strata/shared/usage/usage-ledger.ts'
import type { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { Reporter } from './output/reporter.ts'

/** Whose ledger gets what was asked of a store. */
const tenants = new WeakMap<ObjectStore, Repository>()

/** From now on, what is asked of the repository's store is the tenant's. */
export function noteTenant(repository: Repository): void {
  tenants.set(repository.store, repository)
}

/**
 * Writes down what a command has asked of the store, before it is closed. Whoever may only read leaves nothing behind, so
 * that is in no ledger.
 */
export async function saveUsageOf(store: ObjectStore, meter: UsageMeter, reporter: Reporter): Promise<void> {
  const repository = tenants.get(store)
  if (repository === undefined) return
  try {
    await saveUsage(repository, meter, 'command line')
  } catch (error) {
    if (hasCode(error, 'E_STORE_READ_ONLY', 'E_STORE_DENIED')) return
    const { code, message } = usageLost(error)
    reporter.warning(`${code}: ${message}`)
  }
}
