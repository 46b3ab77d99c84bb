/**
 * Text from elsewhere (names of sets, disks and machines, paths, messages of servers) may hold escape sequences that
 * move the cursor, colour or rewrite what the reader sees. Invariant: every line for a person goes through here.
 */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** `text` on one line, with everything that is not visible written out, such as `\x1b` or `\u{202e}`. */
export function printable(text: string): string {
  return text.replace(unprintable, escaped)
}

const shortEscapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escaped(character: string): string {
  const short = shortEscapes[character]
  if (short !== undefined) return short
  const code = character.codePointAt(0) ?? 0
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}

const zeroWidth = /^\p{M}+$/u
const wide =
  /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u
const ascii = /^[\x20-\x7e]*$/

/** Columns that printable text takes on a terminal. */
export function displayWidth(text: string): number {
  if (ascii.test(text)) return text.length
  let width = 0
  for (const grapheme of graphemes(text)) width += widthOf(grapheme)
  return width
}

/** The beginning of `text` that fits `columns`, ending in … where something was cut off. */
export function fitted(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  let fit = ''
  let width = 1
  for (const grapheme of graphemes(text)) {
    width += widthOf(grapheme)
    if (width > columns) break
    fit += grapheme
  }
  return columns < 1 ? '' : `${fit}…`
}

function widthOf(grapheme: string): number {
  if (wide.test(grapheme)) return 2
  return zeroWidth.test(grapheme) ? 0 : 1
}

function graphemes(text: string): string[] {
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  return [...segmenter.segment(text)].map(({ segment }) => segment)
}
