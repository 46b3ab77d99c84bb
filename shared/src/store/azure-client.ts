import type { Agent } from 'node:http'
import { AnonymousCredential, BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { ContainerClient, StoragePipelineOptions } from '@azure/storage-blob'
import { StrataError } from '../errors.ts'
import { variable } from './environment.ts'
import type { Environment } from './environment.ts'
import type { HttpAgents } from './http-transfer.ts'
import type { AzureLocation } from './store-url.ts'

/** It becomes part of a host's name and of a header. */
const accountPattern = /^[a-z0-9-]{1,63}$/

/** How the SDK is set up for a store; see openAzureStore for the credentials. */
export function azureContainerClient(location: AzureLocation, env: Environment, agents: HttpAgents): ContainerClient {
  const connectionString = variable(env, 'AZURE_STORAGE_CONNECTION_STRING')
  if (connectionString !== undefined && location.endpoint === undefined) {
    return fromConnectionString(connectionString, location, env, agents)
  }
  return fromAccount(location, env, agents).getContainerClient(location.container)
}

function fromAccount(location: AzureLocation, env: Environment, agents: HttpAgents): BlobServiceClient {
  const account = variable(env, 'AZURE_STORAGE_ACCOUNT')
  if (account === undefined) throw noCredentialsError('AZURE_STORAGE_ACCOUNT is not set')
  if (!accountPattern.test(account)) throw noCredentialsError('AZURE_STORAGE_ACCOUNT cannot be the name of an account')
  const endpoint = location.endpoint ?? `https://${account}.blob.core.windows.net`
  const key = variable(env, 'AZURE_STORAGE_KEY')
  const token = variable(env, 'AZURE_STORAGE_SAS_TOKEN')
  const options = pipelineOptions(env, agents, endpoint)
  if (key !== undefined) return new BlobServiceClient(endpoint, new StorageSharedKeyCredential(account, key), options)
  if (token === undefined) throw noCredentialsError('AZURE_STORAGE_KEY is not set')
  return new BlobServiceClient(`${endpoint}?${token.replace(/^\?/, '')}`, new AnonymousCredential(), options)
}

function fromConnectionString(
  text: string,
  { container }: AzureLocation,
  env: Environment,
  agents: HttpAgents,
): ContainerClient {
  const plain = /(?:DefaultEndpointsProtocol=http;|BlobEndpoint=http:|UseDevelopmentStorage=true)/i.test(text)
  try {
    const service = BlobServiceClient.fromConnectionString(
      text,
      pipelineOptions(env, agents, plain ? 'http:' : 'https:'),
    )
    // An account's name that cannot be part of a URL is noticed here.
    return service.getContainerClient(container)
  } catch {
    // The SDK's error is not passed on: it may quote the string, which holds the key.
    throw noCredentialsError('AZURE_STORAGE_CONNECTION_STRING is not a connection string')
  }
}

function noCredentialsError(why: string): StrataError {
  return new StrataError('E_STORE_DENIED', `no credentials for Azure: ${why}`, {
    hint: 'Set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY.',
  })
}

/** Our connections, unless a proxy is set: the SDK then makes its own. Reached by a name the SDK's type leaves out. */
function pipelineOptions(
  env: Environment,
  agents: HttpAgents,
  endpoint: string,
): StoragePipelineOptions & { agent?: Agent } {
  const proxies = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'https_proxy', 'http_proxy', 'all_proxy']
  const hasProxy = proxies.some((name) => variable(env, name) !== undefined)
  const agent = endpoint.startsWith('http:') ? agents.http : agents.https
  return { retryOptions: { maxTries: 1 }, ...(hasProxy ? {} : { agent }) }
}
