import { invariant } from '../errors.ts'
import { idBytes, idFromBytes, idToBytes, type KeyId } from '../types.ts'
import { equalBytes, requireExactLength } from './bytes.ts'
import { keyBytes, tagBytes } from './xaes.ts'

/**
 * A data key, sealed to the tenant's public key. docs/format.md, "Data keys".
 *
 * Fixed size, no version of its own: the object that holds it has one.
 */
export interface WrappedDataKey {
  readonly keyId: KeyId
  /** HPKE's `enc`: the ephemeral X25519 public key. */
  readonly encapsulated: Uint8Array
  /** The data key and the tag. */
  readonly sealed: Uint8Array
}

const encapsulatedBytes = 32
const sealedKeyBytes = keyBytes + tagBytes

const keyIdAt = 0
const encapsulatedAt = keyIdAt + idBytes
const sealedAt = encapsulatedAt + encapsulatedBytes
export const wrappedDataKeyBytes = sealedAt + sealedKeyBytes

invariant(wrappedDataKeyBytes === 96, 'docs/format.md states this number')

export function encodeWrappedDataKey(wrapped: WrappedDataKey): Uint8Array<ArrayBuffer> {
  invariant(wrapped.encapsulated.length === encapsulatedBytes, 'an encapsulated key of the right length')
  invariant(wrapped.sealed.length === sealedKeyBytes, 'a sealed key of the right length')
  const bytes = new Uint8Array(wrappedDataKeyBytes)
  bytes.set(idToBytes(wrapped.keyId), keyIdAt)
  bytes.set(wrapped.encapsulated, encapsulatedAt)
  bytes.set(wrapped.sealed, sealedAt)
  const decoded = decodeWrappedDataKey(bytes)
  invariant(
    decoded.keyId === wrapped.keyId &&
      equalBytes(decoded.encapsulated, wrapped.encapsulated) &&
      equalBytes(decoded.sealed, wrapped.sealed),
    'a wrapped data key decodes to what was encoded',
  )
  return bytes
}

/** Copies out of `bytes`, which must be exactly `wrappedDataKeyBytes` long: else E_FORMAT_DAMAGED. */
export function decodeWrappedDataKey(bytes: Uint8Array): WrappedDataKey {
  requireExactLength('wrapped data key', bytes, wrappedDataKeyBytes)
  return {
    keyId: idFromBytes<KeyId>(bytes.subarray(keyIdAt, encapsulatedAt)),
    encapsulated: bytes.slice(encapsulatedAt, sealedAt),
    sealed: bytes.slice(sealedAt),
  }
}
