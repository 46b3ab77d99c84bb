/** `node scripts/run.mjs TASK [ARGUMENT…]`: sets up what the task needs, then runs it on the pinned Node. */
import { runPinnedNode } from './pinned-node.mjs'
import { setUp } from './setup.mjs'
import { say, SetupError } from './setup/say.mjs'

/**
 * What a task runs, and what it needs beyond its own entry in requirements.mjs for these arguments.
 *
 * @type {Readonly<Record<string, { program: string, alsoNeeds?: (taskArguments: readonly string[]) => string[] }>>}
 */
const programs = {
  check: { program: 'scripts/check.ts' },
  test: { program: 'scripts/test.ts' },
  demo: {
    program: 'test/demo/main.ts',
    alsoNeeds: (taskArguments) => (/(^| )--store[ =]s3( |$)/.test(taskArguments.join(' ')) ? ['s3-server'] : []),
  },
  faults: { program: 'test/faults/main.ts' },
  bench: {
    program: 'test/bench/main.ts',
    alsoNeeds: (taskArguments) => (/--with-s3|requests/.test(taskArguments.join(' ')) ? ['s3-server'] : []),
  },
}

async function main() {
  const [task = '', ...taskArguments] = process.argv.slice(2)
  const entry = programs[task]
  if (entry === undefined) {
    throw new SetupError(`usage: node scripts/run.mjs ${Object.keys(programs).join('|')} [ARGUMENT…]`)
  }
  const asksForHelpOnly = taskArguments.includes('--help')
  await setUp(asksForHelpOnly ? ['check'] : [task, ...(entry.alsoNeeds?.(taskArguments) ?? [])])
  process.exitCode = await runPinnedNode([entry.program, ...taskArguments])
}

main().catch((/** @type {unknown} */ error) => {
  if (error instanceof SetupError) say(error.message)
  else console.error(error)
  process.exitCode = 1
})
