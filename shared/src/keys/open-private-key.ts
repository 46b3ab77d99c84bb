import { StrataError } from '../errors.ts'
import type { KeyProvider } from './key-provider.ts'
import { openWithPassphrase, openWithProvider, openWithSecret, type WrapContext } from './private-key-wrap.ts'
import { isProviderWrap, type PrivateKeyWrap, type WrapKind } from './wrap-schema.ts'

/** What a person or a machine has to unlock a tenant with. An empty passphrase counts as none. */
export interface UnlockSecrets {
  readonly passphrase?: string | undefined
  /** The 32 bytes of a key file (`readKeyFile`). */
  readonly keyFile?: Uint8Array | undefined
  /** The 32 bytes of a recovery sheet (`parseRecoveryKey`). */
  readonly recoveryKey?: Uint8Array | undefined
  /** Asked only when none of the others is given: whoever gives one means that one. */
  readonly provider?: KeyProvider | undefined
}

export interface OpenedPrivateKey {
  readonly bytes: Uint8Array
  readonly wrap: PrivateKeyWrap
}

/**
 * Tries what was given on every wrap of its kind; the passphrase last, for it costs time. E_KEY_MISSING: nothing was
 * given that any wrap is for. E_KEY_WRONG: none opens. Errors of `KeyProvider`.
 */
export async function openWraps(
  context: WrapContext,
  wraps: readonly PrivateKeyWrap[],
  secrets: UnlockSecrets,
): Promise<OpenedPrivateKey> {
  const given = wraps.filter((wrap) => isGiven(wrap, secrets))
  const asked = given.length > 0 || hasSecret(secrets) ? given : wraps.filter(isProviderWrap)
  const inTurn = asked.toSorted((a, b) => Number(a.kind === 'passphrase') - Number(b.kind === 'passphrase'))
  if (inTurn.length === 0 || (!hasSecret(secrets) && secrets.provider === undefined)) throw missing(context, wraps)
  for (const wrap of inTurn) {
    const bytes = await openWrap(context, wrap, secrets)
    if (bytes !== undefined) return { bytes, wrap }
  }
  throw new StrataError('E_KEY_WRONG', `what was given does not open the key of tenant ${context.tenantId}`)
}

/** Gives the private key, or undefined where the secret for this kind of wrap is not given or does not open it. */
export async function openWrap(
  context: WrapContext,
  wrap: PrivateKeyWrap,
  { passphrase, keyFile, recoveryKey, provider }: UnlockSecrets,
): Promise<Uint8Array | undefined> {
  switch (wrap.kind) {
    case 'passphrase':
      return hasText(passphrase) ? await openWithPassphrase(context, wrap, passphrase) : undefined
    case 'keyFile':
      return keyFile === undefined ? undefined : openWithSecret(context, wrap, keyFile)
    case 'recoverySheet':
      return recoveryKey === undefined ? undefined : openWithSecret(context, wrap, recoveryKey)
    case 'awsKms':
    case 'azureKeyVault':
      return provider === undefined ? undefined : await openWithProvider(context, wrap, provider)
  }
}

/** Whether anything is given that is not a provider's to say. */
export function hasSecret({ passphrase, keyFile, recoveryKey }: UnlockSecrets): boolean {
  return hasText(passphrase) || keyFile !== undefined || recoveryKey !== undefined
}

export function hasText(passphrase: string | undefined): passphrase is string {
  return passphrase !== undefined && passphrase !== ''
}

function isGiven(wrap: PrivateKeyWrap, { passphrase, keyFile, recoveryKey }: UnlockSecrets): boolean {
  switch (wrap.kind) {
    case 'passphrase':
      return hasText(passphrase)
    case 'keyFile':
      return keyFile !== undefined
    case 'recoverySheet':
      return recoveryKey !== undefined
    case 'awsKms':
    case 'azureKeyVault':
      return false
  }
}

/** For messages. */
export const wrapNames: Readonly<Record<WrapKind, string>> = {
  passphrase: 'the passphrase',
  keyFile: 'the key file',
  recoverySheet: 'the recovery sheet',
  awsKms: 'AWS KMS',
  azureKeyVault: 'Azure Key Vault',
}

function missing({ tenantId }: WrapContext, wraps: readonly PrivateKeyWrap[]): StrataError {
  const kinds = new Set(wraps.map(({ kind }) => kind))
  const names = Object.entries(wrapNames).flatMap(([kind, name]) => (kinds.has(kind as WrapKind) ? [name] : []))
  return new StrataError(
    'E_KEY_MISSING',
    `the key of tenant ${tenantId} opens with ${names.join(' or ')}, and none was given`,
  )
}
