import type { TenantIdentity } from './ingest-keys.ts'
import type { ProviderKind } from './wrap-schema.ts'

/**
 * Services that keep keys of their own and never give them out: they wrap 32 bytes for us, and unwrap them again for
 * whoever they let. They see neither the tenant's private key nor anything that is sealed with it.
 *
 * Errors of both: E_KEY_DENIED names the permission that is missing; E_KEY_PROVIDER: the key cannot be used;
 * E_KEY_PROVIDER_AWAY: no answer.
 */
export interface KeyProvider {
  /** @param key as a person names it */
  wrap(kind: ProviderKind, key: string, secret: Uint8Array, tenant: TenantIdentity): Promise<ProviderWrapped>

  /** Undefined: the provider says that it has not wrapped these bytes with this key for this tenant. */
  unwrap(kind: ProviderKind, wrapped: ProviderWrapped, tenant: TenantIdentity): Promise<Uint8Array | undefined>
}

export interface ProviderWrapped {
  /** The key's full name, by which the provider finds it again whatever was renamed since. */
  readonly key: string
  readonly wrapped: Uint8Array
}

type Tail<Parameters extends unknown[]> = Parameters extends [unknown, ...infer Rest] ? Rest : never

/** `KeyProvider`, for one service. */
export interface ProviderOfOne {
  wrap(...parameters: Tail<Parameters<KeyProvider['wrap']>>): ReturnType<KeyProvider['wrap']>
  unwrap(...parameters: Tail<Parameters<KeyProvider['unwrap']>>): ReturnType<KeyProvider['unwrap']>
}
