import type { RandomBytes } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { damaged } from '../format/bytes.ts'
import { idBelow, isTenantKeysName, tenantKeysName, tenantKeysPrefix, tenantsPrefix } from '../format/names.ts'
import { readKeyring, type Keyring } from '../keys/keyring.ts'
import { decodeTenantKeys, type TenantKeysDocument } from '../keys/tenant-document.ts'
import { identityOf, ingestKeysFrom, openTenantName, unlockTenant, type UnlockSecrets } from '../keys/tenant-keys.ts'
import type { TenantPrivateKey } from '../keys/tenant-private-key.ts'
import { tenantKeysBytesMax } from '../limits.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { asId, isId, type Id, type TenantId } from '../types.ts'
import { openRepository, readRepositoryDocument, type Repository } from './repository.ts'

/**
 * From a store to a tenant that can be worked with. A bucket and a key are enough: where the keyring is missing, the
 * tenant is found by what its keys document opens with, and the keyring follows from that document.
 */
export interface UnlockOptions {
  readonly keyringPath: string
  /** Id or name of the tenant that is meant; needed only where there is no keyring and several tenants open. */
  readonly tenant?: string | undefined
  /** Asked at most once, and only when a secret is needed; a person may be asked for it then. */
  readonly secrets: SecretsSource
  readonly random: RandomBytes
}

/** What a tenant's key can be opened with. */
export interface UnlockWays {
  readonly passphrase: boolean
  readonly keyFile: boolean
}

export type SecretsSource = (ways: UnlockWays) => Promise<UnlockSecrets>

export interface OpenedTenant {
  readonly repository: Repository
  readonly keyring: Keyring
  /** There was no keyring file: this one comes from the store, and is not on disk yet. */
  readonly keyringRebuilt: boolean
}

export interface UnlockedTenant extends OpenedTenant {
  readonly privateKey: TenantPrivateKey
}

/**
 * Opens a tenant for what ingest may do: write points, list them, read maps. No secret is needed where there is a
 * keyring. E_KEYRING_MISSING: neither keyring nor secret. Errors of `unlockRepository` besides.
 */
export async function openTenant(store: ObjectStore, options: UnlockOptions): Promise<OpenedTenant> {
  const keyring = await keyringOrNone(options.keyringPath)
  if (keyring === undefined) return await findTenant(store, options)
  requireWanted(keyring, options)
  return { repository: await openRepository(store, keyring, options.random), keyring, keyringRebuilt: false }
}

/**
 * Opens a tenant with its private key, for what reads blocks. E_REPOSITORY_MISSING, E_TENANT_UNKNOWN,
 * E_TENANT_AMBIGUOUS; E_KEY_MISSING, E_KEY_WRONG, E_KEY_FOREIGN, E_SEAL_BROKEN as in `unlockTenant`.
 */
export async function unlockRepository(store: ObjectStore, options: UnlockOptions): Promise<UnlockedTenant> {
  const keyring = await keyringOrNone(options.keyringPath)
  if (keyring === undefined) return await findTenant(store, options)
  requireWanted(keyring, options)
  // Checks that the keyring and the store belong together before anybody is asked for a passphrase.
  await openRepository(store, keyring, options.random)
  const document = await readTenantKeys(store, keyring.tenantId)
  const secrets = await options.secrets(waysOf([document]))
  const privateKey = await unlockTenant(document, secrets, keyring)
  // The document may have index keys that were made after this keyring was written.
  const keys = await ingestKeysFrom(document, privateKey)
  const repository = await openRepository(store, keys, options.random)
  return { repository, keyring, keyringRebuilt: false, privateKey }
}

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

async function keyringOrNone(path: string): Promise<Keyring | undefined> {
  try {
    return await readKeyring(path)
  } catch (error) {
    if (hasCode(error, 'E_KEYRING_MISSING')) return undefined
    throw error
  }
}

function requireWanted(keyring: Keyring, { keyringPath, tenant }: UnlockOptions): void {
  if (tenant === undefined || tenant === keyring.tenantId || tenant === keyring.tenantName) return
  throw new StrataError(
    'E_KEY_FOREIGN',
    `the keyring ${keyringPath} is of tenant '${keyring.tenantName}' (${keyring.tenantId}), not of '${tenant}'`,
  )
}

/** Finds the one tenant that opens with the secrets, and rebuilds its keyring. */
async function findTenant(store: ObjectStore, options: UnlockOptions): Promise<UnlockedTenant> {
  const { repository: repositoryId } = await readRepositoryDocument(store)
  const candidates = await readCandidates(store, asId<Id>(repositoryId), options)
  const secrets = await options.secrets(waysOf(candidates.documents))
  if (isEmpty(secrets)) {
    throw new StrataError(
      'E_KEYRING_MISSING',
      `there is no keyring at ${options.keyringPath}, and neither passphrase nor key file to rebuild it with`,
      {
        hint: 'Point STRATA_KEYRING at the keyring that strata init wrote, or give the passphrase (STRATA_PASSPHRASE) or the key file (--key-file): a keyring is then rebuilt from the store.',
      },
    )
  }
  const opened = await openCandidates(store, candidates, secrets)
  const found = onlyOne(store, opened, options)
  const repository = await openRepository(store, found.keyring, options.random)
  return { repository, keyring: found.keyring, keyringRebuilt: true, privateKey: found.privateKey }
}

