import type { RandomBytes } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { tenantKeysRevisionMax } from '../format/names.ts'
import { keyBytes } from '../format/xaes.ts'
import { formerKeysMax, indexKeyGenerationsMax } from '../limits.ts'
import { generateKeyPair } from './hpke.ts'
import { type IngestKeys } from './ingest-keys.ts'
import { hasText, openWrap, wrapNames, type UnlockSecrets } from './open-private-key.ts'
import { wrapWithPassphrase, wrapWithProvider, wrapWithSecret } from './private-key-wrap.ts'
import { authenticate, formerKeysOf, type TenantKeysContents, type TenantKeysDocument } from './tenant-document.ts'
import { sealFormerKey, sealIndexKey } from './tenant-keys.ts'
import { TenantPrivateKey } from './tenant-private-key.ts'
import { isProviderWrap, type PrivateKeyWrap, type WrapKind } from './wrap-schema.ts'

/**
 * The next revision of a keys document. Each is whole by itself: whoever opens the highest one has every key that there
 * ever was, and no reader needs an earlier one.
 */

/** Puts `wrap` in the place of those of its kind. */
export function withWrap(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  wrap: PrivateKeyWrap,
): TenantKeysDocument {
  const others = document.privateKeyWraps.filter(({ kind }) => kind !== wrap.kind)
  return nextRevision(document, privateKey, [...others, wrap])
}

/** Takes all wraps of a kind away. E_KEY_MISSING: there is none. E_KEY_LAST: there is no other. */
export function withoutWrap(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  removed: WrapKind,
): TenantKeysDocument {
  const others = document.privateKeyWraps.filter(({ kind }) => kind !== removed)
  const { tenantId } = document
  if (others.length === document.privateKeyWraps.length) {
    throw new StrataError('E_KEY_MISSING', `the key of tenant ${tenantId} does not open with ${wrapNames[removed]}`, {
      hint: 'strata key show lists what it opens with.',
    })
  }
  if (others.length === 0) {
    throw new StrataError('E_KEY_LAST', `the key of tenant ${tenantId} opens with ${wrapNames[removed]} only`)
  }
  return nextRevision(document, privateKey, others)
}

export interface RotatedKeys {
  readonly document: TenantKeysDocument
  readonly ingest: IngestKeys
  readonly privateKey: TenantPrivateKey
}

/**
 * A new key pair, and a new generation of the index key. The former private keys go along, sealed to the new public key.
 *
 * Every wrap is made anew, and for that its secret is needed: E_KEY_MISSING names those that `secrets` lacks, E_KEY_WRONG
 * those that do not fit. E_LIMIT: as many rotations as a document has room for.
 */
export async function rotateKeys(
  document: TenantKeysDocument,
  keys: IngestKeys,
  privateKey: TenantPrivateKey,
  secrets: UnlockSecrets,
  random: RandomBytes,
): Promise<RotatedKeys> {
  const { revision, repositoryId, tenantId, tenantName } = requireWhole(document, privateKey)
  const former = formerKeysOf(document)
  if (former.length >= formerKeysMax || keys.indexKeys.size >= indexKeyGenerationsMax) {
    throw new StrataError('E_LIMIT', `tenant ${tenantId} was rotated ${String(former.length)} times, which is the most`)
  }
  await requireSecretsOfAll(document, privateKey, secrets)
  const pair = await generateKeyPair(random)
  const generation = keys.currentGeneration + 1
  const ingest: IngestKeys = {
    repositoryId: privateKey.repositoryId,
    tenantId: privateKey.tenantId,
    publicKey: pair.publicKey,
    indexKeys: new Map([...keys.indexKeys, [generation, random(keyBytes)]]),
    currentGeneration: generation,
  }
  const replaced = [privateKey.bytes(), ...privateKey.formerBytes()]
  const rotated = new TenantPrivateKey(privateKey, pair.publicKey, pair.privateKey, replaced)
  const publicKeys = [...former.map(({ publicKey }) => publicKey), document.publicKey]
  const formerKeys = await Promise.all(
    publicKeys.map((publicKey, index) => {
      const key = {
        publicKey: fromHex(publicKey),
        privateKey: replaced[publicKeys.length - 1 - index] ?? pair.privateKey,
      }
      return sealFormerKey(ingest, key, random)
    }),
  )
  const indexKeys = await Promise.all(
    [...ingest.indexKeys.keys()].map((generation) => sealIndexKey(ingest, generation, random)),
  )
  const privateKeyWraps = await wrapsAnew(document, rotated, secrets, random)
  const contents: TenantKeysContents = {
    revision: revision + 1,
    repositoryId,
    tenantId,
    publicKey: Buffer.from(pair.publicKey).toString('hex'),
    formerKeys,
    // As it was, under the index key that it was sealed with: machines whose keyring is older compare it with theirs.
    tenantName,
    indexKeys,
    privateKeyWraps,
  }
  return { document: authenticate(contents, rotated), ingest, privateKey: rotated }
}

