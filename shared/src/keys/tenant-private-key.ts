import { inspect } from 'node:util'
import { invariant } from '../errors.ts'
import type { Id, TenantId } from '../types.ts'
import { privateKeyBytes } from './hpke.ts'
import type { TenantIdentity } from './ingest-keys.ts'

/**
 * The private half of a tenant's key pair, unlocked, with those that it has replaced: together they open all of the
 * tenant's history. A class, so that no
 * printed, cloned or serialised object shows the key by accident.
 */
export class TenantPrivateKey implements TenantIdentity {
  readonly repositoryId: Id
  readonly tenantId: TenantId
  readonly publicKey: Uint8Array
  readonly #bytes: Uint8Array
  readonly #former: readonly Uint8Array[]

  /** @param former the private keys before this one, newest first: what was sealed to them is still there */
  constructor(identity: TenantIdentity, publicKey: Uint8Array, bytes: Uint8Array, former: readonly Uint8Array[] = []) {
    const lengths = [bytes, ...former].map(({ length }) => length)
    invariant(
      lengths.every((length) => length === privateKeyBytes),
      `a private key has ${String(privateKeyBytes)} bytes`,
    )
    this.repositoryId = identity.repositoryId
    this.tenantId = identity.tenantId
    this.publicKey = publicKey
    this.#bytes = Uint8Array.from(bytes)
    this.#former = former.map((key) => Uint8Array.from(key))
  }

  /** The key itself, 32 bytes; not to be kept or passed on. */
  bytes(): Uint8Array {
    return this.#bytes
  }

  /** The keys before it, 32 bytes each, newest first; not to be kept or passed on either. */
  formerBytes(): readonly Uint8Array[] {
    return this.#former
  }

  [inspect.custom](): string {
    return `TenantPrivateKey(tenant ${this.tenantId})`
  }
}
