import { StrataError } from '@strata/shared/errors.ts'
import { nameCharsMax } from '@strata/shared/limits.ts'
import { isId } from '@strata/shared/types.ts'
import { printable } from '../output/printable.ts'

/** The name of a new tenant: visible text, and nothing that looks like a tenant's id. Else E_USAGE. */
export function parseTenantName(text: string): string {
  const name = text.normalize('NFC')
  if (name.trim() !== name || name === '' || name.length > nameCharsMax || printable(name) !== name || isId(name)) {
    throw new StrataError(
      'E_USAGE',
      `'${name.slice(0, nameCharsMax)}' cannot be the name of a tenant: 1 to ${String(nameCharsMax)} visible characters, no space at either end, not 32 hex digits`,
    )
  }
  return name
}
