import type { Column } from '@strata/workers/cli/output/table.ts'

/** A table that is the same on a terminal and in Markdown. */
export interface Section {
  readonly title: string
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
  readonly notes: readonly string[]
}

export function right(...titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title, align: 'right' }))
}
