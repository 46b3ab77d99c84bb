import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { azureDialect, s3Dialect } from '@strata/shared/lifecycle/dialects.ts'
import { judgeRules } from '@strata/shared/lifecycle/judge.ts'
import {
  compileLifecycle,
  type LifecycleInput,
  type LifecycleRule,
  type Provider,
} from '@strata/shared/lifecycle/rules.ts'
import type { LifecycleScope } from '@strata/shared/lifecycle/scope.ts'
import { azureLifecycleRulesMax, s3LifecycleRulesMax } from '@strata/shared/limits.ts'
import type { Policy } from '@strata/shared/policy/policy.ts'
import { dayMs } from '@strata/shared/policy/wall-time.ts'
import { variable, type Environment } from '@strata/shared/store/environment.ts'
import type { BucketState } from '@strata/shared/store/rules/bucket-rules.ts'
import { parseStoreUrl, type AzureLocation, type S3Location } from '@strata/shared/store/store-url.ts'
import type { TenantId } from '@strata/shared/types.ts'
import type { AzureAccountPlace, AzureManagementAccess } from './azure-bucket-rules.ts'
import { BucketLifecycle, type Lifecycle, type LifecycleOutcome } from './bucket-lifecycle.ts'

export interface OpenLifecycleOptions {
  readonly env: Environment
  readonly clock: Clock
  readonly use: LifecycleScope['use']
  /** Whose chains grow colder, and by which policy; left out, rules of tenants stay as they are. */
  readonly tenant?: TenantPolicy | undefined
  /** In place of what the environment says; for tests. */
  readonly azureAccess?: AzureManagementAccess
}

export interface TenantPolicy {
  readonly id: TenantId
  /** undefined: there is none, so nothing grows colder. */
  readonly policy: Policy | undefined
}

/** The rules of the bucket of a store, by its URL. No request is made. Errors: E_STORE_URL. */
export async function openLifecycle(url: string, options: OpenLifecycleOptions): Promise<Lifecycle> {
  const location = parseStoreUrl(url)
  switch (location.kind) {
    case 'file':
      return directoryLifecycle(location.path)
    case 's3':
      return await openS3(location, options)
    case 'azure':
      return await openAzure(location, options)
  }
}

async function openS3(location: S3Location, options: OpenLifecycleOptions): Promise<Lifecycle> {
  const { openS3BucketRules } = await import('@strata/shared/store/rules/s3-bucket-rules.ts')
  const { prefix } = location
  return new BucketLifecycle({
    provider: 's3',
    rules: openS3BucketRules(location, options.env),
    dialect: (state) => s3Dialect(scopeOf(options, prefix, state)),
    wanted: (state) => wantedRules('s3', prefix, state, options),
    rulesMax: s3LifecycleRulesMax,
    ...common(options),
  })
}

async function openAzure(location: AzureLocation, options: OpenLifecycleOptions): Promise<Lifecycle> {
  const { container, prefix } = location
  const place = azurePlace(options.env)
  if (place === undefined) return plannedOnly(location, options)
  const { openAzureBucketRules } = await import('./azure-bucket-rules.ts')
  const access = options.azureAccess ?? (await usualAccess())
  return new BucketLifecycle({
    provider: 'azure',
    rules: openAzureBucketRules(place, access),
    dialect: (state) => azureDialect(container, scopeOf(options, prefix, state)),
    wanted: (state) => wantedRules('azure', prefix, state, options),
    rulesMax: azureLifecycleRulesMax,
    ...common(options),
  })
}

function common({ tenant, clock }: OpenLifecycleOptions): {
  tenant: string | undefined
  needsLocks: string | undefined
  clock: Clock
} {
  const immutability = tenant?.policy?.immutability
  const needsLocks =
    immutability === undefined
      ? undefined
      : `the policy asks for locks of ${String(immutability.days)} days, which only versions can have`
  return { tenant: tenant?.id, needsLocks, clock }
}

function scopeOf({ use }: OpenLifecycleOptions, prefix: string, state: BucketState<unknown>): LifecycleScope {
  return { use, prefix, keepsVersions: state.versions !== 'never' }
}

