import { Command, CommanderError, Option } from 'commander'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { thawSpeeds } from '@strata/shared/store/archive/archive-access.ts'
import manifest from '../../package.json' with { type: 'json' }
import { addChainCommands } from './chain-commands.ts'
import { tenantOption, type Run, type Work } from './command.ts'
import type { BackupCommandOptions } from './commands/backup.ts'
import type { InitOptions } from './commands/init.ts'
import type { MountOptions } from './commands/mount.ts'
import type { OverlayOptions } from './commands/overlay.ts'
import type { PointsOptions } from './commands/points.ts'
import type { RestoreCommandOptions } from './commands/restore.ts'
import type { VerifyCommandOptions } from './commands/verify-ways.ts'
import { exitCodes, type Context, type ExitCode } from './context.ts'
import {
  backupHelp,
  initHelp,
  mountHelp,
  overlayHelp,
  pointsHelp,
  programHelp,
  restoreHelp,
  verifyHelp,
} from './help.ts'
import { addKeyCommands } from './key-commands.ts'
import { addLifecycleCommands } from './lifecycle-commands.ts'
import { Reporter, type ReporterOptions } from './output/reporter.ts'
import { addRegistryCommands } from './registry-commands.ts'
import { addServiceCommands } from './service-commands.ts'
import { secretVariables, settingsFrom, type Environment, type GlobalOptions } from './settings.ts'

/** What the process gives to a run. */
export type ProgramParts = Omit<Context, 'settings' | 'reporter'> & Pick<ReporterOptions, 'stdout' | 'stderr'>

/**
 * Runs one command line and gives the exit code; errors are told, not thrown.
 *
 * Each command's module is loaded when it is run: the store's SDKs, the queue and the add-ons would cost `strata points`
 * most of its time.
 */
export async function runProgram(argv: readonly string[], parts: ProgramParts): Promise<ExitCode> {
  let code: ExitCode = exitCodes.success
  const program = buildProgram(parts, async (command, work) => {
    code = await runCommand(command.optsWithGlobals<GlobalOptions>(), parts, work)
  })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return exitCodes.success
    return refuse(error, argv, parts)
  }
}

async function runCommand(options: GlobalOptions, parts: ProgramParts, work: Work): Promise<ExitCode> {
  const reporter = reporterFor(options, parts)
  const onAbort = (): void => {
    reporter.note('strata: interrupted, ending cleanly; once more ends at once')
  }
  parts.signal.addEventListener('abort', onAbort)
  try {
    return await work({
      ...parts,
      env: withoutSecrets(parts.env),
      reporter,
      settings: settingsFrom(options, parts.env),
    })
  } catch (error) {
    const thrown = toStrataError(error)
    const known = parts.signal.aborted ? interruption(thrown, parts.signal) : thrown
    reporter.failure(known)
    return exitCodeOf(known)
  } finally {
    parts.signal.removeEventListener('abort', onAbort)
  }
}

function withoutSecrets(env: Environment): Environment {
  const secrets: readonly string[] = secretVariables
  return Object.fromEntries(Object.entries(env).filter(([name]) => !secrets.includes(name)))
}

function exitCodeOf({ code }: StrataError): ExitCode {
  if (code === 'E_USAGE') return exitCodes.usage
  return code === 'E_INTERRUPTED' ? exitCodes.interrupted : exitCodes.failure
}

/** Whatever broke while the run was being ended, the reason is that it was interrupted. */
function interruption(error: StrataError, { reason }: AbortSignal): StrataError {
  if (error.code === 'E_INTERRUPTED') return error
  return new StrataError('E_INTERRUPTED', reason instanceof StrataError ? reason.message : 'interrupted', {
    cause: error,
  })
}

/** Commander's own refusals, in our form. Bare `strata` has shown its help already. */
function refuse(error: CommanderError, argv: readonly string[], parts: ProgramParts): ExitCode {
  const json = argv.includes('--json')
  if (error.code === 'commander.help' && !json) return exitCodes.usage
  const message = error.code === 'commander.help' ? 'no command was given' : error.message.replace(/^error: /, '')
  reporterFor({ json }, parts).failure(new StrataError('E_USAGE', message.replaceAll('\n', ' ')))
  return exitCodes.usage
}

