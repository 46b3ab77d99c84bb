import type { RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { createKeyFile, readKeyFile } from '@strata/shared/keys/key-file.ts'
import { keyProviders } from '@strata/shared/keys/key-providers.ts'
import { writeKeyring } from '@strata/shared/keys/keyring.ts'
import { hasSecret } from '@strata/shared/keys/open-private-key.ts'
import type { ProviderKeyName } from '@strata/shared/keys/private-key-wrap.ts'
import { parseRecoveryKey } from '@strata/shared/keys/recovery-key.ts'
import type { UnlockSecrets } from '@strata/shared/keys/tenant-keys.ts'
import { destructionWarning } from '@strata/shared/repository/destruction.ts'
import { putInPlace } from '@strata/shared/repository/rotate-tenant.ts'
import {
  openTenant,
  unlockRepository,
  type OpenedTenant,
  type SecretsSource,
  type UnlockedTenant,
  type UnlockOptions,
  type UnlockWays,
} from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { Context } from './context.ts'
import { askNewPassphrase, askPassphrase, askRecoveryKey } from './input/prompt.ts'
import { noteTenant } from './usage.ts'

/** Opens the tenant of the keyring; where there is none, rebuilds it from the store and the secrets at hand. */
export async function openGivenTenant(context: Context, store: ObjectStore, tenant?: string): Promise<OpenedTenant> {
  const opened = await openTenant(store, unlockOptions(context, tenant, givenSecrets(context)))
  noteTenant(opened.repository)
  await keepKeyring(context, opened)
  await warnOfDestruction(context, opened)
  return opened
}

/** The same with the private key, so that blocks can be read. */
export async function unlockGivenTenant(
  context: Context,
  store: ObjectStore,
  tenant?: string,
): Promise<UnlockedTenant> {
  const opened = await unlockRepository(store, unlockOptions(context, tenant, givenSecrets(context)))
  noteTenant(opened.repository)
  await keepKeyring(context, opened)
  await warnOfDestruction(context, opened)
  return opened
}

/** The same, with a secret for each way that the tenant opens by, as far as they are given or somebody can be asked. */
export async function unlockWithAllSecrets(
  context: Context,
  store: ObjectStore,
  tenant?: string,
): Promise<{ readonly unlocked: UnlockedTenant; readonly secrets: UnlockSecrets }> {
  let secrets: UnlockSecrets = {}
  const source: SecretsSource = async (ways) => {
    secrets = await allSecrets(context, ways)
    return secrets
  }
  const unlocked = await unlockRepository(store, unlockOptions(context, tenant, source))
  return { unlocked, secrets }
}

function unlockOptions(context: Context, tenant: string | undefined, secrets: SecretsSource): UnlockOptions {
  const { settings, random } = context
  return { keyringPath: settings.keyringPath, tenant, secrets, random }
}

/**
 * What is given; with nothing, the service that keeps a key where the tenant opens by one, or else a person at the
 * terminal is asked where that can help.
 */
function givenSecrets(context: Context): SecretsSource {
  return async (ways) => {
    const { terminal } = context
    const given = await readGivenSecrets(context)
    if (hasSecret(given) || terminal === undefined || !ways.has('passphrase') || hasProvider(ways)) return given
    return { ...given, passphrase: await askPassphrase(terminal, 'Passphrase') }
  }
}

async function allSecrets(context: Context, ways: UnlockWays): Promise<UnlockSecrets> {
  const { terminal } = context
  const given = await readGivenSecrets(context)
  if (terminal === undefined) return given
  const asksPassphrase = ways.has('passphrase') && given.passphrase === undefined
  const passphrase = asksPassphrase ? await askPassphrase(terminal, 'Passphrase') : given.passphrase
  const asksRecoveryKey = ways.has('recoverySheet') && given.recoveryKey === undefined
  const recoveryKey = asksRecoveryKey ? parseRecoveryKey(await askRecoveryKey(terminal)) : given.recoveryKey
  return { ...given, passphrase, recoveryKey }
}

function hasProvider(ways: UnlockWays): boolean {
  return ways.has('awsKms') || ways.has('azureKeyVault')
}

async function readGivenSecrets(context: Context): Promise<UnlockSecrets> {
  const { settings, env } = context
  return {
    provider: keyProviders({ env }),
    passphrase: settings.passphrase,
    keyFile: settings.keyFilePath === undefined ? undefined : await readKeyFile(settings.keyFilePath),
    recoveryKey: await readGivenRecoveryKey(context),
  }
}

async function readGivenRecoveryKey({ settings, terminal }: Context): Promise<UnlockSecrets['recoveryKey']> {
  if (settings.recoveryKey !== undefined) return parseRecoveryKey(settings.recoveryKey)
  if (!settings.asksForRecoveryKey) return undefined
  if (terminal === undefined) {
    throw new StrataError('E_KEY_MISSING', '--recovery-key asks on a terminal, and there is none', {
      hint: 'Give the lines of the sheet in STRATA_RECOVERY_KEY.',
    })
  }
  return parseRecoveryKey(await askRecoveryKey(terminal))
}

/** Whoever works with the tenant hears of it while it can be taken back. */
async function warnOfDestruction({ reporter }: Context, { repository }: OpenedTenant): Promise<void> {
  const warning = await destructionWarning(repository.store, repository.tenant)
  if (warning !== undefined) reporter.warning(`${warning.code}: ${warning.message}`)
}

/** A keyring that cannot be kept costs the next run a little; it must not stand between somebody and a restore. */
async function keepKeyring({ settings, reporter }: Context, { keyring, keyringChange }: OpenedTenant): Promise<void> {
  if (keyringChange === 'none') return
  const { keyringPath } = settings
  try {
    if (keyringChange === 'rebuilt') await writeKeyring(keyringPath, keyring, { overwrite: false })
    else await putInPlace(keyringPath, keyring)
    const why = keyringChange === 'rebuilt' ? 'rebuilt from the store' : 'renewed, since its keys were rotated'
    reporter.note(`The keyring of tenant '${keyring.tenantName}' was ${why}: ${keyringPath}`)
  } catch (error) {
    if (!hasCode(error, 'E_CONFIGURATION', 'E_TENANT_EXISTS')) throw error
    reporter.warning(`the keyring was ${keyringChange} from the store and could not be kept: ${error.message}`)
  }
}

/** Secrets for a new tenant. A key file that does not exist yet is not made here: nothing is written before it must be. */
export async function secretsForNewTenant(
  { settings, terminal, env }: Context,
  providerKey: ProviderKeyName | undefined,
): Promise<NewTenantSecrets> {
  const { keyFilePath } = settings
  const keyFile = keyFilePath === undefined ? undefined : await existingKeyFile(keyFilePath)
  const provider = keyProviders({ env })
  const byService = { providerKey, provider }
  if (settings.passphrase !== undefined || keyFilePath !== undefined || providerKey !== undefined) {
    const createKeyFileAt = keyFile === undefined ? keyFilePath : undefined
    return { passphrase: settings.passphrase, keyFile, createKeyFileAt, ...byService }
  }
  if (terminal === undefined) {
    throw new StrataError('E_KEY_MISSING', 'a new tenant needs a passphrase or a key file, and none was given', {
      hint: 'Set STRATA_PASSPHRASE, or pass --key-file PATH (a new key file is made there) or --kms KEY, or run this on a terminal.',
    })
  }
  const passphrase = await askNewPassphrase(terminal, 'Passphrase for the new tenant')
  return { passphrase, keyFile: undefined, createKeyFileAt: undefined, ...byService }
}

export interface NewTenantSecrets extends UnlockSecrets {
  readonly createKeyFileAt: string | undefined
  readonly providerKey: ProviderKeyName | undefined
}

/** The key file at `path`; one is made where there is none. */
export async function readOrMakeKeyFile(
  path: string,
  random: RandomBytes,
): Promise<{ readonly keyFile: Uint8Array; readonly isMade: boolean }> {
  const existing = await existingKeyFile(path)
  if (existing !== undefined) return { keyFile: existing, isMade: false }
  return { keyFile: await createKeyFile(path, random), isMade: true }
}

async function existingKeyFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readKeyFile(path)
  } catch (error) {
    if (hasCode(error, 'E_KEY_MISSING')) return undefined
    throw error
  }
}