interface Candidates {
  readonly documents: readonly TenantKeysDocument[]
  /** Why keys documents cannot be used: that must not keep other tenants from theirs. */
  readonly failures: StrataError[]
}

async function readCandidates(store: ObjectStore, repositoryId: Id, { tenant }: UnlockOptions): Promise<Candidates> {
  const documents: TenantKeysDocument[] = []
  const failures: StrataError[] = []
  const wanted = tenant !== undefined && isId(tenant) ? [asId<TenantId>(tenant)] : listTenants(store)
  for await (const id of wanted) {
    try {
      const document = await readTenantKeys(store, id)
      if (document.repositoryId === repositoryId) documents.push(document)
      else failures.push(new StrataError('E_KEY_FOREIGN', `the keys of tenant ${id} are those of another repository`))
    } catch (error) {
      failures.push(ofOneObject(error))
    }
  }
  return { documents, failures }
}

/** The error, where it says something of one object only; anything else ends the search. */
function ofOneObject(error: unknown): StrataError {
  if (error instanceof StrataError && error.kind === 'permanent' && !error.code.startsWith('E_STORE')) return error
  throw error
}

/** The tenants of a store. Whatever else lies among them is none of ours. */
async function* listTenants(store: ObjectStore): AsyncGenerator<TenantId> {
  for await (const directory of store.listDirectories(tenantsPrefix)) {
    const id = idBelow<TenantId>(tenantsPrefix, directory)
    if (id !== undefined) yield id
  }
}

interface OpenedCandidate {
  readonly keyring: Keyring
  readonly privateKey: TenantPrivateKey
}

async function openCandidates(
  store: ObjectStore,
  { documents, failures }: Candidates,
  secrets: UnlockSecrets,
): Promise<OpenedCandidate[]> {
  const opened: OpenedCandidate[] = []
  let refusal: StrataError | undefined
  for (const document of documents) {
    try {
      const privateKey = await unlockTenant(document, secrets, identityOf(document))
      const keys = await ingestKeysFrom(document, privateKey)
      opened.push({ keyring: { ...keys, tenantName: openTenantName(document, keys) }, privateKey })
    } catch (error) {
      // A secret that was tried says more than one that no tenant asks for.
      if (!hasCode(error, 'E_KEY_WRONG', 'E_KEY_MISSING')) failures.push(ofOneObject(error))
      else if (refusal?.code !== 'E_KEY_WRONG') refusal = error
    }
  }
  if (opened.length > 0) return opened
  throw whyNoneOpens(store, documents.length, refusal, failures)
}

function whyNoneOpens(
  store: ObjectStore,
  tenants: number,
  refusal: StrataError | undefined,
  failures: readonly StrataError[],
): StrataError {
  const [failure] = failures
  if (refusal === undefined) {
    return failure ?? new StrataError('E_TENANT_UNKNOWN', `${store.description} has no tenant yet`)
  }
  const [what, cause] =
    tenants === 1 ? [refusal.message, refusal] : [`what was given opens none of ${String(tenants)} tenants`, undefined]
  if (failure === undefined) return cause ?? new StrataError(refusal.code, what)
  // The tenant that is looked for may be the one whose keys cannot be used.
  const message = `${what}; and the keys of ${String(failures.length)} cannot be used: ${failure.code}: ${failure.message}`
  return new StrataError(refusal.code, message, { details: { failures: failures.map(({ message }) => message) } })
}

function onlyOne(store: ObjectStore, opened: readonly OpenedCandidate[], { tenant }: UnlockOptions): OpenedCandidate {
  const wanted = opened.filter(
    ({ keyring }) => tenant === undefined || tenant === keyring.tenantId || tenant === keyring.tenantName,
  )
  const [first, second] = wanted
  if (first === undefined) {
    throw new StrataError(
      'E_TENANT_UNKNOWN',
      `no tenant '${tenant ?? ''}' of ${store.description} opens with what was given`,
    )
  }
  if (second !== undefined) {
    const tenants = wanted.map(({ keyring }) => `${keyring.tenantId} (${keyring.tenantName})`)
    throw new StrataError(
      'E_TENANT_AMBIGUOUS',
      `${String(wanted.length)} tenants open with what was given: ${tenants.join(', ')}`,
      { details: { tenants } },
    )
  }
  return first
}

function waysOf(documents: readonly TenantKeysDocument[]): UnlockWays {
  const kinds = new Set(documents.flatMap(({ privateKeyWraps }) => privateKeyWraps.map(({ kind }) => kind)))
  return { passphrase: kinds.has('passphrase'), keyFile: kinds.has('keyFile') }
}

function isEmpty({ passphrase, keyFile }: UnlockSecrets): boolean {
  return (passphrase === undefined || passphrase === '') && keyFile === undefined
}
