import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { StrataError } from '@strata/shared/errors.ts'
import { parseBandwidth } from './input/bandwidth.ts'

/** No program that is started gets these. */
export const secretVariables = ['STRATA_PASSPHRASE', 'STRATA_NEW_PASSPHRASE', 'STRATA_RECOVERY_KEY'] as const

/** Options that every command takes, as the command line gives them. */
export interface GlobalOptions {
  readonly store?: string
  readonly keyring?: string
  readonly state?: string
  readonly keyFile?: string
  readonly recoveryKey?: boolean
  readonly bandwidthLimit?: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Where everything is, after options and environment are put together: an option wins. */
export interface Settings {
  readonly storeUrl: string | undefined
  /** Absolute, as all paths here. */
  readonly stateDirectory: string
  readonly keyringPath: string
  readonly keyFilePath: string | undefined
  readonly passphrase: string | undefined
  /** What `strata key passphrase` changes it to. */
  readonly newPassphrase: string | undefined
  /** As it was copied from a recovery sheet. */
  readonly recoveryKey: string | undefined
  readonly asksForRecoveryKey: boolean
  readonly redisUrl: string | undefined
  /** Where agents put segments on their way to the service. */
  readonly stagingUrl: string | undefined
  readonly handOverDirectory: string | undefined
  /** What tells this machine from others, where the system does not. */
  readonly machineId: string | undefined
  /** A table of prices other than the one that comes along. */
  readonly pricesPath: string | undefined
  /** Between this machine and the store, each way. */
  readonly bytesPerSecondMax: number | undefined
}

/** An empty variable counts as none, as a script that fills it from somewhere means it. */
export function settingsFrom(options: GlobalOptions, env: Environment): Settings {
  const variable = (name: string): string | undefined => (env[name] === '' ? undefined : env[name])
  const path = (value: string | undefined): string | undefined => (value === undefined ? undefined : resolve(value))
  const stateDirectory = path(options.state ?? variable('STRATA_STATE')) ?? defaultStateDirectory(variable)
  return {
    storeUrl: options.store ?? variable('STRATA_STORE'),
    stateDirectory,
    keyringPath: path(options.keyring ?? variable('STRATA_KEYRING')) ?? join(stateDirectory, 'keyring.json'),
    keyFilePath: path(options.keyFile ?? variable('STRATA_KEY_FILE')),
    passphrase: variable('STRATA_PASSPHRASE'),
    newPassphrase: variable('STRATA_NEW_PASSPHRASE'),
    recoveryKey: variable('STRATA_RECOVERY_KEY'),
    asksForRecoveryKey: options.recoveryKey === true,
    redisUrl: variable('STRATA_REDIS_URL'),
    stagingUrl: variable('STRATA_STAGING'),
    machineId: variable('STRATA_MACHINE_ID'),
    handOverDirectory: path(variable('STRATA_HANDOVER_DIR')),
    pricesPath: path(variable('STRATA_PRICES')),
    bytesPerSecondMax: bandwidthFrom(options.bandwidthLimit, variable('STRATA_BANDWIDTH_LIMIT')),
  }
}

function bandwidthFrom(option: string | undefined, ofEnvironment: string | undefined): number | undefined {
  if (option !== undefined) return parseBandwidth(option, 'E_USAGE', '--bandwidth-limit')
  if (ofEnvironment === undefined) return undefined
  return parseBandwidth(ofEnvironment, 'E_CONFIGURATION', 'STRATA_BANDWIDTH_LIMIT')
}

export function requireStoreUrl({ storeUrl }: Settings): string {
  if (storeUrl !== undefined) return storeUrl
  throw new StrataError('E_USAGE', 'no store was given', { hint: 'Pass --store URL, or set STRATA_STORE.' })
}

/** As the XDG base directory specification has it: state that persists and is not worth carrying to other machines. */
function defaultStateDirectory(variable: (name: string) => string | undefined): string {
  const base = variable('XDG_STATE_HOME')
  return join(base === undefined ? join(homedir(), '.local', 'state') : resolve(base), 'strata')
}
