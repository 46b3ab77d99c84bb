import { createHmac, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { type Fitting, hexText, list, matching, wholeNumber } from '../format/schema.ts'
import { invariant, StrataError } from '../errors.ts'
import { concatBytes, damaged, equalBytes } from '../format/bytes.ts'
import { documentHead, idSchema, parseDocument } from '../format/document.ts'
import {
  indexKeyGenerationsMax,
  nameCharsMax,
  privateKeyWrapsMax,
  scryptCostMax,
  scryptMemoryBytesMax,
  scryptParallelMax,
  tenantKeysBytesMax,
} from '../limits.ts'
import { tenantKeysRevisionMax } from '../format/names.ts'
import { idToBytes } from '../types.ts'
import { derive } from './derive.ts'
import { firstGeneration } from './ingest-keys.ts'
import type { TenantPrivateKey } from './tenant-private-key.ts'

/**
 * The keys document of a tenant, `tenants/<tenant>/keys/<revision>`. docs/format.md, "Keys document".
 *
 * It lies open in the store, and nothing in it helps without the passphrase or key file. It is plain JSON without
 * spaces; bytes are lower-case hex, because hex has one spelling and base64url may have several.
 *
 * HPKE says nothing of who sealed, and the public key is public: whoever can write to the store could seal an index
 * key of his own making to the tenant, and would then know the keys of later digests. So the last member, `mac`,
 * authenticates everything before it with a key that follows from the private key. Whoever unlocks checks it before
 * any index key is used.
 */
const generationSchema = wholeNumber(1, 2 ** 32 - 1)
const positiveSchema = wholeNumber(1)
const key32Schema = hexText(32)
const nonceSchema = hexText(24)
/** 32 bytes and the tag. */
const sealedKeySchema = hexText(48)
const utf8BytesPerCharMax = 3
const tagBytes = 16

const passphraseWrapSchema = v.object({
  kind: v.literal('passphrase'),
  kdf: v.literal('scrypt'),
  N: positiveSchema,
  r: positiveSchema,
  p: positiveSchema,
  salt: key32Schema,
  nonce: nonceSchema,
  sealed: sealedKeySchema,
})
export type PassphraseWrap = Fitting<typeof passphraseWrapSchema>

const keyFileWrapSchema = v.object({
  kind: v.literal('keyFile'),
  kdf: v.literal('hkdf-sha256'),
  salt: key32Schema,
  nonce: nonceSchema,
  sealed: sealedKeySchema,
})
export type KeyFileWrap = Fitting<typeof keyFileWrapSchema>
export type PrivateKeyWrap = PassphraseWrap | KeyFileWrap

const tenantKeysSchema = v.object({
  ...documentHead('tenant-keys', 1),
  /** The number in the object's name, from 1. */
  revision: wholeNumber(1, tenantKeysRevisionMax),
  repositoryId: idSchema,
  tenantId: idSchema,
  publicKey: key32Schema,
  /** Sealed with the index key of `generation`. */
  tenantName: v.object({
    generation: generationSchema,
    nonce: nonceSchema,
    sealed: matching(
      new RegExp(`^([0-9a-f]{2}){${String(tagBytes + 1)},${String(tagBytes + nameCharsMax * utf8BytesPerCharMax)}}$`),
    ),
  }),
  /** In ascending order; the last is the current one. */
  indexKeys: list(v.object({ generation: generationSchema, encapsulated: key32Schema, sealed: sealedKeySchema }), {
    min: 1,
    max: indexKeyGenerationsMax,
  }),
  privateKeyWraps: list(v.union([passphraseWrapSchema, keyFileWrapSchema]), {
    min: 1,
    max: privateKeyWrapsMax,
  }),
  mac: key32Schema,
})
export type TenantKeysDocument = Fitting<typeof tenantKeysSchema>

/** With every member as long as the schema lets it be; no character of it needs more than one byte. */
function largestDocumentBytes(): number {
  const spelledBytes = (value: unknown): number => JSON.stringify(value).length
  const spelled = (byteCount: number): string => 'f'.repeat(2 * byteCount)
  const generation = 2 ** 32 - 1
  const number = Number.MAX_SAFE_INTEGER
  const wrap = { salt: spelled(32), nonce: spelled(24), sealed: spelled(48) }
  const document: TenantKeysDocument = {
    strata: 'tenant-keys',
    version: 1,
    revision: tenantKeysRevisionMax,
    repositoryId: spelled(16),
    tenantId: spelled(16),
    publicKey: spelled(32),
    tenantName: { generation, nonce: spelled(24), sealed: spelled(tagBytes + nameCharsMax * utf8BytesPerCharMax) },
    indexKeys: [],
    privateKeyWraps: [],
    mac: spelled(32),
  }
  const indexKey = { generation, encapsulated: spelled(32), sealed: spelled(48) }
  const passphraseWrap = { kind: 'passphrase', kdf: 'scrypt', N: number, r: number, p: number, ...wrap }
  const comma = 1
  return (
    spelledBytes(document) +
    indexKeyGenerationsMax * (spelledBytes(indexKey) + comma) +
    privateKeyWrapsMax * (spelledBytes(passphraseWrap) + comma)
  )
}
invariant(largestDocumentBytes() <= tenantKeysBytesMax, 'every keys document that can be written can be fetched again')

const tenantKeysType = { title: 'tenant-keys', version: 1, schema: tenantKeysSchema }

export function encodeTenantKeys(document: TenantKeysDocument): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Buffer.from(JSON.stringify(document), 'utf8'))
  const decoded = decodeTenantKeys(bytes)
  invariant(JSON.stringify(decoded) === JSON.stringify(document), 'a keys document decodes to what was encoded')
  return bytes
}

