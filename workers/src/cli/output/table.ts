import { displayWidth, printable } from './printable.ts'

export interface Column {
  readonly title: string
  /** Numbers stand on the right, so that their digits are below each other. */
  readonly align?: 'left' | 'right'
}

const gap = '  '

/** Lines of a table: a header, and the rows with their columns below each other. Cells may hold anything. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const lines = [columns.map(({ title }) => title), ...rows].map((cells) => cells.map(printable))
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => displayWidth(cells[index] ?? ''))))
  return lines.map((cells) =>
    columns
      .map(({ align }, index) => padded(cells[index] ?? '', widths[index] ?? 0, align ?? 'left'))
      .join(gap)
      .trimEnd(),
  )
}

/** Lines of `name   value`, for one thing told in full. */
export function factLines(facts: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(0, ...facts.map(([name]) => displayWidth(name)))
  return facts.map(([name, value]) => `${padded(name, width, 'left')}${gap}${printable(value)}`.trimEnd())
}

function padded(text: string, width: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)))
  return align === 'right' ? space + text : text + space
}
