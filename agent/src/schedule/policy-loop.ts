import type { Clock } from '@strata/shared/clock.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { policyAskedIntervalMs, runAttemptsMax, runRetryDelayMs } from '@strata/shared/limits.ts'
import type { OfferedPolicy, ScheduledRun, ScheduleKeeper } from './schedule-keeper.ts'

export interface PolicyLoopOptions {
  readonly keeper: Pick<ScheduleKeeper, 'runs' | 'take'>
  /** Asks the service for the policy; null when there is none. */
  readonly askPolicy: () => Promise<OfferedPolicy | null>
  /** One backup. */
  readonly backUp: (run: ScheduledRun) => Promise<void>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Hears of a policy that could not be had or understood: the last one is kept to. */
  readonly onPolicyProblem: (error: StrataError) => void
  /** Hears of a run that failed, and in how many ms it is tried again; undefined: with the next scheduled time. */
  readonly onRunFailure: (error: StrataError, againInMs: number | undefined) => void
}

/**
 * Backs up by the policy's schedule until it is interrupted: asks for the policy now and then, and keeps to the last one
 * while there is nobody to ask. What may pass is tried again a few times before the next scheduled time is waited for.
 */
export async function runByPolicy(options: PolicyLoopOptions): Promise<void> {
  const { keeper, signal } = options
  const ending = new AbortController()
  const over = AbortSignal.any([signal, ending.signal])
  await askOnce(options)
  const asking = askNowAndThen(options, over)
  try {
    for await (const run of keeper.runs(signal)) await untilDone(options, run)
  } finally {
    ending.abort()
    await asking
  }
}

async function untilDone(options: PolicyLoopOptions, run: ScheduledRun): Promise<void> {
  const { backUp, clock, signal, onRunFailure } = options
  for (let attempt = 1; ; attempt += 1) {
    try {
      await backUp(run)
      return
    } catch (error) {
      const known = toStrataError(error)
      if (signal.aborted) throw known
      const isLast = known.kind !== 'transient' || attempt === runAttemptsMax
      onRunFailure(known, isLast ? undefined : runRetryDelayMs)
      if (isLast) return
      await clock.sleep(runRetryDelayMs, signal)
    }
  }
}

async function askNowAndThen(options: PolicyLoopOptions, over: AbortSignal): Promise<void> {
  while (await slept(options.clock, over)) await askOnce(options)
}

/** False: it is over. */
async function slept(clock: Clock, over: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(policyAskedIntervalMs, over)
    return true
  } catch (error) {
    if (over.aborted) return false
    throw error
  }
}

async function askOnce({ keeper, askPolicy, onPolicyProblem, signal }: PolicyLoopOptions): Promise<void> {
  try {
    const offered = await askPolicy()
    if (offered !== null) keeper.take(offered)
  } catch (error) {
    if (!signal.aborted) onPolicyProblem(toStrataError(error))
  }
}
