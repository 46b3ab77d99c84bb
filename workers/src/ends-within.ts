import type { Clock } from '@strata/shared/clock.ts'

/**
 * Waits for `work`, but not longer than `msMax`: says whether it ended. What it fails with is thrown; what comes of it
 * after that time is nobody's concern.
 */
export async function endsWithin(clock: Clock, msMax: number, work: Promise<unknown>): Promise<boolean> {
  const over = new AbortController()
  work.catch(() => undefined)
  const late = clock.sleep(msMax, over.signal).then(() => false)
  late.catch(() => undefined)
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    over.abort()
  }
}
