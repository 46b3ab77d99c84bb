import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { PromptTerminal } from './input/prompt.ts'
import type { Reporter } from './output/reporter.ts'
import type { Environment, Settings } from './settings.ts'

/** What a command works with. Put together once, in main.ts; nothing below reaches for the process itself. */
export interface Context {
  readonly settings: Settings
  readonly reporter: Reporter
  readonly clock: Clock
  readonly random: RandomBytes
  /** Without secrets: programs that are started get this. */
  readonly env: Environment
  readonly workingDirectory: string
  readonly hostName: string
  /** Aborted, with the reason, when the run is interrupted. */
  readonly signal: AbortSignal
  /** Where a person can be asked for something; undefined without a terminal. */
  readonly terminal: PromptTerminal | undefined
}

/** What a command ends with when it did not throw. */
export const exitCodes = {
  success: 0,
  failure: 1,
  usage: 2,
  /** `verify` found damage, `restore --allow-damaged` left something out, `lock check` found what is not locked. */
  damage: 3,
  /** 128 + SIGINT, as a shell has it; main.ts has other signals. */
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Ends a command that was interrupted, between two steps that cannot be. */
export function stopIfInterrupted(signal: AbortSignal): void {
  if (!signal.aborted) return
  throw signal.reason instanceof StrataError ? signal.reason : new StrataError('E_INTERRUPTED', 'interrupted')
}
