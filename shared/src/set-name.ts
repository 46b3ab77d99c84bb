import { StrataError } from './errors.ts'
import { nameCharsMax } from './limits.ts'

/** Control, format and line-separating characters would forge terminal output; ':' and '/' separate parts of a POINT. */
const forbidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}:/]/u

/** What a set may be called. Gives the name in NFC, in which it is kept and compared. */
export function requireSetName(name: string): string {
  const normal = name.normalize('NFC')
  if (normal.length === 0 || normal.length > nameCharsMax || forbidden.test(normal) || normal.trim() !== normal) {
    throw new StrataError(
      'E_SET_NAME',
      `${JSON.stringify(name.slice(0, nameCharsMax))} cannot be the name of a set: 1 to ${String(nameCharsMax)} characters, none of them ':', '/' or a control character, no space at either end`,
    )
  }
  return normal
}
