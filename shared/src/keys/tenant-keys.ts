import type { RandomBytes } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { concatBytes, damaged, equalBytes, viewOf } from '../format/bytes.ts'
import { keyBytes, nonceBytes, SealingKey } from '../format/xaes.ts'
import { nameCharsMax } from '../limits.ts'
import { asId, idToBytes, type Id, type TenantId } from '../types.ts'
import { generateKeyPair, openFrom, sealTo, type HpkeContext } from './hpke.ts'
import { firstGeneration, indexKeyOf, requireSameTenant, type IngestKeys, type TenantIdentity } from './ingest-keys.ts'
import {
  openWithKeyFile,
  openWithPassphrase,
  wrapWithKeyFile,
  wrapWithPassphrase,
  type WrapContext,
} from './private-key-wrap.ts'
import {
  authenticate,
  requireAuthentic,
  type KeyFileWrap,
  type PassphraseWrap,
  type PrivateKeyWrap,
  type TenantKeysDocument,
} from './tenant-document.ts'
import { TenantPrivateKey } from './tenant-private-key.ts'

export type { IngestKeys, TenantIdentity } from './ingest-keys.ts'

/**
 * A tenant's keys: a key pair, whose private half ("the tenant key") opens all history and lies wrapped in the keys
 * document, and index keys, which open maps and key the digests. Ingest has the public half and the index keys.
 */
const indexKeyInfo = Buffer.from('strata/v1/index-key', 'latin1')
const tenantNameLabel = Buffer.from('strata/v1/tenant-name', 'latin1')

/** What a person gives to unlock a tenant. An empty passphrase counts as none. */
export interface UnlockSecrets {
  readonly passphrase?: string | undefined
  /** The 32 bytes of a key file (`readKeyFile`). */
  readonly keyFile?: Uint8Array | undefined
}

export interface NewTenant extends TenantIdentity {
  readonly tenantName: string
  /** At least one (else E_KEY_MISSING); each given one will open the tenant alone. */
  readonly unlock: UnlockSecrets
  readonly random: RandomBytes
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
      strata: 'tenant-keys',
      version: 1,
      revision: 1,
      repositoryId,
      tenantId,
      publicKey: hex(pair.publicKey),
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
  const identity = identityOf(document)
  requireSameTenant('the keys document', identity, expected)
  const context: WrapContext = { ...identity, publicKey: fromHex(document.publicKey) }
  const opened = await openWraps(context, document.privateKeyWraps, secrets)
  const privateKey = new TenantPrivateKey(identity, context.publicKey, opened)
  requireAuthentic(document, privateKey)
  return privateKey
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

async function sealIndexKey(
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
  { passphrase, keyFile }: UnlockSecrets,
  random: RandomBytes,
): Promise<PrivateKeyWrap[]> {
  const wraps: PrivateKeyWrap[] = []
  if (hasText(passphrase)) wraps.push(await wrapWithPassphrase(privateKey, privateKey.bytes(), passphrase, random))
  if (keyFile !== undefined) wraps.push(wrapWithKeyFile(privateKey, privateKey.bytes(), keyFile, random))
  if (wraps.length === 0) {
    throw new StrataError('E_KEY_MISSING', 'a new tenant needs a passphrase or a key file that its key is kept under')
  }
  return wraps
}

/** Tries what was given on every wrap of its kind; the key file first, for it costs nothing. */
async function openWraps(
  context: WrapContext,
  wraps: readonly PrivateKeyWrap[],
  { passphrase, keyFile }: UnlockSecrets,
): Promise<Uint8Array> {
  const keyFileWraps = wraps.filter((wrap): wrap is KeyFileWrap => wrap.kind === 'keyFile')
  const passphraseWraps = wraps.filter((wrap): wrap is PassphraseWrap => wrap.kind === 'passphrase')
  let tried = 0
  if (keyFile !== undefined) {
    for (const wrap of keyFileWraps) {
      tried += 1
      const opened = openWithKeyFile(context, wrap, keyFile)
      if (opened !== undefined) return opened
    }
  }
  if (hasText(passphrase)) {
    for (const wrap of passphraseWraps) {
      tried += 1
      const opened = await openWithPassphrase(context, wrap, passphrase)
      if (opened !== undefined) return opened
    }
  }
  if (tried === 0) throw missing(context.tenantId, keyFileWraps.length > 0, passphraseWraps.length > 0)
  throw new StrataError('E_KEY_WRONG', `what was given does not open the key of tenant ${context.tenantId}`)
}

function missing(tenantId: TenantId, byKeyFile: boolean, byPassphrase: boolean): StrataError {
  const kinds = [byPassphrase ? 'the passphrase' : '', byKeyFile ? 'the key file' : ''].filter((kind) => kind !== '')
  return new StrataError(
    'E_KEY_MISSING',
    `the key of tenant ${tenantId} opens with ${kinds.join(' or ')}, which was not given`,
  )
}

function hasText(passphrase: string | undefined): passphrase is string {
  return passphrase !== undefined && passphrase !== ''
}

/** Whose document it says it is; not authenticated by itself. */
export function identityOf(document: TenantKeysDocument): TenantIdentity {
  return { repositoryId: asId<Id>(document.repositoryId), tenantId: asId<TenantId>(document.tenantId) }
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
