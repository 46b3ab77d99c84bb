import { hasCode, StrataError } from '../errors.ts'
import { damaged } from '../format/bytes.ts'
import { isTenantKeysName, tenantKeysName, tenantKeysPrefix } from '../format/names.ts'
import { decodeTenantKeys, encodeTenantKeys, type TenantKeysDocument } from '../keys/tenant-document.ts'
import { tenantKeysBytesMax } from '../limits.ts'
import type { ObjectLock, ObjectStore } from '../store/object-store.ts'
import { asId, type TenantId } from '../types.ts'
import { readPendingDestruction, requireNotDestroyed } from './destruction.ts'

/**
 * The keys documents of a tenant in the store: numbered revisions that never change. The highest one holds, and no reader
 * ever falls back to an earlier one.
 */

/**
 * The newest keys document of a tenant, not authenticated yet. E_TENANT_UNKNOWN: the store has none; E_KEY_FOREIGN:
 * another tenant's lies in its place; E_TENANT_DESTROYED.
 */
export async function readTenantKeys(store: ObjectStore, tenant: TenantId): Promise<TenantKeysDocument> {
  await requireNotDestroyed(store, tenant)
  let newest: string | undefined
  for await (const { name } of store.list(tenantKeysPrefix(tenant))) {
    if (isTenantKeysName(tenant, name)) newest = name
  }
  if (newest === undefined) {
    throw new StrataError('E_TENANT_UNKNOWN', `${store.description} has no keys of tenant ${tenant}`, {
      hint: 'Check the store URL, and that nobody has deleted objects from the store.',
    })
  }
  const document = decodeTenantKeys(await store.get(newest, { bytesMax: tenantKeysBytesMax }), newest)
  if (newest !== tenantKeysName(tenant, document.revision)) {
    throw damaged(newest, `holds revision ${String(document.revision)}`)
  }
  if (document.tenantId !== tenant) {
    throw new StrataError('E_KEY_FOREIGN', `${newest} holds the keys of tenant ${document.tenantId}`)
  }
  return document
}

/**
 * Puts the next revision, in one step: before it the former one holds, after it this one. Somebody else's with the same
 * number: E_REGISTRY_CONFLICT, and nothing has changed. E_DESTROY_PENDING: they are about to be destroyed, and stay as
 * they are until then.
 */
export async function appendTenantKeys(store: ObjectStore, document: TenantKeysDocument): Promise<void> {
  const tenant = asId<TenantId>(document.tenantId)
  const destruction = await readPendingDestruction(store, tenant)
  if (destruction !== undefined) {
    const due = `due at ${destruction.dueAt}`
    throw new StrataError(
      'E_DESTROY_PENDING',
      `the end of the keys of tenant ${tenant} is ${destruction.state}, ${due}`,
    )
  }
  const name = tenantKeysName(tenant, document.revision)
  const lock = await lockOfFormer(store, tenant, document.revision)
  try {
    await store.put(name, [encodeTenantKeys(document)], { ifAbsent: true, lock })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
    throw new StrataError(
      'E_REGISTRY_CONFLICT',
      `somebody else changed the keys of tenant ${document.tenantId} at the same moment`,
      { cause: error },
    )
  }
}

/** Points that are locked need the newest keys as long as the former ones. */
async function lockOfFormer(store: ObjectStore, tenant: TenantId, revision: number): Promise<ObjectLock | undefined> {
  if (revision === 1) return undefined
  const lock = await store.lockOf(tenantKeysName(tenant, revision - 1))
  return lock !== undefined && lock.untilMs > (await store.now()) ? lock : undefined
}
