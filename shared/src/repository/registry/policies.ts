import type { TenantPolicy } from '../../format/tenant-policy.ts'
import { idFromHash } from './claims.ts'
import { instant, type Registry } from './registry.ts'
import type { Versioned } from './versioned.ts'

/** The policy that all endpoints of a tenant keep to; undefined: there is none yet. */
export async function latestPolicy(
  registry: Registry,
  known?: Versioned<TenantPolicy>,
): Promise<Versioned<TenantPolicy> | undefined> {
  return await registry.policies.latest(policyId(registry), known)
}

/** Makes `body` the policy from now on, and gives its version. Somebody was faster: E_REGISTRY_CONFLICT. */
export async function appendPolicy(registry: Registry, body: object): Promise<number> {
  const id = policyId(registry)
  const latest = await latestPolicy(registry)
  const createdAt = instant(await registry.repository.store.now())
  const document: TenantPolicy = { strata: 'tenant-policy', version: 1, policy: id, body: { ...body }, createdAt }
  const { version } = await registry.policies.append(id, latest?.version ?? 0, document)
  return version
}

/** There is one policy for all at this stage. */
function policyId({ repository }: Registry): string {
  return idFromHash(repository.registryHash('policy', 'default'))
}
