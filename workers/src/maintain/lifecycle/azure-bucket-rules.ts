import {
  bearerTokenAuthenticationPolicy,
  createDefaultHttpClient,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  RestError,
  type HttpClient,
  type Pipeline,
  type PipelineResponse,
} from '@azure/core-rest-pipeline'
import type { TokenCredential } from '@azure/identity'
import { StrataError } from '@strata/shared/errors.ts'
import type { AzureRule } from '@strata/shared/lifecycle/azure-rules.ts'
import { storeRequestTimeoutMs } from '@strata/shared/limits.ts'
import { httpError } from '@strata/shared/store/http-errors.ts'
import type { BucketRules, BucketState } from '@strata/shared/store/rules/bucket-rules.ts'

/** Where an account is managed, which is not where its blobs are. */
export interface AzureAccountPlace {
  readonly subscription: string
  readonly resourceGroup: string
  readonly account: string
  /** An origin: clouds of governments have their own. */
  readonly managementUrl: string
}

export interface AzureManagementAccess {
  readonly credential: TokenCredential
  readonly client?: HttpClient
}

/** A version of the protocol whose rules have all that is compiled here, tierToCold among it. */
const apiVersion = '2023-05-01'

/**
 * The management policy of a storage account. One request of JSON in each direction, by the SDK's own pipeline and not by
 * @azure/arm-storage: that gives what it knows of a rule, and rules of others must go back as they came.
 */
export function openAzureBucketRules(place: AzureAccountPlace, access: AzureManagementAccess): BucketRules<AzureRule> {
  return new AzureBucketRules(place, access)
}

const rights = { GET: 'read', PUT: 'write', DELETE: 'delete' } as const
type Method = keyof typeof rights

interface PolicyAnswer {
  readonly properties?: { readonly policy?: { readonly rules?: readonly AzureRule[] } }
}

class AzureBucketRules implements BucketRules<AzureRule> {
  readonly description: string
  readonly #account: string
  readonly #pipeline: Pipeline
  readonly #client: HttpClient

  constructor(
    { subscription, resourceGroup, account, managementUrl }: AzureAccountPlace,
    access: AzureManagementAccess,
  ) {
    this.description = `storage account ${account}`
    const parts = ['subscriptions', subscription, 'resourceGroups', resourceGroup]
    const path = [...parts, 'providers/Microsoft.Storage/storageAccounts', account].join('/')
    this.#account = `${managementUrl}/${path}`
    this.#pipeline = createEmptyPipeline()
    const scopes = [`${managementUrl}/.default`]
    this.#pipeline.addPolicy(bearerTokenAuthenticationPolicy({ credential: access.credential, scopes }))
    this.#client = access.client ?? createDefaultHttpClient()
  }

  async read(): Promise<BucketState<AzureRule>> {
    const doing = 'reading the management policy'
    const policy = await this.#request(doing, 'GET', 'managementPolicies/default')
    const service = await this.#request('asking for versions', 'GET', 'blobServices/default')
    const { properties } = this.#json(doing, policy) as PolicyAnswer
    const { isVersioningEnabled } =
      (this.#json('asking for versions', service) as { properties?: { isVersioningEnabled?: boolean } }).properties ??
      {}
    return {
      rules: properties?.policy?.rules ?? [],
      versions: isVersioningEnabled === true ? 'kept' : 'never',
      // Locks of versions are a matter of each container, which is looked at by whoever locks.
      locks: isVersioningEnabled === true,
      unknownMembers: [],
      kept: undefined,
    }
  }

  async write(rules: readonly AzureRule[]): Promise<void> {
    const doing = 'writing the management policy'
    // A policy without rules is refused.
    if (rules.length === 0) await this.#request(doing, 'DELETE', 'managementPolicies/default')
    else {
      const body = JSON.stringify({ properties: { policy: { rules } } })
      await this.#request(doing, 'PUT', 'managementPolicies/default', body)
    }
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  /** Its answer; of a policy that was never made, an empty one. */
  async #request(doing: string, method: Method, path: string, body?: string): Promise<PipelineResponse> {
    const request = createPipelineRequest({
      url: `${this.#account}/${path}?api-version=${apiVersion}`,
      method,
      headers: createHttpHeaders({ accept: 'application/json', 'content-type': 'application/json' }),
      timeout: storeRequestTimeoutMs,
      ...(body === undefined ? {} : { body }),
    })
    const response = await this.#pipeline.sendRequest(this.#client, request).catch((error: unknown) => {
      throw this.#noAnswer(error, doing)
    })
    if (response.status === 200 || response.status === 204) return response
    const code = codeOf(response)
    if (method === 'GET' && code === 'ManagementPolicyNotFound') return { ...response, bodyAsText: '{}' }
    throw this.#refusal(response.status, code, doing, method, path)
  }

  #refusal(status: number, code: string | undefined, doing: string, method: Method, path: string): StrataError {
    const what = `${doing} of ${this.description}`
    if (status === 401 || status === 403) {
      const right = `Microsoft.Storage/storageAccounts/${path.replace('/default', '')}/${rights[method]}`
      return new StrataError(
        'E_STORE_DENIED',
        `${what} failed: HTTP ${String(status)}: it takes the permission ${right}`,
        {
          hint: `Give ${right} to whoever runs this, or check the credentials.`,
          details: { status, permission: right },
        },
      )
    }
    return httpError(undefined, { status, code, requestId: undefined }, what)
  }

  /** No answer, or no token to ask with. What the SDK says of a token may have parts of a secret in it. */
  #noAnswer(error: unknown, doing: string): StrataError {
    const what = `${doing} of ${this.description}`
    if (error instanceof RestError)
      return httpError(error, { status: undefined, code: undefined, requestId: undefined }, what)
    return new StrataError('E_STORE_DENIED', `${what} failed: no token for Azure's management`, {
      hint: 'Log in with az login, give a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.',
    })
  }

  #json(doing: string, { bodyAsText }: PipelineResponse): unknown {
    try {
      return JSON.parse(bodyAsText ?? '')
    } catch {
      throw new StrataError('E_STORE_PROTOCOL', `${doing} of ${this.description}: the answer is no JSON`)
    }
  }
}

function codeOf({ bodyAsText }: PipelineResponse): string | undefined {
  try {
    const { error } = JSON.parse(bodyAsText ?? '') as { error?: { code?: unknown } }
    return typeof error?.code === 'string' ? error.code : undefined
  } catch {
    return undefined
  }
}
