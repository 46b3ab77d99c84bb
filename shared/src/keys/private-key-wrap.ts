import { scrypt, type ScryptOptions } from 'node:crypto'
import type { RandomBytes } from '../clock.ts'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { concatBytes, viewOf } from '../format/bytes.ts'
import { keyBytes, nonceBytes, SealingKey } from '../format/xaes.ts'
import { passphraseBytesMax } from '../limits.ts'
import { idToBytes } from '../types.ts'
import { derive } from './derive.ts'
import type { TenantIdentity } from './ingest-keys.ts'
import type { KeyProvider } from './key-provider.ts'
import {
  scryptMemoryBytes,
  type KeyFileWrap,
  type PassphraseWrap,
  type PrivateKeyWrap,
  type ProviderKind,
  type ProviderWrap,
  type RecoverySheetWrap,
} from './wrap-schema.ts'

/**
 * The private key under a passphrase (scrypt), or under 32 secret bytes (HKDF-SHA256): those of a key file, of a recovery
 * sheet, or random ones that a provider has wrapped. Sealed with XAES-256-GCM. docs/format.md, "Wrapped private key".
 * The tenant, the key pair and the parameters are authenticated with it, so a wrap that is put into another document,
 * or whose parameters were changed, does not open.
 */
export interface WrapContext extends TenantIdentity {
  readonly publicKey: Uint8Array
}

/** 64 MiB and about a third of a second: what a tenant's owner pays once, and a guesser for every guess. */
const scryptParameters = { N: 65_536, r: 8, p: 2 } as const
const wrapSaltBytes = 32
const wrapLabel = Buffer.from('strata/v1/private-key', 'latin1')
/** In the authenticated bytes; the document says them in words. */
const kindNumbers = { passphrase: 1, keyFile: 2, recoverySheet: 3, awsKms: 4, azureKeyVault: 5 } as const
const secretInfos = {
  keyFile: 'strata/v1/key-file',
  recoverySheet: 'strata/v1/recovery-sheet',
  awsKms: 'strata/v1/aws-kms',
  azureKeyVault: 'strata/v1/azure-key-vault',
} as const

export async function wrapWithPassphrase(
  context: WrapContext,
  privateKey: Uint8Array,
  passphrase: string,
  random: RandomBytes,
): Promise<PassphraseWrap> {
  const parameters = { kind: 'passphrase', kdf: 'scrypt', ...scryptParameters, ...freshSaltAndNonce(random) } as const
  const key = await scryptKey(passphrase, parameters)
  return { ...parameters, sealed: sealPrivateKey(context, key, parameters, privateKey) }
}

/** @param secret the 32 bytes of a key file or of a recovery sheet */
export function wrapWithSecret(
  kind: SecretWrap['kind'],
  context: WrapContext,
  privateKey: Uint8Array,
  secret: Uint8Array,
  random: RandomBytes,
): SecretWrap {
  const parameters = { kind, kdf: 'hkdf-sha256', ...freshSaltAndNonce(random) } as const
  const key = secretKey(kind, secret, parameters)
  return { ...parameters, sealed: sealPrivateKey(context, key, parameters, privateKey) }
}

type SecretWrap = KeyFileWrap | RecoverySheetWrap

/** Errors: those of `KeyProvider`. @param name the provider's key, as a person names it */
export async function wrapWithProvider(
  { kind, name }: ProviderKeyName,
  context: WrapContext,
  privateKey: Uint8Array,
  provider: KeyProvider,
  random: RandomBytes,
): Promise<ProviderWrap> {
  const secret = random(keyBytes)
  const { key: fullName, wrapped } = await provider.wrap(kind, name, secret, context)
  const salts = freshSaltAndNonce(random)
  const parameters = {
    kind,
    kdf: 'hkdf-sha256',
    key: fullName,
    wrapped: Buffer.from(wrapped).toString('hex'),
    ...salts,
  } as const
  return { ...parameters, sealed: sealPrivateKey(context, secretKey(kind, secret, salts), parameters, privateKey) }
}

export interface ProviderKeyName {
  readonly kind: ProviderKind
  readonly name: string
}

/** Gives the private key, or undefined when the passphrase does not open this wrap. */
export async function openWithPassphrase(
  context: WrapContext,
  wrap: PassphraseWrap,
  passphrase: string,
): Promise<Uint8Array | undefined> {
  return openPrivateKey(context, await scryptKey(passphrase, wrap), wrap)
}

/** Gives the private key, or undefined when the key file or recovery sheet does not open this wrap. */
export function openWithSecret(context: WrapContext, wrap: SecretWrap, secret: Uint8Array): Uint8Array | undefined {
  return openPrivateKey(context, secretKey(wrap.kind, secret, wrap), wrap)
}

