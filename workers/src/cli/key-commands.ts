import type { Command } from 'commander'
import { tenantOption, type Run } from './command.ts'
import type { KeyDestroyOptions } from './commands/key-destroy.ts'
import type { KeySheetOptions } from './commands/key-sheet.ts'
import type { KeyOptions } from './commands/key.ts'
import {
  keyAddHelp,
  keyDestroyHelp,
  keyHelp,
  keyPassphraseHelp,
  keyRemoveHelp,
  keyRotateHelp,
  keySheetHelp,
  keyShowHelp,
} from './help-key.ts'

/** The commands for a tenant's keys. */
export function addKeyCommands(program: Command, run: Run): void {
  const key = program
    .command('key')
    .description("a tenant's keys: what opens them, and changing them")
    .addHelpText('after', keyHelp)
  addKeyShow(key, run)
  addKeyPassphrase(key, run)
  addKeyAdd(key, run)
  addKeyRemove(key, run)
  addKeyRotate(key, run)
  addKeySheet(key, run)
  addKeyDestroy(key, run)
}

function addKeyDestroy(key: Command, run: Run): void {
  key
    .command('destroy')
    .description('make everything of a tenant unreadable for ever: two people, and a delay')
    .option('--request', 'the first person asks for it')
    .option('--delay <duration>', 'from the request to the end, 7d to 366d', '30d')
    .option('--confirm', 'the second person agrees, with another way to open the tenant')
    .option('--cancel', 'anybody who can open the tenant takes it back')
    .option('--execute', 'do it, when it is due')
    .option('--tenant <id|name>', 'which tenant; needed for each step')
    .addHelpText('after', keyDestroyHelp)
    .action((options: KeyDestroyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyDestroy } = await import('./commands/key-destroy.ts')
        return await keyDestroy(context, options)
      }),
    )
}

function addKeyShow(key: Command, run: Run): void {
  key
    .command('show')
    .description('show what the tenant opens with')
    .option(...tenantOption)
    .addHelpText('after', keyShowHelp)
    .action((options: KeyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyShow } = await import('./commands/key.ts')
        return await keyShow(context, options)
      }),
    )
}

function addKeyPassphrase(key: Command, run: Run): void {
  key
    .command('passphrase')
    .description('change the passphrase, or give the tenant one')
    .option(...tenantOption)
    .addHelpText('after', keyPassphraseHelp)
    .action((options: KeyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyPassphrase } = await import('./commands/key.ts')
        return await keyPassphrase(context, options)
      }),
    )
}

function addKeyAdd(key: Command, run: Run): void {
  key
    .command('add')
    .description('another way to open the tenant, or another secret for one')
    .argument('<way>', 'key-file:PATH, aws:KEY or azure:URL')
    .option(...tenantOption)
    .addHelpText('after', keyAddHelp)
    .action((way: string, options: KeyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyAdd } = await import('./commands/key.ts')
        return await keyAdd(context, way, options)
      }),
    )
}

function addKeyRemove(key: Command, run: Run): void {
  key
    .command('remove')
    .description('one way less to open the tenant')
    .argument('<way>', 'passphrase, key-file, recovery-sheet, aws or azure')
    .option(...tenantOption)
    .addHelpText('after', keyRemoveHelp)
    .action((way: string, options: KeyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyRemove } = await import('./commands/key.ts')
        return await keyRemove(context, way, options)
      }),
    )
}

function addKeyRotate(key: Command, run: Run): void {
  key
    .command('rotate')
    .description('new keys for all that is stored from now on')
    .option(...tenantOption)
    .addHelpText('after', keyRotateHelp)
    .action((options: KeyOptions, command: Command) =>
      run(command, async (context) => {
        const { keyRotate } = await import('./commands/key-rotate.ts')
        return await keyRotate(context, options)
      }),
    )
}

function addKeySheet(key: Command, run: Run): void {
  key
    .command('sheet')
    .description('a page to print that opens the tenant, with nothing but the store')
    .option('--to <file>', 'where to write it, instead of standard output')
    .option(...tenantOption)
    .addHelpText('after', keySheetHelp)
    .action((options: KeySheetOptions, command: Command) =>
      run(command, async (context) => {
        const { keySheet } = await import('./commands/key-sheet.ts')
        return await keySheet(context, options)
      }),
    )
}
