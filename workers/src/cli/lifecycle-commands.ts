import type { Command } from 'commander'
import { tenantOption, type Run } from './command.ts'
import type { LifecycleOptions } from './commands/lifecycle.ts'
import { lifecycleHelp } from './help-lifecycle.ts'

/** The rules by which a bucket deletes and moves objects by itself. */
export function addLifecycleCommands(program: Command, run: Run): void {
  const lifecycle = program
    .command('lifecycle')
    .description('the rules by which the bucket itself deletes what is retired')
    .addHelpText('after', lifecycleHelp)
  addStep(lifecycle, run, 'plan', 'show what the rules should be, and change nothing')
  addStep(lifecycle, run, 'apply', 'make the rules what they should be')
  addStep(lifecycle, run, 'check', 'exit with 0 only if they are, and no other rule can do harm')
}

function addStep(lifecycle: Command, run: Run, step: 'plan' | 'apply' | 'check', description: string): void {
  lifecycle
    .command(step)
    .description(description)
    .option('--staging [url]', 'of the staging area, and not of the store (or STRATA_STAGING)')
    .option(...tenantOption)
    .addHelpText('after', lifecycleHelp)
    .action((options: LifecycleOptions, command: Command) =>
      run(command, async (context) => {
        const { lifecycle: work } = await import('./commands/lifecycle.ts')
        return await work(context, step, options)
      }),
    )
}
