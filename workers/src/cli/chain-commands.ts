import type { Command } from 'commander'
import { tenantOption, type Run } from './command.ts'
import type { SynthOptions } from './commands/synth.ts'
import { synthHelp } from './help-chains.ts'

/** The commands that keep chains in order. */
export function addChainCommands(program: Command, run: Run): void {
  addSynth(program, run)
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
