import { createHmac, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { type Fitting, hexText, list, matching, wholeNumber } from '../format/schema.ts'
import { invariant, StrataError } from '../errors.ts'
import { concatBytes, damaged, equalBytes } from '../format/bytes.ts'
import { documentHead, idSchema, parseDocument } from '../format/document.ts'
import {
  formerKeysMax,
  indexKeyGenerationsMax,
  nameCharsMax,
  privateKeyWrapsMax,
  providerKeyCharsMax,
  providerWrappedBytesMax,
  tenantKeysBytesMax,
} from '../limits.ts'
import { tenantKeysRevisionMax } from '../format/names.ts'
import { idToBytes } from '../types.ts'
import { derive } from './derive.ts'
import { firstGeneration } from './ingest-keys.ts'
import type { TenantPrivateKey } from './tenant-private-key.ts'
import { firstWrapSchema, isFirstWrap, requireScryptBounds, sealedKeySchema, wrapSchema } from './wrap-schema.ts'

/**
 * The keys document of a tenant, `tenants/<tenant>/keys/<revision>`. docs/format.md, "Keys document".
 *
 * It lies open in the store, and nothing in it helps without one of the secrets that it is wrapped by. It is plain JSON
 * without spaces; bytes are lower-case hex, because hex has one spelling and base64url may have several.
 *
 * HPKE says nothing of who sealed, and the public key is public: whoever can write to the store could seal an index
 * key of his own making to the tenant, and would then know the keys of later digests. So the last member, `mac`,
 * authenticates everything before it with a key that follows from the private key. Whoever unlocks checks it before
 * any index key is used.
 */
const generationSchema = wholeNumber(1, 2 ** 32 - 1)
const key32Schema = hexText(32)
const nonceSchema = hexText(24)
const utf8BytesPerCharMax = 3
const tagBytes = 16

/** Members that both versions have, in their order; between them stand those of version 2. */
const membersBefore = {
  /** The number in the object's name, from 1. */
  revision: wholeNumber(1, tenantKeysRevisionMax),
  repositoryId: idSchema,
  tenantId: idSchema,
  publicKey: key32Schema,
}
const membersAfter = {
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
}
const wrapsMin = 1

/** What `strata init` writes: readers of the first version know nothing else. */
const firstSchema = v.object({
  ...documentHead('tenant-keys', 1),
  ...membersBefore,
  ...membersAfter,
  privateKeyWraps: list(firstWrapSchema, { min: wrapsMin, max: privateKeyWrapsMax }),
  mac: key32Schema,
})

/** A tenant that was rotated, or that opens by one of the later kinds of wraps. */
const secondSchema = v.object({
  ...documentHead('tenant-keys', 2),
  ...membersBefore,
  /** The key pairs before the current one, oldest first; their private halves are sealed to the current public key. */
  formerKeys: list(v.object({ publicKey: key32Schema, encapsulated: key32Schema, sealed: sealedKeySchema }), {
    max: formerKeysMax,
  }),
  ...membersAfter,
  privateKeyWraps: list(wrapSchema, { min: wrapsMin, max: privateKeyWrapsMax }),
  mac: key32Schema,
})

const tenantKeysSchema = v.variant('version', [firstSchema, secondSchema])
type SecondDocument = Fitting<typeof secondSchema>
export type FormerKey = SecondDocument['formerKeys'][number]

/** Of either version: what the first has no room for is not there. */
export type TenantKeysDocument = Omit<SecondDocument, 'version' | 'formerKeys'> & {
  version: 1 | 2
  formerKeys?: FormerKey[]
}

/** What there is to write, whichever version it takes. */
export type TenantKeysContents = Omit<SecondDocument, 'strata' | 'version' | 'mac'>

export function formerKeysOf(document: TenantKeysDocument): readonly FormerKey[] {
  return document.formerKeys ?? []
}

/** With every member as long as the schema lets it be; no character of it needs more than one byte. */
function largestDocumentBytes(): number {
  const spelledBytes = (value: unknown): number => JSON.stringify(value).length
  const spelled = (byteCount: number): string => 'f'.repeat(2 * byteCount)
  const generation = 2 ** 32 - 1
  const wrap = { salt: spelled(32), nonce: spelled(24), sealed: spelled(48) }
  const document: TenantKeysDocument = {
    strata: 'tenant-keys',
    version: 2,
    revision: tenantKeysRevisionMax,
    repositoryId: spelled(16),
    tenantId: spelled(16),
    publicKey: spelled(32),
    formerKeys: [],
    tenantName: { generation, nonce: spelled(24), sealed: spelled(tagBytes + nameCharsMax * utf8BytesPerCharMax) },
    indexKeys: [],
    privateKeyWraps: [],
    mac: spelled(32),
  }
  const formerKey = { publicKey: spelled(32), encapsulated: spelled(32), sealed: spelled(48) }
  const indexKey = { generation, encapsulated: spelled(32), sealed: spelled(48) }
  const key = 'f'.repeat(providerKeyCharsMax)
  const providerWrap = { kind: 'azureKeyVault', kdf: 'hkdf-sha256', key, wrapped: spelled(providerWrappedBytesMax) }
  const comma = 1
  return (
    spelledBytes(document) +
    formerKeysMax * (spelledBytes(formerKey) + comma) +
    indexKeyGenerationsMax * (spelledBytes(indexKey) + comma) +
    privateKeyWrapsMax * (spelledBytes({ ...providerWrap, ...wrap }) + comma)
  )
}
invariant(largestDocumentBytes() <= tenantKeysBytesMax, 'every keys document that can be written can be fetched again')

const tenantKeysType = { title: 'tenant-keys', version: 2, schema: tenantKeysSchema }

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

/**
 * The document with its `mac`, as the holder of the private key writes it: in the lowest version that has room for it, so
 * that older programs go on reading what they can.
 */
export function authenticate(contents: TenantKeysContents, privateKey: TenantPrivateKey): TenantKeysDocument {
  const { revision, repositoryId, tenantId, publicKey, formerKeys, tenantName, indexKeys, privateKeyWraps } = contents
  const isFirst = formerKeys.length === 0 && privateKeyWraps.every(isFirstWrap)
  const document = {
    strata: 'tenant-keys' as const,
    version: isFirst ? (1 as const) : (2 as const),
    revision,
    repositoryId,
    tenantId,
    publicKey,
    ...(isFirst ? {} : { formerKeys }),
    tenantName,
    indexKeys,
    privateKeyWraps,
  }
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
export function requireOneSpelling(name: string, bytes: Uint8Array, document: object): void {
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
