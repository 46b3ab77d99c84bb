import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { readKeyFile } from '@strata/shared/keys/key-file.ts'
import { writeKeyring, type Keyring } from '@strata/shared/keys/keyring.ts'
import type { UnlockSecrets } from '@strata/shared/keys/tenant-keys.ts'
import {
  openTenant,
  unlockRepository,
  type OpenedTenant,
  type SecretsSource,
  type UnlockedTenant,
  type UnlockOptions,
} from '@strata/shared/repository/unlock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { Context } from './context.ts'
import { askNewPassphrase, askPassphrase } from './input/prompt.ts'

/** Opens the tenant of the keyring; where there is none, rebuilds it from the store and the secrets at hand. */
export async function openGivenTenant(context: Context, store: ObjectStore, tenant?: string): Promise<OpenedTenant> {
  const opened = await openTenant(store, unlockOptions(context, tenant))
  if (opened.keyringRebuilt) await keepKeyring(context, opened.keyring)
  return opened
}

/** The same with the private key, so that blocks can be read. */
export async function unlockGivenTenant(
  context: Context,
  store: ObjectStore,
  tenant?: string,
): Promise<UnlockedTenant> {
  const opened = await unlockRepository(store, unlockOptions(context, tenant))
  if (opened.keyringRebuilt) await keepKeyring(context, opened.keyring)
  return opened
}

function unlockOptions(context: Context, tenant: string | undefined): UnlockOptions {
  const { settings, random } = context
  return { keyringPath: settings.keyringPath, tenant, secrets: givenSecrets(context), random }
}

/** Passphrase and key file as given; with neither, a person at the terminal is asked where that can help. */
function givenSecrets(context: Context): SecretsSource {
  return async ({ passphrase: opensWithPassphrase }) => {
    const { settings, terminal } = context
    const keyFile = await readGivenKeyFile(context)
    const canAsk = terminal !== undefined && opensWithPassphrase
    if (settings.passphrase !== undefined || keyFile !== undefined || !canAsk) {
      return { passphrase: settings.passphrase, keyFile }
    }
    return { passphrase: await askPassphrase(terminal, 'Passphrase') }
  }
}

async function readGivenKeyFile({ settings }: Context): Promise<UnlockSecrets['keyFile']> {
  if (settings.keyFilePath === undefined) return undefined
  return await readKeyFile(settings.keyFilePath)
}

/** A keyring that cannot be kept costs the next run a little; it must not stand between somebody and a restore. */
async function keepKeyring({ settings, reporter }: Context, keyring: Keyring): Promise<void> {
  try {
    await writeKeyring(settings.keyringPath, keyring, { overwrite: false })
    reporter.note(`The keyring of tenant '${keyring.tenantName}' was rebuilt from the store: ${settings.keyringPath}`)
  } catch (error) {
    if (!hasCode(error, 'E_CONFIGURATION', 'E_TENANT_EXISTS')) throw error
    reporter.warning(`the keyring was rebuilt from the store and could not be kept: ${error.message}`)
  }
}

/** Secrets for a new tenant. A key file that does not exist yet is not made here: nothing is written before it must be. */
export async function secretsForNewTenant(context: Context): Promise<NewTenantSecrets> {
  const { settings, terminal } = context
  const { keyFilePath } = settings
  const keyFile = keyFilePath === undefined ? undefined : await existingKeyFile(keyFilePath)
  if (settings.passphrase !== undefined || keyFilePath !== undefined) {
    return {
      passphrase: settings.passphrase,
      keyFile,
      createKeyFileAt: keyFile === undefined ? keyFilePath : undefined,
    }
  }
  if (terminal === undefined) {
    throw new StrataError('E_KEY_MISSING', 'a new tenant needs a passphrase or a key file, and none was given', {
      hint: 'Set STRATA_PASSPHRASE, or pass --key-file PATH (a new key file is made there), or run this on a terminal.',
    })
  }
  const passphrase = await askNewPassphrase(terminal, 'Passphrase for the new tenant')
  return { passphrase, keyFile: undefined, createKeyFileAt: undefined }
}

export interface NewTenantSecrets extends UnlockSecrets {
  readonly createKeyFileAt: string | undefined
}

async function existingKeyFile(path: string): Promise<UnlockSecrets['keyFile']> {
  try {
    return await readKeyFile(path)
  } catch (error) {
    if (hasCode(error, 'E_KEY_MISSING')) return undefined
    throw error
  }
}
