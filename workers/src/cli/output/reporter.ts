import type { Clock } from '@strata/shared/clock.ts'
import type { StrataError } from '@strata/shared/errors.ts'
import { errorDocument, errorLines } from './errors.ts'
import { jsonDocument } from './json.ts'
import { printable } from './printable.ts'
import { noProgress, startProgress, type Progress, type ProgressTarget } from './progress.ts'
import { styleFor, type Style } from './style.ts'

export interface TextStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

export interface ReporterOptions {
  readonly stdout: TextStream
  readonly stderr: TextStream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** One document on standard output, and nothing else there. */
  readonly json: boolean
  /** Results, warnings and errors only. */
  readonly quiet: boolean
  /** Also what the parts of the program say of their work. */
  readonly verbose: boolean
}

const columnsIfUnknown = 80
const clearLine = '\r\u001b[K'

/**
 * All that a command says. Standard output holds results only, so that they can be piped; everything else goes to
 * standard error. A progress bar stands there alone: it is taken away before anything else is written.
 */
export class Reporter {
  readonly #options: ReporterOptions
  readonly #errorStyle: Style
  #barShown = false
  #documentWritten = false

  constructor(options: ReporterOptions) {
    this.#options = options
    this.#errorStyle = styleFor(options.stderr, options.env)
  }

  get verbose(): boolean {
    return this.#options.verbose
  }

  /** How results may be coloured. */
  get style(): Style {
    return styleFor(this.#options.stdout, this.#options.env)
  }

  /** The command's answer: the document with --json, else the lines, which must be printable. */
  result(document: unknown, lines: readonly string[]): void {
    this.#clearBar()
    if (this.#options.json) {
      this.#options.stdout.write(jsonDocument(document))
      this.#documentWritten = true
    } else if (lines.length > 0) {
      this.#options.stdout.write(`${lines.join('\n')}\n`)
    }
  }

  /** Something that a person should know and that is no part of the answer. */
  note(text: string): void {
    if (!this.#options.quiet) this.#errorLine(printable(text))
  }

  warning(text: string): void {
    this.#errorLine(`${this.#errorStyle.doubtful('warning:')} ${printable(text)}`)
  }

  log(text: string): void {
    if (this.#options.verbose) this.#errorLine(this.#errorStyle.faint(printable(text)))
  }

  failure(error: StrataError): void {
    for (const line of errorLines(error, this.#errorStyle, this.#options.verbose)) this.#errorLine(line)
    // One document: what came before an error stays the answer, and the exit code tells of the error.
    if (this.#options.json && !this.#documentWritten) this.result(errorDocument(error), [])
  }

  progress(label: string): Progress {
    if (this.#options.quiet) return noProgress
    return startProgress(label, this.#target(), this.#options.clock)
  }

  #target(): ProgressTarget {
    const { stderr, env } = this.#options
    const terminal = stderr.isTTY === true && env['TERM'] !== 'dumb'
    return {
      draw: (line) => {
        stderr.write(`\r${line}\u001b[K`)
        this.#barShown = true
      },
      line: (text) => {
        this.#errorLine(text)
      },
      clear: () => {
        this.#clearBar()
      },
      columns: () => (terminal ? (stderr.columns ?? columnsIfUnknown) : undefined),
    }
  }

  #errorLine(line: string): void {
    this.#clearBar()
    this.#options.stderr.write(`${line}\n`)
  }

  #clearBar(): void {
    if (this.#barShown) this.#options.stderr.write(clearLine)
    this.#barShown = false
  }
}
