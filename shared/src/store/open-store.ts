import type { Clock, RandomBytes } from '../clock.ts'
import { withBandwidth } from './decorators/bandwidth.ts'
import { withRetry } from './decorators/retry.ts'
import type { RetryObserver } from './decorators/retry.ts'
import { openDirectoryStore } from './directory.ts'
import type { Environment } from './environment.ts'
import type { ObjectStore } from './object-store.ts'
import type { StoreObserver } from './store-requests.ts'
import { parseStoreUrl } from './store-url.ts'
import type { StoreLocation } from './store-url.ts'

export interface OpenStoreOptions {
  /** Where the usual variables of each cloud's tools are looked up. */
  readonly env: Environment
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** Creates the directory of a `file:` store. Buckets and containers are never created. */
  readonly create?: boolean | undefined
  /** Object bytes a second, each way, on average; left out, there is no limit. */
  readonly bytesPerSecondMax?: number | undefined
  /** Told of every request that goes to the store; see decorators/metrics.ts. */
  readonly onRequest?: StoreObserver | undefined
  /** Told of every failure that is tried again. */
  readonly onRetry?: RetryObserver | undefined
  /** Once aborted, no call waits, neither for a store that is away nor for the limit of its bandwidth. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a store by its URL, with retries, each of which counts for the bandwidth. A directory must exist (E_STORE_MISSING); a bucket is asked for only by the
 * first request. E_STORE_URL: the URL is wrong. E_STORE_DENIED: no credentials in the environment.
 */
export async function openStore(url: string, options: OpenStoreOptions): Promise<ObjectStore> {
  const store = await openLocation(parseStoreUrl(url), options)
  return withRetry(limited(store, options), options)
}

function limited(store: ObjectStore, { clock, signal, bytesPerSecondMax }: OpenStoreOptions): ObjectStore {
  if (bytesPerSecondMax === undefined) return store
  return withBandwidth(store, {
    clock,
    signal,
    upBytesPerSecond: bytesPerSecondMax,
    downBytesPerSecond: bytesPerSecondMax,
  })
}

/** The cloud SDKs take a good part of a second to load: only whoever has a bucket waits for them. */
async function openLocation(location: StoreLocation, options: OpenStoreOptions): Promise<ObjectStore> {
  switch (location.kind) {
    case 'file':
      return await openDirectoryStore(location.path, options)
    case 's3': {
      const { openS3Store } = await import('./s3.ts')
      return openS3Store(location, { ...options, heedsHistory: true })
    }
    case 'azure': {
      const { openAzureStore } = await import('./azure.ts')
      return openAzureStore(location, { ...options, heedsHistory: true })
    }
  }
}