/** Gives the private key, or undefined when this wrap is not what the provider has wrapped. Errors: `KeyProvider`. */
export async function openWithProvider(
  context: WrapContext,
  wrap: ProviderWrap,
  provider: KeyProvider,
): Promise<Uint8Array | undefined> {
  const { kind, key } = wrap
  const secret = await provider.unwrap(kind, { key, wrapped: Buffer.from(wrap.wrapped, 'hex') }, context)
  if (secret?.length !== keyBytes) return undefined
  return openPrivateKey(context, secretKey(kind, secret, wrap), wrap)
}

/** Over each kind by itself: `Omit` of a union would keep only what all have. */
type Unsealed<W extends PrivateKeyWrap> = W extends PrivateKeyWrap ? Omit<W, 'sealed'> : never
type WrapParameters = Unsealed<PrivateKeyWrap>

function sealPrivateKey(
  context: WrapContext,
  key: Uint8Array,
  parameters: WrapParameters,
  privateKey: Uint8Array,
): string {
  const nonce = Buffer.from(parameters.nonce, 'hex')
  return Buffer.from(new SealingKey(key).seal(nonce, aadOf(context, parameters), privateKey)).toString('hex')
}

function openPrivateKey(context: WrapContext, key: Uint8Array, wrap: PrivateKeyWrap): Uint8Array | undefined {
  try {
    return new SealingKey(key).open(
      Buffer.from(wrap.nonce, 'hex'),
      aadOf(context, wrap),
      Buffer.from(wrap.sealed, 'hex'),
    )
  } catch (error) {
    // Not this passphrase, or not this wrap: the caller may have others to try and says so when none opens.
    if (hasCode(error, 'E_SEAL_BROKEN')) return undefined
    throw error
  }
}

/** label ‖ tenant id ‖ repository id ‖ public key ‖ kind, N, r, p (u32 little-endian; zeros without scrypt) ‖ salt. */
function aadOf(context: WrapContext, parameters: WrapParameters): Uint8Array {
  const { N, r, p } = parameters.kind === 'passphrase' ? parameters : { N: 0, r: 0, p: 0 }
  const numbers = new Uint8Array(16)
  const view = viewOf(numbers)
  for (const [i, number] of [kindNumbers[parameters.kind], N, r, p].entries()) view.setUint32(4 * i, number, true)
  return concatBytes([
    wrapLabel,
    idToBytes(context.tenantId),
    idToBytes(context.repositoryId),
    context.publicKey,
    numbers,
    Buffer.from(parameters.salt, 'hex'),
  ])
}

function freshSaltAndNonce(random: RandomBytes): { salt: string; nonce: string } {
  return {
    salt: Buffer.from(random(wrapSaltBytes)).toString('hex'),
    nonce: Buffer.from(random(nonceBytes)).toString('hex'),
  }
}

function secretKey(
  kind: keyof typeof secretInfos,
  secret: Uint8Array,
  { salt }: { readonly salt: string },
): Uint8Array {
  return derive(secret, Buffer.from(salt, 'hex'), secretInfos[kind])
}

type ScryptParameters = Pick<PassphraseWrap, 'N' | 'r' | 'p' | 'salt'>

/** The parameters were checked when the document was read. Runs on libuv's threads. */
async function scryptKey(passphrase: string, { N, r, p, salt }: ScryptParameters): Promise<Uint8Array> {
  // Beside the memory that the cost asks for, OpenSSL counts some small buffers.
  const maxmem = scryptMemoryBytes(N, r) + scryptMemoryBytes(p + 2, r)
  return scryptAsync(passphraseToBytes(passphrase), Buffer.from(salt, 'hex'), { N, r, p, maxmem })
}

/** Not util.promisify: its types forget the overload with options. */
async function scryptAsync(secret: Uint8Array, salt: Uint8Array, options: ScryptOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, keyBytes, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

/**
 * Unicode form NFKC, then UTF-8: the same passphrase typed on another system gives the same bytes. Nothing is
 * trimmed.
 */
function passphraseToBytes(passphrase: string): Uint8Array {
  invariant(passphrase.length > 0, 'an empty passphrase is none')
  if (!passphrase.isWellFormed()) {
    throw new StrataError('E_CONFIGURATION', 'the passphrase is not well-formed Unicode text')
  }
  const bytes = passphrase.length > passphraseBytesMax ? undefined : Buffer.from(passphrase.normalize('NFKC'), 'utf8')
  if (bytes === undefined || bytes.length > passphraseBytesMax) {
    throw new StrataError('E_LIMIT', `the passphrase is longer than ${String(passphraseBytesMax)} bytes`)
  }
  return bytes
}
