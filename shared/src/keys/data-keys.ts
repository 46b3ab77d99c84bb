import type { RandomBytes } from '../clock.ts'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { concatBytes } from '../format/bytes.ts'
import type { WrappedDataKey } from '../format/wrapped-key.ts'
import { keyBytes } from '../format/xaes.ts'
import { idBytes, idFromBytes, idToBytes, type KeyId, type TenantId } from '../types.ts'
import { openFrom, sealTo, type HpkeContext } from './hpke.ts'
import type { TenantPrivateKey } from './tenant-private-key.ts'

/**
 * Data keys: for each session a worker process seals records under one of its own, which leaves the process only sealed
 * to the tenant's public key. So ingest, which holds no private key, cannot read what an earlier session wrote.
 * docs/format.md, "Data keys".
 */
const dataKeyInfo = Buffer.from('strata/v1/data-key', 'latin1')

export interface DataKey {
  readonly keyId: KeyId
  /** 32 bytes, secret. */
  readonly key: Uint8Array
}

export interface NewDataKey extends DataKey {
  /** What is stored beside the records. */
  readonly wrapped: WrappedDataKey
}

export async function createDataKey(
  publicKey: Uint8Array,
  tenantId: TenantId,
  random: RandomBytes,
): Promise<NewDataKey> {
  const keyId = idFromBytes<KeyId>(random(idBytes))
  const key = random(keyBytes)
  invariant(key.length === keyBytes, `a data key has ${String(keyBytes)} bytes`)
  const message = await sealTo(publicKey, contextOf(tenantId, keyId), key, random)
  return { keyId, key, wrapped: { keyId, ...message } }
}

/** Another tenant's private key: E_KEY_FOREIGN. Altered, swapped, or of another tenant: E_SEAL_BROKEN. */
export async function openDataKey(
  privateKey: TenantPrivateKey,
  tenantId: TenantId,
  wrapped: WrappedDataKey,
): Promise<DataKey> {
  if (privateKey.tenantId !== tenantId) {
    throw new StrataError(
      'E_KEY_FOREIGN',
      `data key ${wrapped.keyId} is of tenant ${tenantId}, and the key at hand is of tenant ${privateKey.tenantId}`,
    )
  }
  const key = await openFromAny(privateKey, contextOf(tenantId, wrapped.keyId), wrapped)
  if (key.length !== keyBytes) {
    throw new StrataError('E_FORMAT_DAMAGED', `data key ${wrapped.keyId} has ${String(key.length)} bytes`)
  }
  return { keyId: wrapped.keyId, key }
}

/**
 * Nothing says which of the tenant's key pairs a data key was sealed to: it is the current one, or, where it was written
 * before a rotation (or with a keyring that is older), one of those before it.
 */
async function openFromAny(
  privateKey: TenantPrivateKey,
  context: HpkeContext,
  wrapped: WrappedDataKey,
): Promise<Uint8Array> {
  try {
    return await openFrom(privateKey.bytes(), context, wrapped)
  } catch (error) {
    if (!hasCode(error, 'E_SEAL_BROKEN')) throw error
    for (const former of privateKey.formerBytes()) {
      const opened = await openFrom(former, context, wrapped).catch(unlessBroken)
      if (opened !== undefined) return opened
    }
    throw error
  }
}

function unlessBroken(error: unknown): undefined {
  if (!hasCode(error, 'E_SEAL_BROKEN')) throw error
  return undefined
}

/** The key id is authenticated, so a wrapped key put under another id does not open. */
function contextOf(tenantId: TenantId, keyId: KeyId): HpkeContext {
  return { info: concatBytes([dataKeyInfo, idToBytes(tenantId)]), aad: idToBytes(keyId) }
}
