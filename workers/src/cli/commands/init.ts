import { rm, stat } from 'node:fs/promises'
import { hasCode, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { tenantKeysName } from '@strata/shared/format/names.ts'
import { createKeyFile } from '@strata/shared/keys/key-file.ts'
import { wrapNames } from '@strata/shared/keys/open-private-key.ts'
import type { ProviderKeyName } from '@strata/shared/keys/private-key-wrap.ts'
import { readKeyring, writeKeyring, type Keyring } from '@strata/shared/keys/keyring.ts'
import { encodeTenantKeys } from '@strata/shared/keys/tenant-document.ts'
import { createTenantKeys, ingestKeysFrom, openTenantName, unlockTenant } from '@strata/shared/keys/tenant-keys.ts'
import { passphraseCharsAdvised } from '@strata/shared/limits.ts'
import { createRepositoryDocument } from '@strata/shared/repository/repository.ts'
import { readTenantKeys } from '@strata/shared/repository/keys-document.ts'
import { requireOpens } from '@strata/shared/repository/unlock.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { asId, idBytes, idFromBytes, type Id, type TenantId } from '@strata/shared/types.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { parseProviderKey } from '../input/key-way.ts'
import { parseTenantName } from '../input/tenant-name.ts'
import { factLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { secretsForNewTenant, type NewTenantSecrets } from '../unlock.ts'

/**
 * `strata init`. Invariant: it may die between any two lines, and the same command typed again does what is left.
 *
 * 1. The store's document is made if it is not there, and is the same however often that happens.
 * 2. The key file is on disk before anything depends on it; the next run finds it and uses it.
 * 3. The new tenant's keyring is written as *unfinished*, beside its place: nothing reads it but a later `init`.
 * 4. The keys document goes to the store. From here on the tenant can be opened with the secret. A keyring must not
 *    come before this: backups made with it could be opened by nobody.
 * 5. The keyring goes to its place, never over another one.
 * 6. The unfinished one goes.
 *
 * A run that finds an unfinished keyring whose keys document is in the store goes on at 5; otherwise nothing can hang on
 * it, and the run makes a tenant of its own.
 */
export interface InitOptions {
  readonly tenant: string
  readonly kms?: string
}

interface NewTenant {
  readonly keyring: Keyring
  /** Taken over from a run that was cut off. */
  readonly resumed: boolean
  readonly keyFileCreated: boolean
}

const unfinishedSuffix = '.unfinished'

export async function init(context: Context, given: InitOptions): Promise<ExitCode> {
  const options = { tenant: parseTenantName(given.tenant) }
  const providerKey = given.kms === undefined ? undefined : parseProviderKey(given.kms)
  const { keyringPath } = context.settings
  await requireNoKeyring(keyringPath)
  return await withStore(
    context,
    async (store) => {
      const secrets = await secretsForNewTenant(context, providerKey)
      await probeCreateIfAbsent(store, context.random)
      const { repository } = await createRepositoryDocument(store, context.random)
      stopIfInterrupted(context.signal)
      const repositoryId = asId<Id>(repository)
      const resumed = await resumeTenant(context, store, repositoryId, options, secrets)
      const created = resumed ?? (await createTenant(context, store, repositoryId, options, secrets))
      await rm(keyringPath + unfinishedSuffix, { force: true })
      report(context, store, created, secrets)
      return exitCodes.success
    },
    { create: true },
  )
}

async function requireNoKeyring(path: string): Promise<void> {
  try {
    await stat(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return
    throw new StrataError('E_CONFIGURATION', `${path} cannot be looked at (${systemErrorCode(error) ?? 'unknown'})`, {
      cause: error,
    })
  }
  throw new StrataError('E_TENANT_EXISTS', `there is a keyring at ${path} already`)
}

async function createTenant(
  context: Context,
  store: ObjectStore,
  repositoryId: Id,
  { tenant: tenantName }: InitOptions,
  { passphrase, keyFile: givenKeyFile, createKeyFileAt, providerKey, provider }: NewTenantSecrets,
): Promise<NewTenant> {
  const { random, settings } = context
  const keyFile = createKeyFileAt === undefined ? givenKeyFile : await createKeyFile(createKeyFileAt, random)
  const tenantId = idFromBytes<TenantId>(random(idBytes))
  const unlock = { passphrase, keyFile, providerKey, provider }
  const { document, ingest, privateKey } = await createTenantKeys({
    repositoryId,
    tenantId,
    tenantName,
    unlock,
    random,
  })
  // Who may wrap and not unwrap should hear of it now.
  if (providerKey !== undefined) await requireOpens(document, privateKey, { provider })
  const keyring: Keyring = { ...ingest, tenantName }
  await writeKeyring(settings.keyringPath + unfinishedSuffix, keyring, { overwrite: true })
  const keysName = tenantKeysName(tenantId, document.revision)
  await store.put(keysName, [encodeTenantKeys(document)], { ifAbsent: true })
  try {
    await writeKeyring(settings.keyringPath, keyring, { overwrite: false })
  } catch (error) {
    if (!hasCode(error, 'E_TENANT_EXISTS')) throw error
    const inPlace = await readKeyring(settings.keyringPath)
    if (inPlace.tenantId !== tenantId) {
      // Another run was faster with a tenant of its own: nobody holds the keys of this one, and none should find it.
      await store.delete(keysName)
      throw error
    }
    // Another run has found the unfinished keyring and ended what this one began.
  }
  return { keyring, resumed: false, keyFileCreated: createKeyFileAt !== undefined }
}

/** Finishes what an earlier run began, or gives undefined when nothing of it can be in use. */
async function resumeTenant(
  context: Context,
  store: ObjectStore,
  repositoryId: Id,
  { tenant: tenantName }: InitOptions,
  secrets: NewTenantSecrets,
): Promise<NewTenant | undefined> {
  const { keyringPath } = context.settings
  const unfinishedPath = keyringPath + unfinishedSuffix
  const unfinished = await readUnfinished(unfinishedPath)
  if (unfinished?.repositoryId !== repositoryId || unfinished.tenantName !== tenantName) return undefined
  let document
  try {
    document = await readTenantKeys(store, unfinished.tenantId)
  } catch (error) {
    if (hasCode(error, 'E_TENANT_UNKNOWN')) return undefined
    throw error
  }
  try {
    const privateKey = await unlockTenant(document, secrets, { repositoryId, tenantId: unfinished.tenantId })
    const keys = await ingestKeysFrom(document, privateKey)
    const keyring: Keyring = { ...keys, tenantName: openTenantName(document, keys) }
    await writeKeyring(keyringPath, keyring, { overwrite: false })
    return { keyring, resumed: true, keyFileCreated: false }
  } catch (error) {
    if (!hasCode(error, 'E_KEY_WRONG', 'E_KEY_MISSING')) throw error
    throw new StrataError(error.code, `an earlier init of tenant '${tenantName}' was cut off: ${error.message}`, {
      cause: error,
      hint: `Give the passphrase or key file of that run to finish it, or remove ${unfinishedPath} to make another tenant.`,
    })
  }
}

async function readUnfinished(path: string): Promise<Keyring | undefined> {
  try {
    return await readKeyring(path)
  } catch (error) {
    if (hasCode(error, 'E_KEYRING_MISSING')) return undefined
    throw error
  }
}

function report(
  context: Context,
  store: ObjectStore,
  { keyring, resumed, keyFileCreated }: NewTenant,
  secrets: NewTenantSecrets,
): void {
  const { reporter, settings } = context
  const { providerKey } = secrets
  const byPassphrase = secrets.passphrase !== undefined
  const keyFile = settings.keyFilePath
  if (byPassphrase && secrets.passphrase.length < passphraseCharsAdvised) {
    reporter.warning('the passphrase is short; whoever can read the store can try guesses without being seen')
  }
  const document = {
    repository: keyring.repositoryId,
    tenant: keyring.tenantId,
    tenantName: keyring.tenantName,
    store: store.description,
    keyring: settings.keyringPath,
    keyFile: keyFile ?? null,
    unlockedBy: [
      ...(byPassphrase ? ['passphrase'] : []),
      ...(keyFile === undefined ? [] : ['keyFile']),
      ...(providerKey === undefined ? [] : [providerKey.kind]),
    ],
  }
  const facts = factLines([
    ['repository', `${keyring.repositoryId} in ${store.description}`],
    ['tenant', `${keyring.tenantName} (${keyring.tenantId})${resumed ? ', begun by an earlier run' : ''}`],
    ['keyring', settings.keyringPath],
    ...(keyFile === undefined ? [] : [['key file', `${keyFile}${keyFileCreated ? ', made just now' : ''}`] as const]),
  ])
  reporter.result(document, facts)
  for (const line of keepSafe(byPassphrase, keyFile, providerKey)) reporter.note(line)
}

function keepSafe(
  byPassphrase: boolean,
  keyFile: string | undefined,
  providerKey: ProviderKeyName | undefined,
): string[] {
  const secrets = [
    ...(byPassphrase ? ['the passphrase'] : []),
    ...(keyFile === undefined ? [] : [`the key file ${keyFile}`]),
    ...(providerKey === undefined ? [] : [`the key ${providerKey.name} of ${wrapNames[providerKey.kind]}`]),
  ]
  return [
    '',
    `Keep safe: ${secrets.join(' or ')}.`,
    'Restores need it. Without it nobody can open a backup, nor make it anew.',
    'Keep it apart from the store and from this machine: whoever has it and the',
    'store can read everything. The keyring is for backups and opens no block; it',
    'is rebuilt from the store, with the secret, where it is lost.',
    'strata key sheet prints a page that opens everything when all else is lost.',
  ]
}
