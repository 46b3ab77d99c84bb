/**
 * `npm test -- [FILTER…] [--OPTION…]`: Node's test runner over the project's test files. A filter is a folder, a
 * file or a glob; options go to Node (--test-name-pattern=…).
 */
import { spawnSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from './pinned-node.mjs'

/** Servers and thread pools of two files at once fill two cores; more would make each of them slow. */
const filesAtOnceMax = 2
/** Of one file as of one test: a file that hangs must not eat CI's whole time. */
const fileDurationMsMax = 20 * 60 * 1000

const allTests = ['{shared,agent,workers,infra,test,scripts}/**/*.test.ts']
const notOurs = ['**/node_modules/**', '**/cdk.out/**']

function globOf(filter: string): string {
  const isFolder = statSync(join(projectRoot, filter), { throwIfNoEntry: false })?.isDirectory() ?? false
  return isFolder ? join(filter, '**/*.test.ts') : filter
}

function run(parameters: readonly string[]): number {
  const options = parameters.filter((parameter) => parameter.startsWith('-'))
  const filters = parameters.filter((parameter) => !parameter.startsWith('-'))
  const globs = filters.length === 0 ? allTests : filters.map(globOf)
  const files = globSync(globs, { cwd: projectRoot, exclude: notOurs }).sort()
  if (files.length === 0) {
    // A mistyped filter must not look like success.
    process.stderr.write(`no test file matches ${globs.join(' ')}\n`)
    return 1
  }
  const nodeArguments = [
    '--test',
    `--test-concurrency=${String(filesAtOnceMax)}`,
    `--test-timeout=${String(fileDurationMsMax)}`,
    '--test-reporter=spec',
    ...options,
    ...files,
  ]
  return spawnSync(process.execPath, nodeArguments, { cwd: projectRoot, stdio: 'inherit' }).status ?? 1
}

process.exitCode = run(process.argv.slice(2))
