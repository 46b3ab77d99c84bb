import { StrataError } from '@strata/shared/errors.ts'
import type { WrapKind } from '@strata/shared/keys/wrap-schema.ts'

/** The ways that a tenant's key opens by, as the command line calls them. */
export const keyWays: Readonly<Record<string, WrapKind>> = {
  passphrase: 'passphrase',
  'key-file': 'keyFile',
  'recovery-sheet': 'recoverySheet',
}

/** E_USAGE. */
export function parseKeyWay(text: string): WrapKind {
  const kind = Object.hasOwn(keyWays, text) ? keyWays[text] : undefined
  if (kind !== undefined) return kind
  throw new StrataError('E_USAGE', `'${text}' is no way to open a tenant: ${Object.keys(keyWays).join(', ')}`)
}