function reporterFor(options: GlobalOptions, parts: ProgramParts): Reporter {
  const { stdout, stderr, env, clock } = parts
  const { json = false, quiet = false, verbose = false } = options
  return new Reporter({ stdout, stderr, env, clock, json, quiet, verbose })
}

function buildProgram(parts: ProgramParts, run: Run): Command {
  const program = new Command('strata')
    .description('Image backup on object storage: complete points or none, sealed before they leave the machine.')
    .version(manifest.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => parts.stdout.write(text),
      writeErr: (text) => parts.stderr.write(text),
      // Errors are told in our own form, after they were thrown.
      outputError: () => undefined,
      getOutHelpWidth: () => parts.stdout.columns ?? helpColumns,
      getErrHelpWidth: () => parts.stderr.columns ?? helpColumns,
    })
    .configureHelp({ showGlobalOptions: true })
    .option('--store <url>', 'the store (or STRATA_STORE)')
    .option('--keyring <path>', 'the keyring (or STRATA_KEYRING)')
    .option('--state <directory>', 'state of this machine (or STRATA_STATE)')
    .option('--key-file <path>', "the tenant's key file (or STRATA_KEY_FILE)")
    .option('--recovery-key', 'ask for the key on a recovery sheet (or STRATA_RECOVERY_KEY)')
    .option('--bandwidth-limit <rate>', 'bytes a second to and from the store, such as 10M (or STRATA_BANDWIDTH_LIMIT)')
    .option('--json', 'one JSON document on standard output')
    .option('-q, --quiet', 'no progress and no remarks, only results, warnings and errors')
    .option('-v, --verbose', 'also what the parts of the program say, and causes of errors')
    .addHelpText('after', programHelp)
  addInit(program, run)
  addBackup(program, run)
  addPoints(program, run)
  addRestore(program, run)
  addMount(program, run)
  addOverlay(program, run)
  addVerify(program, run)
  addChainCommands(program, run)
  addKeyCommands(program, run)
  addLifecycleCommands(program, run)
  addRegistryCommands(program, run)
  addServiceCommands(program, run)
  return program
}

const helpColumns = 80

function addInit(program: Command, run: Run): void {
  program
    .command('init')
    .description('create repository, tenant and keyring (never overwrites)')
    .option('--tenant <name>', "the tenant's name", 'default')
    .option('--kms <key>', 'a key that opens it: aws:ARN, aws:alias/NAME or azure:https://VAULT/keys/NAME/VERSION')
    .addHelpText('after', initHelp)
    .action((options: InitOptions, command: Command) =>
      run(command, async (context) => {
        const { init } = await import('./commands/init.ts')
        return await init(context, options)
      }),
    )
}

function addBackup(program: Command, run: Run): void {
  program
    .command('backup')
    .description('back up disks as one point')
    .argument('<source...>', 'image file or block device: PATH or NAME=PATH')
    .option('--set <name>', "the set's name (default: the name of this machine)")
    .addOption(new Option('--full', 'start a new chain').conflicts('differential'))
    .option('--differential', "build on the chain's full, not on the last point")
    .option('--block-size <size>', 'for a new chain: 64K to 4M, a power of two (default: 256K, or what the disk needs)')
    .option('--allow-changing', 'keep a point of disks that change while they are read, marked as such')
    .option(...tenantOption)
    .addHelpText('after', backupHelp)
    .action((sources: string[], options: BackupCommandOptions, command: Command) =>
      run(command, async (context) => {
        const { backup } = await import('./commands/backup.ts')
        return await backup(context, sources, options)
      }),
    )
}

function addPoints(program: Command, run: Run): void {
  program
    .command('points')
    .description('list the points there are')
    .option('--set <name>', 'only those of this set')
    .option('--all', 'also those that retention has let go')
    .option(...tenantOption)
    .addHelpText('after', pointsHelp)
    .action((options: PointsOptions, command: Command) =>
      run(command, async (context) => {
        const { points } = await import('./commands/points.ts')
        return await points(context, options)
      }),
    )
}