/**
 * Reads a keys document; nothing in it is authenticated yet. E_FORMAT_DAMAGED, E_FORMAT_KIND, E_FORMAT_NEWER, and
 * E_LIMIT where it is too long or asks for more work or memory than we give.
 */
export function decodeTenantKeys(bytes: Uint8Array, name = 'tenant keys'): TenantKeysDocument {
  const document = parseDocument(tenantKeysType, name, bytes)
  requireOneSpelling(name, bytes, document)
  requireAscending(name, document)
  for (const wrap of document.privateKeyWraps) {
    if (wrap.kind === 'passphrase') requireScryptBounds(name, wrap)
  }
  return document
}

/** The document with its `mac`, as the holder of the private key writes it. */
export function authenticate(
  document: Omit<TenantKeysDocument, 'mac'>,
  privateKey: TenantPrivateKey,
): TenantKeysDocument {
  return { ...document, mac: macOf(document, privateKey).toString('hex') }
}

/** Says E_SEAL_BROKEN unless the holder of `privateKey` wrote the document as it is. */
export function requireAuthentic(document: TenantKeysDocument, privateKey: TenantPrivateKey): void {
  const { mac, ...authenticated } = document
  if (!timingSafeEqual(Buffer.from(mac, 'hex'), macOf(authenticated, privateKey))) {
    throw new StrataError(
      'E_SEAL_BROKEN',
      `the keys document of tenant ${document.tenantId} was altered after the tenant's key holder wrote it`,
      {
        hint: 'Find out who could write to the store. An unaltered copy of this object makes everything readable again.',
      },
    )
  }
}

const macInfo = 'strata/v1/tenant-keys'

/** HMAC-SHA256 of the document's text without its last member. */
function macOf(document: Omit<TenantKeysDocument, 'mac'>, privateKey: TenantPrivateKey): Buffer {
  const salt = concatBytes([idToBytes(document.tenantId), idToBytes(document.repositoryId)])
  const key = derive(privateKey.bytes(), salt, macInfo)
  return createHmac('sha256', key).update(JSON.stringify(document), 'utf8').digest()
}

/**
 * Only the writer's own spelling is read (no spaces, no doubled members, `mac` last): so the text that was
 * authenticated can be made again from what was read, and no two readers can understand one document differently.
 */
function requireOneSpelling(name: string, bytes: Uint8Array, document: TenantKeysDocument): void {
  let spelled: string
  try {
    spelled = JSON.stringify(document)
  } catch (error) {
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: nested too deep`, { cause: error })
  }
  if (!equalBytes(bytes, Buffer.from(spelled, 'utf8'))) throw damaged(name, 'is not spelled as it is written')
  if (Object.keys(document).at(-1) !== 'mac') throw damaged(name, 'does not end with its mac')
}

/** The first generation is always there: names of sets and digests follow from it. */
function requireAscending(name: string, document: TenantKeysDocument): void {
  let last = firstGeneration - 1
  for (const { generation } of document.indexKeys) {
    if (generation <= last) throw damaged(name, 'the generations of its index keys do not ascend')
    last = generation
  }
  if (document.indexKeys[0]?.generation !== firstGeneration) throw damaged(name, 'has no first index key')
}

/** Before any of it is spent: the store's owner must not be able to make us compute for ever or fill our memory. */
function requireScryptBounds(name: string, { N, r, p }: PassphraseWrap): void {
  const memoryBytes = scryptMemoryBytes(N, r)
  if (N > scryptCostMax || memoryBytes > scryptMemoryBytesMax || p > scryptParallelMax) {
    throw new StrataError(
      'E_LIMIT',
      `${name}: asks for scrypt with N ${String(N)}, r ${String(r)}, p ${String(p)}; at most N ${String(scryptCostMax)}, ` +
        `${String(scryptMemoryBytesMax)} bytes and p ${String(scryptParallelMax)} are allowed`,
    )
  }
  if (N < 2 || 2 ** Math.round(Math.log2(N)) !== N) throw damaged(name, `scrypt's N ${String(N)} is no power of two`)
  // RFC 7914, section 2.
  if (N >= 2 ** (16 * r)) throw damaged(name, `scrypt has no N ${String(N)} with r ${String(r)}`)
}

export function scryptMemoryBytes(N: number, r: number): number {
  return 128 * N * r
}
