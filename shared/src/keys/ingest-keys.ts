import { invariant, StrataError } from '../errors.ts'
import type { Id, TenantId } from '../types.ts'

/** Whose something is. A tenant is known by its id within one repository. */
export interface TenantIdentity {
  readonly repositoryId: Id
  readonly tenantId: TenantId
}

/**
 * All that ingest holds of a tenant: enough to write points and to read maps and digests, nothing that opens a data
 * key. Plain data, so that it can go to other threads and into the keyring.
 */
export interface IngestKeys extends TenantIdentity {
  /** Data keys are sealed to it. */
  readonly publicKey: Uint8Array
  /** Secret, 32 bytes each, by generation. */
  readonly indexKeys: ReadonlyMap<number, Uint8Array>
  readonly currentGeneration: number
  /** They come from a keyring file: the tenant's keys may have been rotated since it was written. */
  readonly mayBeBehind?: true
}

export const firstGeneration = 1

/** Says E_KEY_FOREIGN unless `found` (what a document, keyring or key says of itself) is the `expected` tenant. */
export function requireSameTenant(what: string, found: TenantIdentity, expected: TenantIdentity): void {
  if (found.repositoryId !== expected.repositoryId) {
    throw new StrataError(
      'E_KEY_FOREIGN',
      `${what} belongs to repository ${found.repositoryId}, and this is repository ${expected.repositoryId}`,
    )
  }
  if (found.tenantId !== expected.tenantId) {
    throw new StrataError('E_KEY_FOREIGN', `${what} belongs to tenant ${found.tenantId}, not to ${expected.tenantId}`)
  }
}

/** The index key of a generation that must be there. */
export function indexKeyOf(keys: Pick<IngestKeys, 'indexKeys'>, generation: number): Uint8Array {
  const key = keys.indexKeys.get(generation)
  invariant(key !== undefined, `index key ${String(generation)} is at hand`)
  return key
}
