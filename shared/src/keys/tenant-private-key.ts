import { inspect } from 'node:util'
import { invariant } from '../errors.ts'
import type { Id, TenantId } from '../types.ts'
import { privateKeyBytes } from './hpke.ts'
import type { TenantIdentity } from './ingest-keys.ts'

/**
 * The private half of a tenant's key pair, unlocked: it opens all of the tenant's history. A class, so that no
 * printed, cloned or serialised object shows the key by accident.
 */
export class TenantPrivateKey implements TenantIdentity {
  readonly repositoryId: Id
  readonly tenantId: TenantId
  readonly publicKey: Uint8Array
  readonly #bytes: Uint8Array

  constructor(identity: TenantIdentity, publicKey: Uint8Array, bytes: Uint8Array) {
    invariant(bytes.length === privateKeyBytes, `a private key has ${String(privateKeyBytes)} bytes`)
    this.repositoryId = identity.repositoryId
    this.tenantId = identity.tenantId
    this.publicKey = publicKey
    this.#bytes = Uint8Array.from(bytes)
  }

  /** The key itself, 32 bytes; not to be kept or passed on. */
  bytes(): Uint8Array {
    return this.#bytes
  }

  [inspect.custom](): string {
    return `TenantPrivateKey(tenant ${this.tenantId})`
  }
}
