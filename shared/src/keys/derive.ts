import { createHmac, hkdfSync } from 'node:crypto'
import { invariant } from '../errors.ts'
import { keyBytes } from '../format/xaes.ts'
import { idBytes, idFromBytes, idToBytes, type SessionId, type SetId, type TenantId } from '../types.ts'

/**
 * What follows from the index key by HKDF-SHA256. docs/format.md, "Derived keys".
 *
 * Each purpose has an info string of its own, so no two uses share a key; each set has digest keys of its own, so
 * equal blocks of two sets have unequal digests.
 */
const blockDigestInfo = 'strata/v1/block-digest'
const treeDigestInfo = 'strata/v1/tree-digest'
const setNameInfo = 'strata/v1/set-name'
const transportInfo = 'strata/v1/transport'
const sessionIdInfo = 'strata/v1/session-id'
const registryInfo = 'strata/v1/registry'
const reportInfo = 'strata/v1/report'

/** Key of the digests of a set's blocks, 32 bytes. */
export function blockDigestKey(indexKey: Uint8Array, setId: SetId): Buffer {
  return derive(indexKey, idToBytes(setId), blockDigestInfo)
}

/** Key of the digests above the blocks (pages, nodes, content roots) of a set, 32 bytes. */
export function treeDigestKey(indexKey: Uint8Array, setId: SetId): Buffer {
  return derive(indexKey, idToBytes(setId), treeDigestInfo)
}

/**
 * The id that a set's name has in the store: every machine that holds the index key finds the set by its name, and
 * nobody else can tell names from ids. Names that look the same in NFC are the same set.
 *
 * Always from the index key's first generation: a set keeps its id when the index key is replaced.
 */
export function setIdFromName(firstIndexKey: Uint8Array, name: string): SetId {
  const key = derive(firstIndexKey, new Uint8Array(0), setNameInfo)
  const hash = createHmac('sha256', key).update(name.normalize('NFC'), 'utf8').digest()
  return idFromBytes<SetId>(hash.subarray(0, idBytes))
}

/**
 * Key of a session's segments on their way from afar, 32 bytes. Agent and workers know it without telling each other.
 *
 * Always from the index key's first generation: both have that, whichever is current for the one or the other.
 */
export function transportKey(firstIndexKey: Uint8Array, session: SessionId): Buffer {
  return derive(firstIndexKey, idToBytes(session), transportInfo)
}

/**
 * The id of the session that comes of an attempt to open one: the same attempt gives the same session, and no agent can
 * choose the id of a session, or point, of another set.
 */
export function sessionIdFromAttempt(firstIndexKey: Uint8Array, set: SetId, attempt: string): SessionId {
  const key = derive(firstIndexKey, idToBytes(set), sessionIdInfo)
  const hash = createHmac('sha256', key).update(attempt, 'utf8').digest()
  return idFromBytes<SessionId>(hash.subarray(0, idBytes))
}

/**
 * A keyed hash of something that a registry must find again and must not show: equal for whoever holds the index key.
 * Each `purpose` has hashes of its own. Gives 64 hex digits.
 */
export function registryHash(firstIndexKey: Uint8Array, purpose: string, value: string): string {
  const key = derive(firstIndexKey, new Uint8Array(0), registryInfo)
  return createHmac('sha256', key).update(`${purpose}:${value}`, 'utf8').digest('hex')
}

/** Seed of the Ed25519 key that a tenant's reports are signed with; always from the index key's first generation. */
export function reportKeySeed(firstIndexKey: Uint8Array, tenant: TenantId): Buffer {
  return derive(firstIndexKey, idToBytes(tenant), reportInfo)
}

/** HKDF-SHA256 (RFC 5869) to 32 bytes. */
export function derive(secret: Uint8Array, salt: Uint8Array, info: string | Uint8Array): Buffer {
  invariant(secret.length === keyBytes, `keys are derived from ${String(keyBytes)} bytes`)
  return Buffer.from(hkdfSync('sha256', secret, salt, info, keyBytes))
}
