import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const folders = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin')

function find(program: string): string | undefined {
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path))
}

/**
 * Why a test that needs `programs` is skipped; false when all of them are here. With CI=true it is never skipped: it
 * fails at the program that is missing.
 */
export function skipWithout(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) => find(program) === undefined)
  if (missing.length === 0 || process.env['CI'] === 'true') return false
  return `${missing.join(', ')} not found`
}

/** Runs a program to its end and gives what it wrote to standard output. */
export function run(program: string, ...parameters: readonly string[]): string {
  return execFileSync(find(program) ?? program, parameters, { stdio: ['ignore', 'pipe', 'ignore'] })
    .toString('utf8')
    .trim()
}
