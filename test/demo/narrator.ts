import { formatBytes, formatDuration, formatRate } from '@strata/workers/cli/output/bytes.ts'
import { tableLines } from '@strata/workers/cli/output/table.ts'

/** One row of the table at the end. */
export interface StepResult {
  readonly step: string
  /** Read from the disk, or written to it, without holes. */
  readonly bytes?: number
  readonly durationMs: number
  readonly changedBytes?: number
  readonly storedBytes?: number
  readonly requests?: number
}

/** Tells on standard output what the demo does, and keeps the figures. */
export class Narrator {
  readonly #write: (text: string) => void
  readonly #results: StepResult[] = []
  #chapters = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  chapter(title: string): void {
    this.#chapters += 1
    this.#write(`\n${String(this.#chapters)}. ${title}\n`)
  }

  say(text: string): void {
    this.#write(`   ${text}\n`)
  }

  command(program: string, args: readonly string[]): void {
    this.#write(`   $ ${[program, ...args].map(shellQuoted).join(' ')}\n`)
  }

  result(result: StepResult): void {
    this.#results.push(result)
  }

  table(): void {
    const columns = ['changed', 'read or written', 'time', 'speed', 'stored', 'requests']
    const rows = this.#results.map(({ step, bytes, durationMs, changedBytes, storedBytes, requests }) => [
      step,
      sizeOrNothing(changedBytes),
      sizeOrNothing(bytes),
      formatDuration(durationMs),
      bytes === undefined ? '' : formatRate(bytes, durationMs),
      sizeOrNothing(storedBytes),
      requests === undefined ? '' : String(requests),
    ])
    const titles = [{ title: 'step' }, ...columns.map((title) => ({ title, align: 'right' as const }))]
    this.#write(`\n${tableLines(titles, rows).join('\n')}\n`)
  }
}

function sizeOrNothing(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatBytes(bytes)
}

/** As a shell needs it to take it for one word and nothing else. */
export function shellQuoted(word: string): string {
  return /^[A-Za-z0-9_./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}
