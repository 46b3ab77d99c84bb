import { StrataError } from './errors.ts'
import { nameCharsMax } from './limits.ts'

/** Control, format and line-separating characters would forge terminal output; ':' and '/' separate parts of a POINT. */
const forbidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}:/]/u

/** `name` in NFC, in which it is kept and compared; undefined when it cannot be one. */
export function nameOrNone(name: string, charsMax: number): string | undefined {
  const normal = name.normalize('NFC')
  const fits = normal.length > 0 && normal.length <= charsMax && !forbidden.test(normal) && normal.trim() === normal
  return fits ? normal : undefined
}

/** What a set may be called. Gives the name in NFC. */
export function requireSetName(name: string): string {
  const normal = nameOrNone(name, nameCharsMax)
  if (normal === undefined) {
    throw new StrataError(
      'E_SET_NAME',
      `${JSON.stringify(name.slice(0, nameCharsMax))} cannot be the name of a set: 1 to ${String(nameCharsMax)} characters, none of them ':', '/' or a control character, no space at either end`,
    )
  }
  return normal
}
