import { StrataError } from '@strata/shared/errors.ts'
import { idBelow, tenantPointsPrefix } from '@strata/shared/format/names.ts'
import { retentionIn } from '@strata/shared/policy/copies.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'
import { pruneSet, type PruneOptions, type SetPruning } from './prune-set.ts'

/** The sets of a tenant that have points. */
export async function* setsOf({ store, tenant }: Repository): AsyncGenerator<SetId> {
  const prefix = tenantPointsPrefix(tenant)
  for await (const directory of store.listDirectories(prefix)) {
    const set = idBelow<SetId>(prefix, directory)
    if (set !== undefined) yield set
  }
}

/**
 * What is in force. Nothing is ever deleted by a policy that nobody has written: E_POLICY_MISSING.
 * @param storeUrl where the repository is, where that is known: a copy has its own retention
 */
export async function policyInForce(
  repository: Repository,
  storeUrl?: string,
): Promise<{ policy: Policy; version: number }> {
  const stored = await latestPolicy(new Registry(repository))
  if (stored === undefined) {
    throw new StrataError('E_POLICY_MISSING', 'the tenant has no policy, and nothing is deleted without one')
  }
  const { policy } = readPolicy(stored.document.body)
  const retention = storeUrl === undefined ? policy.retention : retentionIn(policy, storeUrl)
  return { policy: { ...policy, retention }, version: stored.version }
}

/** Prunes the sets one after the other; all of the tenant where `sets` does not say which. */
export async function* pruneTenant(
  options: Omit<PruneOptions, 'set' | 'policy' | 'policyVersion'> & { readonly storeUrl?: string | undefined },
  sets?: readonly SetId[],
): AsyncGenerator<SetPruning> {
  const { repository, storeUrl, signal } = options
  const { policy, version } = await policyInForce(repository, storeUrl)
  for await (const set of sets ?? setsOf(repository)) {
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'interrupted; the next prune goes on')
    yield await pruneSet({ ...options, set, policy, policyVersion: version })
  }
}
