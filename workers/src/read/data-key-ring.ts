import { hasCode, type StrataError } from '@strata/shared/errors.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { openDataKey } from '@strata/shared/keys/data-keys.ts'
import type { TenantPrivateKey } from '@strata/shared/keys/tenant-private-key.ts'
import type { KeyId, TenantId } from '@strata/shared/types.ts'

/** An opened data key, or why it does not open: then all records sealed with it are lost, and no others. */
export type RingKey = { readonly key: Uint8Array } | { readonly error: StrataError }

/**
 * The data keys of one point. Each is opened when the first record needs it: a chain's root lists the keys of all its
 * sessions, and opening one costs more than opening a record.
 */
export class DataKeyRing {
  readonly #privateKey: TenantPrivateKey
  readonly #tenant: TenantId
  readonly #wrapped: Map<KeyId, WrappedDataKey>
  readonly #opened = new Map<KeyId, Promise<RingKey>>()

  constructor(privateKey: TenantPrivateKey, tenant: TenantId, keys: readonly WrappedDataKey[]) {
    this.#privateKey = privateKey
    this.#tenant = tenant
    this.#wrapped = new Map(keys.map((wrapped) => [wrapped.keyId, wrapped]))
  }

  /** Keys of records that stand for others; what the ring has already stays. */
  add(keys: readonly WrappedDataKey[]): void {
    for (const wrapped of keys) if (!this.#wrapped.has(wrapped.keyId)) this.#wrapped.set(wrapped.keyId, wrapped)
  }

  /** Undefined: the point has no such key. Another tenant's private key: rejects with E_KEY_FOREIGN. */
  async key(keyId: KeyId): Promise<RingKey | undefined> {
    const wrapped = this.#wrapped.get(keyId)
    if (wrapped === undefined) return undefined
    let opened = this.#opened.get(keyId)
    if (opened === undefined) {
      opened = this.#open(wrapped)
      this.#opened.set(keyId, opened)
    }
    return opened
  }

  async #open(wrapped: WrappedDataKey): Promise<RingKey> {
    try {
      return { key: (await openDataKey(this.#privateKey, this.#tenant, wrapped)).key }
    } catch (error) {
      if (hasCode(error, 'E_SEAL_BROKEN', 'E_FORMAT_DAMAGED')) return { error }
      throw error
    }
  }
}
