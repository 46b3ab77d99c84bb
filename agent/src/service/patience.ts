import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { serviceRetryDelayMsMax, serviceRetryFirstDelayMs } from '@strata/shared/limits.ts'

export interface PatienceOptions {
  readonly clock: Clock
  readonly random: RandomBytes
  readonly signal?: AbortSignal | undefined
  readonly onWait?: ((error: StrataError, delayMs: number) => void) | undefined
  readonly outageMsMax: number
}

/**
 * How long one request is tried: a service that is away, for `outageMsMax`; one that is there and says "later", for as
 * long as it says so, since then it is the service that decides.
 */
export class Patience {
  readonly #options: PatienceOptions
  #failed = 0
  #awaySinceMs: number | undefined

  constructor(options: PatienceOptions) {
    this.#options = options
  }

  /** Waits before the next try, or throws when there is none. */
  async after(error: unknown): Promise<void> {
    const { clock, signal, onWait, outageMsMax } = this.#options
    if (!(error instanceof StrataError) || error.kind !== 'transient' || signal?.aborted === true) throw error
    // A request within another one was patient for both.
    if (waitedOut.has(error)) throw error
    this.#failed += 1
    if (hasCode(error, 'E_SERVICE_BUSY')) {
      this.#awaySinceMs = undefined
    } else {
      this.#awaySinceMs ??= clock.monotonicMs()
      const awayMs = clock.monotonicMs() - this.#awaySinceMs
      if (awayMs > outageMsMax) throw afterAll(error, awayMs)
    }
    const delayMs = this.#delayMs(error)
    onWait?.(error, delayMs)
    await this.#sleep(delayMs)
  }

  /** At least what the service asks for; else longer each time, and never the same for all agents. */
  #delayMs({ details }: StrataError): number {
    const wanted = details?.['retryAfterMs']
    const { random } = this.#options
    const share = new DataView(Uint8Array.from(random(4)).buffer).getUint32(0) / 2 ** 32
    const longestMs = Math.min(serviceRetryDelayMsMax, serviceRetryFirstDelayMs * 2 ** Math.min(this.#failed - 1, 20))
    return Math.round(
      typeof wanted === 'number' ? wanted + share * serviceRetryFirstDelayMs : longestMs * (0.5 + share / 2),
    )
  }

  async #sleep(delayMs: number): Promise<void> {
    const { clock, signal } = this.#options
    try {
      await clock.sleep(delayMs, signal)
    } catch (error) {
      const reason: unknown = signal?.reason
      throw reason instanceof StrataError ? reason : error
    }
  }
}

/** Errors of services that were waited for as long as anybody may. */
const waitedOut = new WeakSet<StrataError>()

function afterAll(error: StrataError, awayMs: number): StrataError {
  const message = `${error.message} (for ${String(Math.round(awayMs / 1000))} s)`
  const ended = new StrataError(error.code, message, { cause: error, hint: error.hint })
  waitedOut.add(ended)
  return ended
}
