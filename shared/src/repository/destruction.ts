import { hasCode, StrataError } from '../errors.ts'
import { damaged } from '../format/bytes.ts'
import type { Warning } from '../format/manifest.ts'
import { destructionName, destructionNumberOf, destructionPrefix, tombstoneName } from '../format/names.ts'
import {
  decodeDestruction,
  decodeTombstone,
  encodeDestruction,
  encodeTombstone,
  type DestructionDocument,
  type DestructionFacts,
  type Tombstone,
} from '../keys/destruction-document.ts'
import type { TenantPrivateKey } from '../keys/tenant-private-key.ts'
import { destructionBytesMax } from '../limits.ts'
import type { ObjectStore } from '../store/object-store.ts'
import type { TenantId } from '../types.ts'

/** The documents about the end of a tenant's keys, and what is left in their place. */

/** The newest one, not authenticated yet; undefined: nothing was ever asked for. */
export async function readDestruction(store: ObjectStore, tenant: TenantId): Promise<DestructionDocument | undefined> {
  let newest: string | undefined
  for await (const { name } of store.list(destructionPrefix(tenant))) {
    if (destructionNumberOf(tenant, name) !== undefined) newest = name
  }
  if (newest === undefined) return undefined
  const document = decodeDestruction(await store.get(newest, { bytesMax: destructionBytesMax }), newest)
  if (document.number !== destructionNumberOf(tenant, newest) || document.tenantId !== tenant) {
    throw damaged(newest, 'belongs elsewhere')
  }
  return document
}

/** The newest one, unless it was taken back. */
export async function readPendingDestruction(
  store: ObjectStore,
  tenant: TenantId,
): Promise<DestructionDocument | undefined> {
  const newest = await readDestruction(store, tenant)
  return newest?.state === 'cancelled' ? undefined : newest
}

/** For whoever works with a tenant while it can still be taken back. */
export async function destructionWarning(store: ObjectStore, tenant: TenantId): Promise<Warning | undefined> {
  const pending = await readPendingDestruction(store, tenant)
  if (pending === undefined) return undefined
  const message = `the destruction of the keys of tenant ${tenant} is ${pending.state}, and due at ${pending.dueAt}: strata key destroy tells more`
  return { code: 'W_DESTRUCTION_PENDING', message }
}

/** E_REGISTRY_CONFLICT: somebody else was faster with this number. */
export async function appendDestruction(
  store: ObjectStore,
  tenant: TenantId,
  facts: DestructionFacts,
  privateKey: TenantPrivateKey,
): Promise<void> {
  try {
    await store.put(destructionName(tenant, facts.number), [encodeDestruction(facts, privateKey)], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
    throw new StrataError('E_REGISTRY_CONFLICT', `somebody else acted on the keys of tenant ${tenant} just now`, {
      cause: error,
    })
  }
}

export async function readTombstone(store: ObjectStore, tenant: TenantId): Promise<Tombstone | undefined> {
  const name = tombstoneName(tenant)
  if ((await store.head(name)) === undefined) return undefined
  return decodeTombstone(await store.get(name, { bytesMax: destructionBytesMax }), name)
}

/** One that is there already stays. */
export async function putTombstone(store: ObjectStore, tenant: TenantId, tombstone: Tombstone): Promise<void> {
  try {
    await store.put(tombstoneName(tenant), [encodeTombstone(tombstone)], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
  }
}

/** Says E_TENANT_DESTROYED of a tenant that has a tombstone, whatever is in it. One request. */
export async function requireNotDestroyed(store: ObjectStore, tenant: TenantId): Promise<void> {
  const tombstone = await store.head(tombstoneName(tenant))
  if (tombstone === undefined) return
  const when = new Date(tombstone.modifiedMs).toISOString()
  throw new StrataError('E_TENANT_DESTROYED', `the keys of tenant ${tenant} were destroyed at ${when}`)
}
