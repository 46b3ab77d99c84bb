/** Colours, for a person at a terminal only: never into a file or pipe, and not with NO_COLOR (no-color.org). */
export interface Style {
  readonly bad: (text: string) => string
  readonly doubtful: (text: string) => string
  readonly faint: (text: string) => string
}

const plain: Style = { bad: same, doubtful: same, faint: same }

const coloured: Style = {
  bad: (text) => `\u001b[1;31m${text}\u001b[0m`,
  doubtful: (text) => `\u001b[33m${text}\u001b[0m`,
  faint: (text) => `\u001b[2m${text}\u001b[0m`,
}

export function styleFor(
  stream: { readonly isTTY?: boolean | undefined },
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const refused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
  return stream.isTTY === true && !refused ? coloured : plain
}

function same(text: string): string {
  return text
}
