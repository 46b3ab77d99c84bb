import { StrataError } from '@strata/shared/errors.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { latestPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import type { Lifecycle, LifecycleOutcome } from '../../maintain/lifecycle/bucket-lifecycle.ts'
import { openLifecycle, type TenantPolicy } from '../../maintain/lifecycle/open-lifecycle.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { lifecycleLines } from '../output/lifecycle.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface LifecycleOptions {
  /** True: the one of the settings. */
  readonly staging?: string | true
  readonly tenant?: string
}

/** `strata lifecycle plan|apply|check`: the rules of the bucket. What is told is told also where it ends in a refusal. */
export async function lifecycle(
  context: Context,
  step: keyof Pick<Lifecycle, 'plan' | 'apply' | 'check'>,
  options: LifecycleOptions,
): Promise<ExitCode> {
  const opened = await open(context, options)
  let outcome: LifecycleOutcome
  try {
    outcome = await opened[step]()
  } finally {
    await opened.close()
  }
  const { report, problem } = outcome
  context.reporter.result(report, lifecycleLines(report))
  if (problem !== undefined) throw problem
  return exitCodes.success
}

async function open(context: Context, { staging, tenant }: LifecycleOptions): Promise<Lifecycle> {
  const { env, clock, settings } = context
  if (staging === undefined) {
    const url = requireStoreUrl(settings)
    return await openLifecycle(url, { env, clock, use: 'repository', tenant: await tenantPolicy(context, tenant) })
  }
  const url = staging === true ? settings.stagingUrl : staging
  if (url === undefined) throw new StrataError('E_USAGE', 'no staging area is given: --staging URL, or STRATA_STAGING')
  return await openLifecycle(url, { env, clock, use: 'staging' })
}

async function tenantPolicy(context: Context, tenant: string | undefined): Promise<TenantPolicy> {
  return await withStore(context, async (store) => {
    const { repository } = await openGivenTenant(context, store, tenant)
    const stored = await latestPolicy(new Registry(repository))
    return { id: repository.tenant, policy: stored === undefined ? undefined : readPolicy(stored.document.body).policy }
  })
}
