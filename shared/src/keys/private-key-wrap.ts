import { scrypt, type ScryptOptions } from 'node:crypto'
import type { RandomBytes } from '../clock.ts'
import { hasCode, invariant, StrataError } from '../errors.ts'
import { concatBytes, viewOf } from '../format/bytes.ts'
import { keyBytes, nonceBytes, SealingKey } from '../format/xaes.ts'
import { passphraseBytesMax } from '../limits.ts'
import { idToBytes } from '../types.ts'
import { derive } from './derive.ts'
import type { TenantIdentity } from './ingest-keys.ts'
import { scryptMemoryBytes, type KeyFileWrap, type PassphraseWrap, type PrivateKeyWrap } from './tenant-document.ts'

/**
 * The private key under a passphrase (scrypt) or a key file (HKDF-SHA256), sealed with XAES-256-GCM. docs/format.md,
 * "Wrapped private key". The tenant, the key pair and the parameters are authenticated with it, so a wrap that is put
 * into another document, or whose parameters were changed, does not open.
 */
export interface WrapContext extends TenantIdentity {
  readonly publicKey: Uint8Array
}

/** 64 MiB and about a third of a second: what a tenant's owner pays once, and a guesser for every guess. */
const scryptParameters = { N: 65_536, r: 8, p: 2 } as const
const wrapSaltBytes = 32
const wrapLabel = Buffer.from('strata/v1/private-key', 'latin1')
const keyFileInfo = 'strata/v1/key-file'
/** In the authenticated bytes; the document says them in words. */
const kindNumbers = { passphrase: 1, keyFile: 2 } as const

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

export function wrapWithKeyFile(
  context: WrapContext,
  privateKey: Uint8Array,
  fileKey: Uint8Array,
  random: RandomBytes,
): KeyFileWrap {
  const parameters = { kind: 'keyFile', kdf: 'hkdf-sha256', ...freshSaltAndNonce(random) } as const
  return { ...parameters, sealed: sealPrivateKey(context, keyFileKey(fileKey, parameters), parameters, privateKey) }
}

/** Gives the private key, or undefined when the passphrase does not open this wrap. */
export async function openWithPassphrase(
  context: WrapContext,
  wrap: PassphraseWrap,
  passphrase: string,
): Promise<Uint8Array | undefined> {
  return openPrivateKey(context, await scryptKey(passphrase, wrap), wrap)
}

/** Gives the private key, or undefined when the key file does not open this wrap. */
export function openWithKeyFile(context: WrapContext, wrap: KeyFileWrap, fileKey: Uint8Array): Uint8Array | undefined {
  return openPrivateKey(context, keyFileKey(fileKey, wrap), wrap)
}

type Unsealed<W extends PrivateKeyWrap> = Omit<W, 'sealed'>
type WrapParameters = Unsealed<PassphraseWrap> | Unsealed<KeyFileWrap>

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

/** label ‖ tenant id ‖ repository id ‖ public key ‖ kind, N, r, p (u32 little-endian; zeros for a key file) ‖ salt. */
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

function keyFileKey(fileKey: Uint8Array, { salt }: { readonly salt: string }): Uint8Array {
  return derive(fileKey, Buffer.from(salt, 'hex'), keyFileInfo)
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
