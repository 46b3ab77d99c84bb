import { hasCode, StrataError } from '../errors.ts'
import { damaged } from '../format/bytes.ts'
import { isTenantKeysName, tenantKeysName, tenantKeysPrefix } from '../format/names.ts'
import { decodeTenantKeys, encodeTenantKeys, type TenantKeysDocument } from '../keys/tenant-document.ts'
import { tenantKeysBytesMax } from '../limits.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { asId, type TenantId } from '../types.ts'

/**
 * The keys documents of a tenant in the store: numbered revisions that never change. The highest one holds, and no reader
 * ever falls back to an earlier one.
 */

/**
 * The newest keys document of a tenant, not authenticated yet. E_TENANT_UNKNOWN: the store has none; E_KEY_FOREIGN:
 * another tenant's lies in its place.
 */
export async function readTenantKeys(store: ObjectStore, tenant: TenantId): Promise<TenantKeysDocument> {
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
 * number: E_REGISTRY_CONFLICT, and nothing has changed.
 */
export async function appendTenantKeys(store: ObjectStore, document: TenantKeysDocument): Promise<void> {
  const name = tenantKeysName(asId<TenantId>(document.tenantId), document.revision)
  try {
    await store.put(name, [encodeTenantKeys(document)], { ifAbsent: true })
  } catch (error) {
    if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
    throw new StrataError(
      'E_REGISTRY_CONFLICT',
      `somebody else changed the keys of tenant ${document.tenantId} at the same moment`,
      { cause: error },
    )
  }
}
