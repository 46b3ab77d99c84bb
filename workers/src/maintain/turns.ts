import type { Clock } from '@strata/shared/clock.ts'

export interface TurnsOptions {
  /** Must not throw: what could not be done now is told, and done in a later turn. */
  readonly turn: (signal: AbortSignal) => Promise<void>
  /** From the end of one turn to the beginning of the next. */
  readonly pauseMs: number
  /** Before the first one. */
  readonly beginsAfterMs?: number
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
}

/** Work that comes again and again beside what a service is asked for. */
export class Turns {
  readonly #stopping = new AbortController()
  readonly #ended: Promise<void>

  constructor({ signal, ...options }: TurnsOptions) {
    const ending = AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal])])
    this.#ended = run(options, ending)
  }

  /** Ends it after the step that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#ended
  }
}

async function run(
  { turn, pauseMs, beginsAfterMs = 0, clock }: Omit<TurnsOptions, 'signal'>,
  signal: AbortSignal,
): Promise<void> {
  const sleep = async (ms: number): Promise<void> => {
    if (signal.aborted) return
    await clock.sleep(ms, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
  if (beginsAfterMs > 0) await sleep(beginsAfterMs)
  while (!signal.aborted) {
    await turn(signal)
    await sleep(pauseMs)
  }
}
