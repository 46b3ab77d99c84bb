import * as v from 'valibot'
import { StrataError } from '../errors.ts'
import { damaged } from '../format/bytes.ts'
import { type Fitting, hexText, matching, wholeNumber } from '../format/schema.ts'
import {
  providerKeyCharsMax,
  providerWrappedBytesMax,
  scryptCostMax,
  scryptMemoryBytesMax,
  scryptParallelMax,
} from '../limits.ts'

/**
 * The forms of a wrapped private key in a keys document. docs/format.md, "Wrapped private key".
 *
 * A document of version 1 has the first two kinds only; a kind that is none of these comes with another version.
 */
const positiveSchema = wholeNumber(1)
/** 32 bytes and the tag. */
export const sealedKeySchema = hexText(48)

const sealedMembers = { salt: hexText(32), nonce: hexText(24), sealed: sealedKeySchema }
const hkdfSchema = v.literal('hkdf-sha256')

const passphraseWrapSchema = v.object({
  kind: v.literal('passphrase'),
  kdf: v.literal('scrypt'),
  N: positiveSchema,
  r: positiveSchema,
  p: positiveSchema,
  ...sealedMembers,
})
export type PassphraseWrap = Fitting<typeof passphraseWrapSchema>

const keyFileWrapSchema = v.object({ kind: v.literal('keyFile'), kdf: hkdfSchema, ...sealedMembers })
export type KeyFileWrap = Fitting<typeof keyFileWrapSchema>

const recoverySheetWrapSchema = v.object({ kind: v.literal('recoverySheet'), kdf: hkdfSchema, ...sealedMembers })
export type RecoverySheetWrap = Fitting<typeof recoverySheetWrapSchema>

/** Under a key that a provider keeps: `wrapped` is what the provider has made of 32 random bytes of ours. */
const providerMembers = {
  kdf: hkdfSchema,
  key: matching(new RegExp(`^[!-~]{1,${String(providerKeyCharsMax)}}$`)),
  wrapped: matching(new RegExp(`^([0-9a-f]{2}){1,${String(providerWrappedBytesMax)}}$`)),
  ...sealedMembers,
}
const awsKmsWrapSchema = v.object({ kind: v.literal('awsKms'), ...providerMembers })
const azureKeyVaultWrapSchema = v.object({ kind: v.literal('azureKeyVault'), ...providerMembers })
export type ProviderWrap = Fitting<typeof awsKmsWrapSchema> | Fitting<typeof azureKeyVaultWrapSchema>

export const firstWrapSchema = v.union([passphraseWrapSchema, keyFileWrapSchema])
export const wrapSchema = v.union([
  passphraseWrapSchema,
  keyFileWrapSchema,
  recoverySheetWrapSchema,
  awsKmsWrapSchema,
  azureKeyVaultWrapSchema,
])

export const wrapKinds = ['passphrase', 'keyFile', 'recoverySheet', 'awsKms', 'azureKeyVault'] as const
export type PrivateKeyWrap = Fitting<typeof wrapSchema>
export type WrapKind = PrivateKeyWrap['kind']
export type ProviderKind = ProviderWrap['kind']

/** Whether a document of version 1 may have it. */
export function isFirstWrap({ kind }: PrivateKeyWrap): boolean {
  return kind === 'passphrase' || kind === 'keyFile'
}

export function isProviderWrap(wrap: PrivateKeyWrap): wrap is ProviderWrap {
  return wrap.kind === 'awsKms' || wrap.kind === 'azureKeyVault'
}

/** Before any of it is spent: the store's owner must not be able to make us compute for ever or fill our memory. */
export function requireScryptBounds(name: string, { N, r, p }: PassphraseWrap): void {
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