function wantedRules(
  provider: Provider,
  prefix: string,
  { versions }: Pick<BucketState<unknown>, 'versions'>,
  { use, tenant }: OpenLifecycleOptions,
): LifecycleRule[] {
  if (use === 'staging') return compileLifecycle({ use, provider, prefix })
  const input: LifecycleInput = { use, provider, prefix, keepsVersions: versions !== 'never' }
  if (tenant === undefined) return compileLifecycle(input)
  const { storageClass = [], chain } = tenant.policy ?? {}
  const chainAgeDaysMax = Math.ceil((chain?.ageMsMax ?? 0) / dayMs)
  return compileLifecycle({ ...input, tenant: { id: tenant.id, classes: storageClass, chainAgeDaysMax } })
}

/** Nothing to be set up: what is tagged is deleted by the service, and by each prune. */
function directoryLifecycle(path: string): Lifecycle {
  const outcome: LifecycleOutcome = {
    report: { provider: 'directory', bucket: path, versions: null, rules: [], foreign: [], conflicts: [] },
    problem: undefined,
  }
  const answer = (): Promise<LifecycleOutcome> => Promise.resolve(outcome)
  return { plan: answer, apply: answer, check: answer, close: () => Promise.resolve() }
}

const subscriptionName = 'STRATA_AZURE_SUBSCRIPTION'
const resourceGroupName = 'STRATA_AZURE_RESOURCE_GROUP'
const managementUrlDefault = 'https://management.azure.com'

/** undefined: the account is not to be managed from here. */
function azurePlace(env: Environment): AzureAccountPlace | undefined {
  const subscription = variable(env, subscriptionName)
  const resourceGroup = variable(env, resourceGroupName)
  if (subscription === undefined && resourceGroup === undefined) return undefined
  const account = azureAccount(env)
  if (subscription === undefined || resourceGroup === undefined || account === undefined) {
    throw new StrataError(
      'E_CONFIGURATION',
      `rules of Azure take ${subscriptionName}, ${resourceGroupName} and AZURE_STORAGE_ACCOUNT, or none of the first two`,
    )
  }
  const managementUrl = variable(env, 'STRATA_AZURE_MANAGEMENT_URL') ?? managementUrlDefault
  for (const part of [subscription, resourceGroup, account]) {
    if (!/^[\w.()-]{1,90}$/.test(part)) {
      throw new StrataError(
        'E_CONFIGURATION',
        'subscription, resource group and account are names of letters and digits',
      )
    }
  }
  return { subscription, resourceGroup, account, managementUrl }
}

function azureAccount(env: Environment): string | undefined {
  const ofString = /(?:^|;)AccountName=(?<name>[^;]*)/.exec(variable(env, 'AZURE_STORAGE_CONNECTION_STRING') ?? '')
  return variable(env, 'AZURE_STORAGE_ACCOUNT') ?? ofString?.groups?.['name']
}

async function usualAccess(): Promise<AzureManagementAccess> {
  const { DefaultAzureCredential } = await import('@azure/identity')
  return { credential: new DefaultAzureCredential() }
}

/** What is compiled can be shown without asking anybody, for somebody who brings it to the account another way. */
function plannedOnly({ container, prefix }: AzureLocation, options: OpenLifecycleOptions): Lifecycle {
  const bucket = `container ${container}, whose account was not asked`
  const state = { rules: [], versions: 'never', locks: false, unknownMembers: [], kept: undefined } as const
  const refuse = (): Promise<never> =>
    Promise.reject(
      new StrataError(
        'E_CONFIGURATION',
        `the rules of an Azure account are read and written where ${subscriptionName} and ${resourceGroupName} say which it is`,
        { hint: 'Set both, or give what strata lifecycle plan prints to az storage account management-policy create.' },
      ),
    )
  const plan = (): LifecycleOutcome => {
    const wanted = wantedRules('azure', prefix, state, options)
    const dialect = azureDialect(container, scopeOf(options, prefix, state))
    const { rules, foreign, conflicts } = judgeRules([], wanted, dialect, options.tenant?.id)
    return { report: { provider: 'azure', bucket, versions: null, rules, foreign, conflicts }, problem: undefined }
  }
  return {
    // What it throws rejects.
    plan: () => Promise.resolve().then(plan),
    apply: refuse,
    check: refuse,
    close: () => Promise.resolve(),
  }
}
