import { StrataError } from '@strata/shared/errors.ts'
import { noteCharsMax } from '@strata/shared/limits.ts'
import { printable } from '../output/printable.ts'

/** Words of a person for others: one line of visible text. Else E_USAGE. */
export function parseNote(text: string): string {
  const note = text.normalize('NFC').trim()
  if (note.length <= noteCharsMax && printable(note) === note) return note
  throw new StrataError('E_USAGE', `a note is one line of at most ${String(noteCharsMax)} visible characters`)
}
