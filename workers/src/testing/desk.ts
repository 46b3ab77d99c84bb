import { systemRandomBytes } from '@strata/shared/clock.ts'
import type { Context } from '../cli/context.ts'
import { Reporter } from '../cli/output/reporter.ts'
import { settingsFrom } from '../cli/settings.ts'

/** Where one command is run by itself: its context, at a time that stands still, and what it says. */
export class Desk {
  readonly directory: string
  readonly #nowMs: number
  stdout = ''
  stderr = ''

  constructor(directory: string, nowMs: number) {
    this.directory = directory
    this.#nowMs = nowMs
  }

  /** For the next command; what was said before is forgotten. */
  context(json = false): Context {
    this.stdout = ''
    this.stderr = ''
    const clock = { nowMs: () => this.#nowMs, monotonicMs: () => 0, sleep: () => Promise.resolve() }
    return {
      settings: settingsFrom({ store: 'file:///nowhere' }, {}),
      reporter: new Reporter({
        stdout: { write: (text) => (this.stdout += text) },
        stderr: { write: (text) => (this.stderr += text) },
        env: {},
        clock,
        json,
        quiet: false,
        verbose: false,
      }),
      clock,
      random: systemRandomBytes,
      env: {},
      workingDirectory: this.directory,
      hostName: 'host-1',
      signal: new AbortController().signal,
      terminal: undefined,
    }
  }
}
