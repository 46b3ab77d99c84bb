import { toStrataError } from '@strata/shared/errors.ts'
import { sweepSessions, type SweepOptions, type SweepResult } from './sweep-sessions.ts'

export interface BackgroundSweepOptions extends SweepOptions {
  /** Told what stays in the store, and why. */
  readonly onNote?: ((note: string) => void) | undefined
}

/** One sweep beside the work of a service: nobody waits for it, and no backup fails for it. */
export class BackgroundSweep {
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>

  constructor({ signal, onNote, ...options }: BackgroundSweepOptions) {
    const stopped = AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal])])
    this.#ended = sweepSessions({ ...options, signal: stopped }).then(
      (result) => {
        const note = noteOf(result)
        if (note !== undefined) onNote?.(note)
      },
      (error: unknown) => {
        // What it could not do before it was stopped, the next one does.
        if (stopped.aborted) return
        onNote?.(`what dead sessions have left in the store stays there for now: ${toStrataError(error).message}`)
      },
    )
  }

  /** Ends it after the request that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#ended
  }
}

function noteOf({ unreadable, problem }: SweepResult): string | undefined {
  if (problem === undefined) return undefined
  return `${String(unreadable)} of the sessions that are over stay in the store: ${problem.code}: ${problem.message}`
}
