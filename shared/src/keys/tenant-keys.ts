import type { RandomBytes } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { concatBytes, damaged, equalBytes, viewOf } from '../format/bytes.ts'
import { keyBytes, nonceBytes, SealingKey } from '../format/xaes.ts'
import { nameCharsMax } from '../limits.ts'
import { asId, idToBytes, type Id, type TenantId } from '../types.ts'
import { generateKeyPair, openFrom, sealTo, type HpkeContext } from './hpke.ts'
import { firstGeneration, indexKeyOf, requireSameTenant, type IngestKeys, type TenantIdentity } from './ingest-keys.ts'
import type { KeyProvider } from './key-provider.ts'
import { hasText, openWraps, type UnlockSecrets } from './open-private-key.ts'
import {
  wrapWithPassphrase,
  wrapWithProvider,
  wrapWithSecret,
  type ProviderKeyName,
  type WrapContext,
} from './private-key-wrap.ts'
import {
  authenticate,
  formerKeysOf,
  requireAuthentic,
  type FormerKey,
  type TenantKeysDocument,
} from './tenant-document.ts'
import { TenantPrivateKey } from './tenant-private-key.ts'
import type { PrivateKeyWrap } from './wrap-schema.ts'

export type { IngestKeys, TenantIdentity } from './ingest-keys.ts'
export type { UnlockSecrets } from './open-private-key.ts'

/**
 * A tenant's keys: a key pair, whose private half ("the tenant key") opens all history and lies wrapped in the keys
 * document, and index keys, which open maps and key the digests. Ingest has the public half and the index keys.
 */
const formerKeyInfo = Buffer.from('strata/v1/former-key', 'latin1')
const indexKeyInfo = Buffer.from('strata/v1/index-key', 'latin1')
const tenantNameLabel = Buffer.from('strata/v1/tenant-name', 'latin1')

export interface NewTenant extends TenantIdentity {
  readonly tenantName: string
  /** At least one (else E_KEY_MISSING); each given one will open the tenant alone. */
  readonly unlock: NewTenantSecrets
  readonly random: RandomBytes
}

export interface NewTenantSecrets {
  readonly passphrase?: string | undefined
  readonly keyFile?: Uint8Array | undefined
  /** Only together. */
  readonly providerKey?: ProviderKeyName | undefined
  readonly provider?: KeyProvider | undefined
}

export interface CreatedTenant {
  /** To be stored as revision 1. */
  readonly document: TenantKeysDocument
  readonly ingest: IngestKeys
  readonly privateKey: TenantPrivateKey
}

export async function createTenantKeys(tenant: NewTenant): Promise<CreatedTenant> {
  const { repositoryId, tenantId, random } = tenant
  const pair = await generateKeyPair(random)
  const privateKey = new TenantPrivateKey(tenant, pair.publicKey, pair.privateKey)
  const ingest: IngestKeys = {
    repositoryId,
    tenantId,
    publicKey: pair.publicKey,
    indexKeys: new Map([[firstGeneration, random(keyBytes)]]),
    currentGeneration: firstGeneration,
  }
  const document = authenticate(
    {
      revision: 1,
      repositoryId,
      tenantId,
      publicKey: hex(pair.publicKey),
      formerKeys: [],
      tenantName: sealTenantName(ingest, tenant.tenantName, random),
      indexKeys: [await sealIndexKey(ingest, firstGeneration, random)],
      privateKeyWraps: await wrapPrivateKey(privateKey, tenant.unlock, random),
    },
    privateKey,
  )
  return { document, ingest, privateKey }
}

/**
 * Opens the tenant key, and checks that its holder wrote the document. `expected` is where the caller found it.
 *
 * E_KEY_FOREIGN: the document is another tenant's or repository's. E_KEY_MISSING: nothing was given that this
 * tenant could be unlocked with. E_KEY_WRONG: what was given does not open it. E_SEAL_BROKEN: altered.
 */
export async function unlockTenant(
  document: TenantKeysDocument,
  secrets: UnlockSecrets,
  expected: TenantIdentity,
): Promise<TenantPrivateKey> {
  return (await unlockTenantBy(document, secrets, expected)).privateKey
}

export interface UnlockedKeys {
  readonly privateKey: TenantPrivateKey
  /** What opened it. */
  readonly by: PrivateKeyWrap
}

/** The same, and says by which wrap. */
export async function unlockTenantBy(
  document: TenantKeysDocument,
  secrets: UnlockSecrets,
  expected: TenantIdentity,
): Promise<UnlockedKeys> {
  const identity = identityOf(document)
  requireSameTenant('the keys document', identity, expected)
  const context: WrapContext = { ...identity, publicKey: fromHex(document.publicKey) }
  const { bytes, wrap } = await openWraps(context, document.privateKeyWraps, secrets)
  const current = new TenantPrivateKey(identity, context.publicKey, bytes)
  requireAuthentic(document, current)
  const former: Uint8Array[] = []
  for (const { publicKey, encapsulated, sealed } of formerKeysOf(document)) {
    const message = { encapsulated: fromHex(encapsulated), sealed: fromHex(sealed) }
    former.unshift(await openFrom(bytes, formerKeyContext(identity.tenantId, fromHex(publicKey)), message))
  }
  return { privateKey: new TenantPrivateKey(identity, context.publicKey, bytes, former), by: wrap }
}

