import type { Clock, RandomBytes } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { withRetry } from '../store/decorators/retry.ts'
import type { RetryObserver } from '../store/decorators/retry.ts'
import type { Environment } from '../store/environment.ts'
import type { StoreObserver } from '../store/store-requests.ts'
import { parseStoreUrl } from '../store/store-url.ts'
import { StagingInStore } from './staging-in-store.ts'
import type { StagingArea } from './staging-area.ts'

export interface OpenStagingOptions {
  /** Where the usual variables of each cloud's tools are looked up. */
  readonly env: Environment
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  /** Told of every request of ours; those of agents are not seen here. */
  readonly onRequest?: StoreObserver | undefined
  /** Told of every failure that is tried again. */
  readonly onRetry?: RetryObserver | undefined
  /** Once aborted, no call waits for a store that is away. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a staging area by its store URL, s3: or azure:, with retries. No request is made. E_STORE_URL: the URL is wrong,
 * or of a directory, which nobody can be let into from afar. E_STORE_DENIED: no credentials, or none to sign with.
 */
export async function openStaging(url: string, options: OpenStagingOptions): Promise<StagingArea> {
  const location = parseStoreUrl(url)
  switch (location.kind) {
    case 'file':
      throw directoryError()
    case 's3': {
      const { openS3Store } = await import('../store/s3.ts')
      const { s3UploadSigner } = await import('./s3-signer.ts')
      const signer = s3UploadSigner(location, options.env)
      const store = openS3Store(location, { ...options, headSha256: location.checksums === 'when_supported' })
      return new StagingInStore(withRetry(store, options), signer, options)
    }
    case 'azure': {
      const { openAzureStore } = await import('../store/azure.ts')
      const { azureUploadSigner } = await import('./azure-signer.ts')
      const signer = azureUploadSigner(location, options.env)
      const store = openAzureStore(location, { ...options, deletesSnapshots: true })
      return new StagingInStore(withRetry(store, options), signer, options)
    }
  }
}

function directoryError(): StrataError {
  return new StrataError('E_STORE_URL', 'a directory cannot be a staging area: agents could not upload to it', {
    hint: 'Give an s3: or azure: URL, or no staging area at all where the store is a directory: the gateway then takes the segments itself.',
  })
}
