import { rm } from 'node:fs/promises'
import type { RandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { rotateKeys } from '../keys/change-keys.ts'
import { readKeyring, writeKeyring, type Keyring } from '../keys/keyring.ts'
import type { UnlockSecrets } from '../keys/open-private-key.ts'
import { formerKeysOf, type TenantKeysDocument } from '../keys/tenant-document.ts'
import { ingestKeysFrom } from '../keys/tenant-keys.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { appendTenantKeys } from './keys-document.ts'
import { requireOpens, type UnlockedTenant } from './unlock.ts'

/**
 * The rotation of a tenant's keys. Invariant: it may die between any two lines, and a run that comes after it ends with
 * one rotation, the same one.
 *
 * 1. The new keyring is written as *rotated*, beside its place: nothing reads it but a later rotation.
 * 2. The next revision of the keys document goes to the store: from here on the keys are rotated. The old keyring serves
 *    as before, and whoever unlocks the tenant gets all keys.
 * 3. The keyring goes to its place.
 * 4. The rotated one goes.
 *
 * A run that finds a rotated keyring looks whether the store knows its key pair. If so, the rotation has happened, and the
 * run goes on at 3; otherwise nothing can hang on it, and the run begins anew.
 */
export interface RotationOptions {
  readonly keyringPath: string
  /** For every way that the tenant opens by. */
  readonly secrets: UnlockSecrets
  readonly random: RandomBytes
}

export interface Rotation {
  readonly document: TenantKeysDocument
  readonly keyring: Keyring
  /** An earlier run had done it, up to the keyring. */
  readonly resumed: boolean
}

const rotatedSuffix = '.rotated'

/** Errors: those of `rotateKeys`; E_REGISTRY_CONFLICT: somebody else changed the keys meanwhile. */
export async function rotateTenant(
  store: ObjectStore,
  { document, privateKey, keyring: { tenantName } }: UnlockedTenant,
  { keyringPath, secrets, random }: RotationOptions,
): Promise<Rotation> {
  const keys = await ingestKeysFrom(document, privateKey)
  if (await hasHappened(keyringPath, document)) {
    const keyring = { ...keys, tenantName }
    await putInPlace(keyringPath, keyring)
    return { document, keyring, resumed: true }
  }
  const rotated = await rotateKeys(document, keys, privateKey, secrets, random)
  await requireOpens(rotated.document, rotated.privateKey, secrets)
  const keyring = { ...rotated.ingest, tenantName }
  await writeKeyring(keyringPath + rotatedSuffix, keyring, { overwrite: true })
  await appendTenantKeys(store, rotated.document)
  await putInPlace(keyringPath, keyring)
  return { document: rotated.document, keyring, resumed: false }
}

/** A keyring that holds all that the store does: what a rotation may have left beside it is of no use any more. */
export async function putInPlace(keyringPath: string, keyring: Keyring): Promise<void> {
  await writeKeyring(keyringPath, keyring, { overwrite: true })
  await rm(keyringPath + rotatedSuffix, { force: true })
}

async function hasHappened(keyringPath: string, document: TenantKeysDocument): Promise<boolean> {
  try {
    const { publicKey } = await readKeyring(keyringPath + rotatedSuffix)
    const text = Buffer.from(publicKey).toString('hex')
    return document.publicKey === text || formerKeysOf(document).some((former) => former.publicKey === text)
  } catch (error) {
    // One that is damaged was not written to its end, and so nothing was put into the store behind it.
    if (hasCode(error, 'E_KEYRING_MISSING', 'E_KEYRING_DAMAGED')) return false
    throw error
  }
}
