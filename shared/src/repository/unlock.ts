import type { RandomBytes } from '../clock.ts'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { equalBytes } from '../format/bytes.ts'
import { idBelow, tenantsPrefix } from '../format/names.ts'
import { firstGeneration, indexKeyOf, type IngestKeys } from '../keys/ingest-keys.ts'
import { readKeyring, type Keyring } from '../keys/keyring.ts'
import { hasSecret, openWrap } from '../keys/open-private-key.ts'
import { requireAuthentic, type TenantKeysDocument } from '../keys/tenant-document.ts'
import { identityOf, ingestKeysFrom, openTenantName, unlockTenantBy, type UnlockSecrets } from '../keys/tenant-keys.ts'
import type { TenantPrivateKey } from '../keys/tenant-private-key.ts'
import { isProviderWrap, type PrivateKeyWrap, type WrapKind } from '../keys/wrap-schema.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { asId, isId, type Id, type TenantId } from '../types.ts'
import { requireNotDestroyed } from './destruction.ts'
import { readTenantKeys } from './keys-document.ts'
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
export type UnlockWays = ReadonlySet<WrapKind>

export type SecretsSource = (ways: UnlockWays) => Promise<UnlockSecrets>

export interface OpenedTenant {
  readonly repository: Repository
  readonly keyring: Keyring
  /** This one comes from the store, and is not on disk yet: there was no keyring file, or one from before a rotation. */
  readonly keyringChange: 'none' | 'rebuilt' | 'renewed'
}

export interface UnlockedTenant extends OpenedTenant {
  readonly privateKey: TenantPrivateKey
  readonly document: TenantKeysDocument
  /** What opened it. */
  readonly unlockedBy: PrivateKeyWrap
}

/**
 * Opens a tenant for what ingest may do: write points, list them, read maps. No secret is needed where there is a
 * keyring. E_KEYRING_MISSING: neither keyring nor secret. E_TENANT_DESTROYED. Errors of `unlockRepository` besides.
 */
export async function openTenant(store: ObjectStore, options: UnlockOptions): Promise<OpenedTenant> {
  const keyring = await keyringOrNone(options.keyringPath)
  if (keyring === undefined) return await findTenant(store, options)
  requireWanted(keyring, options)
  await requireNotDestroyed(store, keyring.tenantId)
  return { repository: await openRepository(store, keyring, options.random), keyring, keyringChange: 'none' }
}

/**
 * Opens a tenant with its private key, for what reads blocks. E_REPOSITORY_MISSING, E_TENANT_UNKNOWN,
 * E_TENANT_AMBIGUOUS; E_KEY_MISSING, E_KEY_WRONG, E_KEY_FOREIGN, E_SEAL_BROKEN as in `unlockTenant`; E_HISTORY_BROKEN:
 * the keyring knows of a rotation that the store does not.
 */
export async function unlockRepository(store: ObjectStore, options: UnlockOptions): Promise<UnlockedTenant> {
  const keyring = await keyringOrNone(options.keyringPath)
  if (keyring === undefined) return await findTenant(store, options)
  requireWanted(keyring, options)
  // Checks that the keyring and the store belong together before anybody is asked for a passphrase.
  await openRepository(store, keyring, options.random)
  const document = await readTenantKeys(store, keyring.tenantId)
  const secrets = await options.secrets(waysOf([document]))
  const { privateKey, by } = await unlockTenantBy(document, secrets, keyring)
  // The document may have index keys that were made after this keyring was written.
  const keys = await ingestKeysFrom(document, privateKey)
  requireSuccessor(keyring, keys)
  const repository = await openRepository(store, keys, options.random)
  const isBehind = keys.currentGeneration > keyring.currentGeneration
  return {
    repository,
    keyring: isBehind ? { ...keys, tenantName: keyring.tenantName } : keyring,
    keyringChange: isBehind ? 'renewed' : 'none',
    privateKey,
    document,
    unlockedBy: by,
  }
}

/**
 * A keys document that was put in the place of the tenant's might be authentic by itself (the key that its mac follows
 * from is its own). What only the tenant's key holders know is the first index key, and that rotations add to it.
 */
function requireSuccessor(keyring: Keyring, keys: IngestKeys): void {
  if (!equalBytes(indexKeyOf(keyring, firstGeneration), indexKeyOf(keys, firstGeneration))) {
    throw new StrataError(
      'E_KEY_FOREIGN',
      `the keys document of tenant ${keys.tenantId} has other index keys than the keyring`,
    )
  }
  if (keys.currentGeneration >= keyring.currentGeneration) return
  throw new StrataError(
    'E_HISTORY_BROKEN',
    `the keyring knows ${String(keyring.currentGeneration - 1)} rotations of the keys of tenant ${keys.tenantId}, and the store ${String(keys.currentGeneration - 1)}`,
    {
      hint: 'The newest keys document is gone from the store. Find out who could delete it, and bring it back. To read what the older one opens, point STRATA_KEYRING at a path where there is nothing.',
    },
  )
}

/**
 * Opens a keys document that is about to be written with each secret at hand that it has a wrap for: whatever goes wrong
 * in the making of one, nobody should find out when a restore is needed.
 */
export async function requireOpens(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  secrets: UnlockSecrets,
): Promise<void> {
  requireAuthentic(document, privateKey)
  let opened = 0
  for (const wrap of document.privateKeyWraps) {
    const bytes = await openWrap(privateKey, wrap, secrets)
    invariant(bytes === undefined || equalBytes(bytes, privateKey.bytes()), 'a new wrap opens to the private key')
    if (bytes !== undefined) opened += 1
  }
  invariant(opened > 0, 'a keys document opens with what is at hand')
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
  if (isEmpty(secrets, candidates)) {
    throw new StrataError(
      'E_KEYRING_MISSING',
      `there is no keyring at ${options.keyringPath}, and no secret to rebuild it with`,
      {
        hint: 'Point STRATA_KEYRING at the keyring that strata init wrote, or give the passphrase (STRATA_PASSPHRASE), the key file (--key-file) or the recovery sheet (--recovery-key): a keyring is then rebuilt from the store.',
      },
    )
  }
  const opened = await openCandidates(store, candidates, secrets)
  const found = onlyOne(store, opened, options)
  const repository = await openRepository(store, found.keyring, options.random)
  return { repository, keyringChange: 'rebuilt', ...found }
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

type OpenedCandidate = Pick<UnlockedTenant, 'keyring' | 'privateKey' | 'document' | 'unlockedBy'>

async function openCandidates(
  store: ObjectStore,
  { documents, failures }: Candidates,
  secrets: UnlockSecrets,
): Promise<OpenedCandidate[]> {
  const opened: OpenedCandidate[] = []
  let refusal: StrataError | undefined
  for (const document of documents) {
    try {
      const { privateKey, by: unlockedBy } = await unlockTenantBy(document, secrets, identityOf(document))
      const keys = await ingestKeysFrom(document, privateKey)
      const keyring = { ...keys, tenantName: openTenantName(document, keys) }
      opened.push({ keyring, privateKey, document, unlockedBy })
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
  return new Set(documents.flatMap(({ privateKeyWraps }) => privateKeyWraps.map(({ kind }) => kind)))
}

function isEmpty(secrets: UnlockSecrets, { documents }: Candidates): boolean {
  if (hasSecret(secrets)) return false
  return secrets.provider === undefined || !documents.some((document) => document.privateKeyWraps.some(isProviderWrap))
}
