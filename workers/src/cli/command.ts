import type { Command } from 'commander'
import type { Context, ExitCode } from './context.ts'

/** What a command does once the command line is understood. */
export type Work = (context: Context) => Promise<ExitCode>

/** Runs a command's work with all that it needs, and tells its errors. */
export type Run = (command: Command, work: Work) => Promise<void>

export const tenantOption = [
  '--tenant <id|name>',
  'which tenant, where the keyring is lost and the secret opens several',
] as const