/** The half of the keys that ingest may hold. Another tenant's document: E_KEY_FOREIGN; an altered one: E_SEAL_BROKEN. */
export async function ingestKeysFrom(document: TenantKeysDocument, privateKey: TenantPrivateKey): Promise<IngestKeys> {
  const identity = identityOf(document)
  requireSameTenant('the keys document', identity, privateKey)
  const publicKey = fromHex(document.publicKey)
  if (!equalBytes(publicKey, privateKey.publicKey)) {
    throw new StrataError('E_KEY_FOREIGN', `the keys document of tenant ${document.tenantId} has another key pair`)
  }
  requireAuthentic(document, privateKey)

  const indexKeys = new Map<number, Uint8Array>()
  let currentGeneration = firstGeneration
  for (const { generation, encapsulated, sealed } of document.indexKeys) {
    const message = { encapsulated: fromHex(encapsulated), sealed: fromHex(sealed) }
    indexKeys.set(
      generation,
      await openFrom(privateKey.bytes(), indexKeyContext(identity.tenantId, generation), message),
    )
    currentGeneration = generation
  }
  return { ...identity, publicKey, indexKeys, currentGeneration }
}

/** The tenant's name in a keys document of the same tenant (else E_KEY_FOREIGN); altered: E_SEAL_BROKEN. */
export function openTenantName(document: TenantKeysDocument, keys: IngestKeys): string {
  const identity = identityOf(document)
  requireSameTenant('the keys document', identity, keys)
  const { generation, nonce, sealed } = document.tenantName
  const key = keys.indexKeys.get(generation)
  if (key === undefined) {
    throw new StrataError(
      'E_SEAL_BROKEN',
      `the tenant's name is sealed with index key ${String(generation)}, which is not at hand`,
    )
  }
  const name = new SealingKey(key).open(fromHex(nonce), tenantNameAad(identity), fromHex(sealed))
  return Buffer.from(name).toString('utf8')
}

function sealTenantName(keys: IngestKeys, name: string, random: RandomBytes): TenantKeysDocument['tenantName'] {
  if (name === '' || name.length > nameCharsMax || !name.isWellFormed()) {
    throw new StrataError('E_LIMIT', `a tenant's name has 1 to ${String(nameCharsMax)} characters of well-formed text`)
  }
  const generation = keys.currentGeneration
  const nonce = random(nonceBytes)
  const key = new SealingKey(indexKeyOf(keys, generation))
  const sealed = key.seal(nonce, tenantNameAad(keys), Buffer.from(name, 'utf8'))
  return { generation, nonce: hex(nonce), sealed: hex(sealed) }
}

export async function sealIndexKey(
  keys: IngestKeys,
  generation: number,
  random: RandomBytes,
): Promise<TenantKeysDocument['indexKeys'][number]> {
  const context = indexKeyContext(keys.tenantId, generation)
  const message = await sealTo(keys.publicKey, context, indexKeyOf(keys, generation), random)
  return { generation, encapsulated: hex(message.encapsulated), sealed: hex(message.sealed) }
}

async function wrapPrivateKey(
  privateKey: TenantPrivateKey,
  unlock: NewTenant['unlock'],
  random: RandomBytes,
): Promise<PrivateKeyWrap[]> {
  const { passphrase, keyFile, providerKey, provider } = unlock
  const wraps: PrivateKeyWrap[] = []
  if (hasText(passphrase)) wraps.push(await wrapWithPassphrase(privateKey, privateKey.bytes(), passphrase, random))
  if (keyFile !== undefined) wraps.push(wrapWithSecret('keyFile', privateKey, privateKey.bytes(), keyFile, random))
  if (providerKey !== undefined && provider !== undefined) {
    wraps.push(await wrapWithProvider(providerKey, privateKey, privateKey.bytes(), provider, random))
  }
  if (wraps.length === 0) {
    throw new StrataError('E_KEY_MISSING', 'a new tenant needs a passphrase or a key file that its key is kept under')
  }
  return wraps
}

/** Whose document it says it is; not authenticated by itself. */
export function identityOf(document: TenantKeysDocument): TenantIdentity {
  return { repositoryId: asId<Id>(document.repositoryId), tenantId: asId<TenantId>(document.tenantId) }
}

/** A private key that is replaced, sealed to the public key that replaces it. */
export async function sealFormerKey(
  keys: Pick<IngestKeys, 'tenantId' | 'publicKey'>,
  former: { readonly publicKey: Uint8Array; readonly privateKey: Uint8Array },
  random: RandomBytes,
): Promise<FormerKey> {
  const context = formerKeyContext(keys.tenantId, former.publicKey)
  const message = await sealTo(keys.publicKey, context, former.privateKey, random)
  return { publicKey: hex(former.publicKey), encapsulated: hex(message.encapsulated), sealed: hex(message.sealed) }
}

/** info: label ‖ tenant id ‖ the former public key. */
function formerKeyContext(tenantId: TenantId, publicKey: Uint8Array): HpkeContext {
  return { info: concatBytes([formerKeyInfo, idToBytes(tenantId), publicKey]), aad: new Uint8Array(0) }
}

/** info: label ‖ tenant id ‖ generation (u32 little-endian). */
function indexKeyContext(tenantId: TenantId, generation: number): HpkeContext {
  const number = new Uint8Array(4)
  viewOf(number).setUint32(0, generation, true)
  return { info: concatBytes([indexKeyInfo, idToBytes(tenantId), number]), aad: new Uint8Array(0) }
}

function tenantNameAad(identity: TenantIdentity): Uint8Array {
  return concatBytes([tenantNameLabel, idToBytes(identity.tenantId), idToBytes(identity.repositoryId)])
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function fromHex(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'hex')
  if (bytes.length * 2 !== text.length) throw damaged('tenant keys', 'a member is not hex')
  return bytes
}