function addRestore(program: Command, run: Run): void {
  program
    .command('restore')
    .description('write a disk of a point to a file or device')
    .argument('<point[:disk]>', "a point's id, or latest:SET; and which of its disks")
    .requiredOption('--to <path>', 'file or block device to write')
    .addOption(new Option('--format <format>', 'of the file').choices(['raw']).default('raw'))
    .addOption(
      new Option('--thaw [speed]', 'ask for what lies in an archive class, so that a later run can read it')
        .choices(thawSpeeds)
        .preset('standard'),
    )
    .option('--force', 'overwrite a file, or a device that is in use or too small')
    .option('--allow-damaged', 'go on past damage: lost blocks become zeros and are listed, exit code 3')
    .option(...tenantOption)
    .addHelpText('after', restoreHelp)
    .action((point: string, options: RestoreCommandOptions, command: Command) =>
      run(command, async (context) => {
        const { restore } = await import('./commands/restore.ts')
        return await restore(context, point, options)
      }),
    )
}

function addMount(program: Command, run: Run): void {
  program
    .command('mount')
    .description('serve a disk of a point over NBD, until it is interrupted')
    .argument('<point[:disk]>', "a point's id, or latest:SET; and which of its disks")
    .option('--socket <path>', 'a socket in the file system, for this user of this machine')
    .option('--port <number>', 'a TCP port; 0: any free one')
    .option('--host <address>', 'with --port: where to listen', '127.0.0.1')
    .option('--writable', 'take what clients write, beside the point, and throw it away at the end')
    .option('--overlay <directory>', 'keep what they write there, and go on with it next time')
    .option('--tls-cert <path>', 'certificate of the server, PEM: nobody is served without TLS then')
    .option('--tls-key <path>', 'its private key, PEM')
    .option('--tls-client-ca <path>', 'serve only clients with a certificate of these authorities, PEM')
    .addOption(
      new Option('--thaw [speed]', 'ask for what lies in an archive class, so that a later run can read it')
        .choices(thawSpeeds)
        .preset('standard'),
    )
    .option(...tenantOption)
    .addHelpText('after', mountHelp)
    .action((point: string, options: MountOptions, command: Command) =>
      run(command, async (context) => {
        const { mount } = await import('./commands/mount.ts')
        return await mount(context, point, options)
      }),
    )
}

function addOverlay(program: Command, run: Run): void {
  program
    .command('overlay')
    .description('what clients have written to a mount')
    .addHelpText('after', overlayHelp)
    .command('commit')
    .description('make a point of it, built on the one that was mounted')
    .argument('<directory>', 'the overlay, as it was given to strata mount --overlay')
    .option(...tenantOption)
    .addHelpText('after', overlayHelp)
    .action((directory: string, options: OverlayOptions, command: Command) =>
      run(command, async (context) => {
        const { overlayCommit } = await import('./commands/overlay.ts')
        return await overlayCommit(context, directory, options)
      }),
    )
}

function addVerify(program: Command, run: Run): void {
  program
    .command('verify')
    .description('read points back and check every block')
    .argument('[point]', "a point's id, or latest:SET")
    .option('--all', 'every point there is')
    .addOption(new Option('--rolling', 'what is due, without the passphrase').conflicts('all'))
    .addOption(new Option('--report', 'what was verified, and what it found, signed').conflicts(['all', 'rolling']))
    .addOption(new Option('--from <day>', 'of the report: from this day on, in UTC (default: 30 days before)'))
    .addOption(new Option('--to <day>', 'of the report: up to the beginning of this day (default: now)'))
    .addOption(
      new Option('--check-report <file>', 'whether a report is as it was signed').conflicts([
        'all',
        'rolling',
        'report',
      ]),
    )
    .addOption(new Option('--report-key <hex>', 'the key that it must be signed with (default: as the store has it)'))
    .option(...tenantOption)
    .addHelpText('after', verifyHelp)
    .action((point: string | undefined, options: VerifyCommandOptions, command: Command) =>
      run(command, async (context) => {
        const { chooseVerification } = await import('./commands/verify-ways.ts')
        return await chooseVerification(context, point, options)
      }),
    )
}
