import { StrataError } from '@strata/shared/errors.ts'
import type { ProviderKeyName } from '@strata/shared/keys/private-key-wrap.ts'
import { providerKeyCharsMax } from '@strata/shared/limits.ts'
import type { WrapKind } from '@strata/shared/keys/wrap-schema.ts'

/** The ways that a tenant's key opens by, as the command line calls them. */
export const keyWays: Readonly<Record<string, WrapKind>> = {
  passphrase: 'passphrase',
  'key-file': 'keyFile',
  'recovery-sheet': 'recoverySheet',
  aws: 'awsKms',
  azure: 'azureKeyVault',
}

const providerKeyPattern = new RegExp(`^(aws|azure):([!-~]{1,${String(providerKeyCharsMax)}})$`)

/** `aws:KEY` or `azure:URL`; undefined for anything else. */
export function providerKeyOf(text: string): ProviderKeyName | undefined {
  const [, service, name] = providerKeyPattern.exec(text) ?? []
  if (service === undefined || name === undefined) return undefined
  return { kind: service === 'aws' ? 'awsKms' : 'azureKeyVault', name }
}

/** E_USAGE. */
export function parseProviderKey(text: string): ProviderKeyName {
  const key = providerKeyOf(text)
  if (key !== undefined) return key
  throw new StrataError('E_USAGE', `--kms: '${text}' is neither aws:KEY nor azure:https://VAULT/keys/NAME/VERSION`)
}

/** E_USAGE. */
export function parseKeyWay(text: string): WrapKind {
  const kind = Object.hasOwn(keyWays, text) ? keyWays[text] : undefined
  if (kind !== undefined) return kind
  throw new StrataError('E_USAGE', `'${text}' is no way to open a tenant: ${Object.keys(keyWays).join(', ')}`)
}
