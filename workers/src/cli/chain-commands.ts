import { Option, type Command } from 'commander'
import { StrataError } from '@strata/shared/errors.ts'
import { tenantOption, type Run } from './command.ts'
import type { CatalogOptions } from './commands/catalog.ts'
import type { CopyOptions } from './commands/copy.ts'
import type { CostOptions } from './commands/cost.ts'
import type { HoldOptions } from './commands/hold.ts'
import type { LockCheckCommandOptions } from './commands/lock-check.ts'
import type { PruneCommandOptions } from './commands/prune.ts'
import type { SynthOptions } from './commands/synth.ts'
import type { GlobalOptions } from './settings.ts'
import { catalogHelp, copyHelp, costHelp, holdHelp, lockHelp, pruneHelp, synthHelp } from './help-chains.ts'

/** The commands that keep chains in order. */
export function addChainCommands(program: Command, run: Run): void {
  addSynth(program, run)
  addPrune(program, run)
  addCopy(program, run)
  const hold = program
    .command('hold')
    .description('keep points whatever the policy says')
    .addHelpText('after', holdHelp)
  addHoldCommands(hold, run)
  addLock(program, run)
  addCatalog(program, run)
  addCost(program, run)
}

function addLock(program: Command, run: Run): void {
  program
    .command('lock')
    .description('locks that nobody can delete points through')
    .addHelpText('after', lockHelp)
    .command('check')
    .description('prove that everything behind the points is locked')
    .option('--set <name>', 'only of this set')
    .option(...tenantOption)
    .addHelpText('after', lockHelp)
    .action((options: LockCheckCommandOptions, command: Command) =>
      run(command, async (context) => {
        const { lockCheck } = await import('./commands/lock-check.ts')
        return await lockCheck(context, options)
      }),
    )
}

function addCatalog(program: Command, run: Run): void {
  program
    .command('catalog')
    .description('the catalogue of the points: a copy of what their manifests say')
    .addHelpText('after', catalogHelp)
    .command('rebuild')
    .description('make up for what it does not have')
    .option(...tenantOption)
    .addHelpText('after', catalogHelp)
    .action((options: CatalogOptions, command: Command) =>
      run(command, async (context) => {
        const { catalogRebuild } = await import('./commands/catalog.ts')
        return await catalogRebuild(context, options)
      }),
    )
}

function addSynth(program: Command, run: Run): void {
  program
    .command('synth')
    .description('make a full out of what is stored, and begin a new chain with it')
    .requiredOption('--set <name>', 'of this set')
    .option(...tenantOption)
    .addHelpText('after', synthHelp)
    .action((options: SynthOptions, command: Command) =>
      run(command, async (context) => {
        const { synth } = await import('./commands/synth.ts')
        return await synth(context, options)
      }),
    )
}

function addPrune(program: Command, run: Run): void {
  program
    .command('prune')
    .description('let go what the policy keeps no more')
    .option('--set <name>', 'only of this set')
    .addOption(new Option('--dry-run', 'show what would go, and change nothing').conflicts('undo'))
    .option('--undo', 'take the marks back that earlier runs have made')
    .option(...tenantOption)
    .addHelpText('after', pruneHelp)
    .action((options: PruneCommandOptions, command: Command) =>
      run(command, async (context) => {
        const { prune } = await import('./commands/prune.ts')
        return await prune(context, options)
      }),
    )
}

function addCopy(program: Command, run: Run): void {
  program
    .command('copy')
    .description('bring points into another store: whoever has the key restores from it')
    .option('--to <url>', 'this store (default: those that the policy names as copies)')
    .option('--set <name>', 'only of this set')
    .option(...tenantOption)
    .addHelpText('after', copyHelp)
    .action((options: CopyOptions, command: Command) =>
      run(command, async (context) => {
        const { copy } = await import('./commands/copy.ts')
        return await copy(context, options)
      }),
    )
}

function addCost(program: Command, run: Run): void {
  program
    .command('cost')
    .description('what the store has cost in a month, and what it will cost')
    .option('--month <month>', 'this one, as 2026-11 (default: the one that is going on)')
    .option('--set <name>', 'only of this set')
    .option('--forecast [file]', 'also the months to come, under the policy in force or that of a file')
    .option('--months <count>', 'how many of them (default: 12)')
    .option('--same-region', 'nothing that is read leaves the region of the store')
    .option('--csv', 'as a table for spreadsheets')
    .option(...tenantOption)
    .addHelpText('after', costHelp)
    .action((options: CostOptions, command: Command) =>
      run(command, async (context) => {
        if (options.csv === true && command.optsWithGlobals<GlobalOptions>().json === true) {
          throw new StrataError('E_USAGE', 'give either --csv or --json')
        }
        const { cost } = await import('./commands/cost.ts')
        return await cost(context, options)
      }),
    )
}

function addHoldCommands(hold: Command, run: Run): void {
  hold
    .command('add')
    .description('hold a point, or a set with all that will be backed up of it')
    .argument('[point]', "a point's id, or latest:SET")
    .option('--set <name>', 'the whole set')
    .option('--endpoint <name>', 'every set of this endpoint')
    .option('--note <text>', 'why')
    .option('--lock', 'also in the store: a legal hold on everything behind the point')
    .option(...tenantOption)
    .addHelpText('after', holdHelp)
    .action((point: string | undefined, options: HoldOptions, command: Command) =>
      run(command, async (context) => {
        const { addHold } = await import('./commands/hold.ts')
        return await addHold(context, point, options)
      }),
    )
  hold
    .command('remove')
    .description('let the policy decide again')
    .argument('[point]', "a point's id, or latest:SET")
    .option('--set <name>', 'the hold on the whole set')
    .option('--endpoint <name>', 'those on the sets of this endpoint')
    .option('--lock', 'take the legal holds away, too')
    .option(...tenantOption)
    .addHelpText('after', holdHelp)
    .action((point: string | undefined, options: HoldOptions, command: Command) =>
      run(command, async (context) => {
        const { removeHold } = await import('./commands/hold.ts')
        return await removeHold(context, point, options)
      }),
    )
  hold
    .command('list')
    .description('list what is held')
    .option('--set <name>', 'only of this set')
    .option(...tenantOption)
    .addHelpText('after', holdHelp)
    .action((options: HoldOptions, command: Command) =>
      run(command, async (context) => {
        const { listHolds } = await import('./commands/hold.ts')
        return await listHolds(context, options)
      }),
    )
}
