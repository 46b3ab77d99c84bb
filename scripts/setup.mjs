/** `node scripts/setup.mjs [TASK|PART]…`: brings a fresh machine to where a task of the project can run. */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureSystemParts } from './setup/debian.mjs'
import { ensureNodeModules } from './setup/node-modules.mjs'
import { parts, tasks } from './setup/requirements.mjs'
import { say, SetupError } from './setup/say.mjs'
import { whileAlone } from './setup/while-alone.mjs'

const help = `usage: node scripts/setup.mjs [--dry-run] [TASK|PART]…

Installs what is missing for the named tasks or parts, and the npm packages. Debian packages are
installed with apt-get, as root or through sudo; no service is started or enabled. What is there
already is left as it is. On other systems it names what is missing. Without a name: check.

  --dry-run   only say what is missing; exit 1 if anything is

tasks
${Object.entries(tasks)
  .map(([task, names]) => `  ${task.padEnd(16)} ${names.join(', ')}`)
  .join('\n')}

parts
${Object.entries(parts)
  .map(([name, { purpose, requirements }]) => {
    const packages = requirements.map(({ debianPackage }) => debianPackage)
    return `  ${name.padEnd(16)} needed to ${purpose}\n${' '.repeat(19)}${packages.join(' ')}`
  })
  .join('\n')}
`

/**
 * @param {readonly string[]} names tasks or parts
 * @param {{ dryRun?: boolean }} [options]
 * @throws {SetupError} when something required is missing and cannot be had
 */
export async function setUp(names, { dryRun = false } = {}) {
  const partNames = new Set(names.flatMap((name) => tasks[name] ?? [name]))
  const wanted = Object.fromEntries([...partNames].map((name) => [name, partByName(name)]))
  const strict = process.env['CI'] === 'true' || dryRun
  const ensure = () => {
    ensureSystemParts(wanted, { strict, dryRun })
    ensureNodeModules({ dryRun })
  }
  if (dryRun) ensure()
  else await whileAlone(ensure)
}

/** @param {string} name */
function partByName(name) {
  const part = parts[name]
  if (part === undefined) {
    const known = [...Object.keys(tasks), ...Object.keys(parts)].join(', ')
    throw new SetupError(`there is no task or part named ${name}; there are ${known}`)
  }
  return part
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, 'dry-run': { type: 'boolean' } },
  })
  if (values.help === true) {
    process.stdout.write(help)
    return
  }
  const names = positionals.length === 0 ? ['check'] : positionals
  await setUp(names, { dryRun: values['dry-run'] === true })
  say(`ready for ${names.join(', ')}`)
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().catch((/** @type {unknown} */ error) => {
    if (error instanceof SetupError) say(error.message)
    else console.error(error)
    process.exitCode = 1
  })
}