/** Nothing is written that could not be opened afterwards by what it was opened with before. */
async function requireSecretsOfAll(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  secrets: UnlockSecrets,
): Promise<void> {
  const lacking = document.privateKeyWraps.filter((wrap) => !isAtHand(wrap, secrets))
  if (lacking.length > 0) {
    const names = lacking.map(({ kind }) => wrapNames[kind])
    throw new StrataError('E_KEY_MISSING', `to rotate the keys ${names.join(' and ')} must be given as well`, {
      hint: 'A new key has to be wrapped for each way to open the tenant. Give what is missing, or take that way out first: strata key remove WAY.',
      details: { missing: lacking.map(({ kind }) => kind) },
    })
  }
  for (const wrap of document.privateKeyWraps) {
    if (isProviderWrap(wrap) || (await openWrap(privateKey, wrap, secrets)) !== undefined) continue
    throw new StrataError('E_KEY_WRONG', `${wrapNames[wrap.kind]} that was given is not the tenant's`)
  }
}

function isAtHand({ kind }: PrivateKeyWrap, { passphrase, keyFile, recoveryKey, provider }: UnlockSecrets): boolean {
  switch (kind) {
    case 'passphrase':
      return hasText(passphrase)
    case 'keyFile':
      return keyFile !== undefined
    case 'recoverySheet':
      return recoveryKey !== undefined
    case 'awsKms':
    case 'azureKeyVault':
      return provider !== undefined
  }
}

async function wrapsAnew(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  { passphrase = '', keyFile, recoveryKey, provider }: UnlockSecrets,
  random: RandomBytes,
): Promise<PrivateKeyWrap[]> {
  const wraps: PrivateKeyWrap[] = []
  const bytes = privateKey.bytes()
  for (const wrap of document.privateKeyWraps) {
    if (isProviderWrap(wrap)) {
      if (provider === undefined) continue
      const name = { kind: wrap.kind, name: wrap.key }
      wraps.push(await wrapWithProvider(name, privateKey, bytes, provider, random))
    } else if (wrap.kind === 'passphrase') {
      wraps.push(await wrapWithPassphrase(privateKey, bytes, passphrase, random))
    } else {
      const secret = wrap.kind === 'keyFile' ? keyFile : recoveryKey
      if (secret !== undefined) wraps.push(wrapWithSecret(wrap.kind, privateKey, bytes, secret, random))
    }
  }
  return wraps
}

function nextRevision(
  document: TenantKeysDocument,
  privateKey: TenantPrivateKey,
  privateKeyWraps: readonly PrivateKeyWrap[],
): TenantKeysDocument {
  const contents = requireWhole(document, privateKey)
  return authenticate(
    { ...contents, revision: contents.revision + 1, privateKeyWraps: [...privateKeyWraps] },
    privateKey,
  )
}

/** What the document holds; refused where writing it anew would lose something that a newer program has put there. */
function requireWhole(document: TenantKeysDocument, privateKey: TenantPrivateKey): TenantKeysContents {
  const { revision, repositoryId, tenantId, publicKey, tenantName, indexKeys } = document
  const contents: TenantKeysContents = {
    revision,
    repositoryId,
    tenantId,
    publicKey,
    formerKeys: [...formerKeysOf(document)],
    tenantName,
    indexKeys,
    privateKeyWraps: [...document.privateKeyWraps],
  }
  if (authenticate(contents, privateKey).mac !== document.mac) {
    throw new StrataError(
      'E_FORMAT_NEWER',
      `the keys document of tenant ${tenantId} has members that this program does not know`,
    )
  }
  if (revision >= tenantKeysRevisionMax) {
    throw new StrataError('E_LIMIT', `the keys document of tenant ${tenantId} has its last revision`)
  }
  return contents
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}
