import type { Environment } from '../store/environment.ts'
import type { AzureAccess } from './azure-key-vault.ts'
import type { KeyProvider, ProviderOfOne } from './key-provider.ts'
import type { ProviderKind } from './wrap-schema.ts'

export interface KeyProvidersOptions {
  /** Where region, endpoint and credentials are looked up, as each service's own tools do. */
  readonly env: Environment
  /** Left out, it is as the SDK does it. */
  readonly azure?: AzureAccess
}

/** The services that keep keys. Their SDKs are loaded by the first call: most commands do without. */
export function keyProviders(options: KeyProvidersOptions): KeyProvider {
  const loaded = new Map<ProviderKind, Promise<ProviderOfOne>>()
  const of = (kind: ProviderKind): Promise<ProviderOfOne> => {
    const known = loaded.get(kind) ?? load(kind, options)
    loaded.set(kind, known)
    return known
  }
  return {
    wrap: async (kind, ...parameters) => await (await of(kind)).wrap(...parameters),
    unwrap: async (kind, ...parameters) => await (await of(kind)).unwrap(...parameters),
  }
}

async function load(kind: ProviderKind, options: KeyProvidersOptions): Promise<ProviderOfOne> {
  switch (kind) {
    case 'awsKms': {
      const { AwsKms } = await import('./aws-kms.ts')
      return new AwsKms(options.env)
    }
    case 'azureKeyVault': {
      const { AzureKeyVault } = await import('./azure-key-vault.ts')
      return new AzureKeyVault(options.azure)
    }
  }
}
