#!/usr/bin/env node
/**
 * The command `strata`, from a checkout: any Node from 20 on starts it; the program itself runs on the pinned one.
 * Plain JavaScript with nothing imported but Node's own modules, since this may run on an old Node and before
 * anything is installed.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = new URL('../src/cli/main.ts', import.meta.url)
const oldestNodeThatRunsTypeScript = 24

// Sources whose types were stripped once are kept: every start is faster, and every thread of it some MiB smaller.
process.env['NODE_COMPILE_CACHE'] ??= join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'strata')

if (Number.parseInt(process.versions.node, 10) >= oldestNodeThatRunsTypeScript) {
  await importProgram()
} else {
  runOnPinnedNode()
}

/** In this process: a second one would cost a tenth of a second and its memory. */
async function importProgram() {
  // Any package will do: this one is used by every command.
  if (!canResolve('commander')) {
    refuse()
    return
  }
  module.enableCompileCache(process.env['NODE_COMPILE_CACHE'])
  await import(program.href)
}

function runOnPinnedNode() {
  const node = findPinnedNode()
  if (node === undefined) {
    refuse()
    return
  }
  const child = spawn(node, [fileURLToPath(program), ...process.argv.slice(2)], { stdio: 'inherit' })
  const forward = (/** @type {NodeJS.Signals} */ signal) => {
    if (signal !== 'SIGINT' || !onTerminal()) child.kill(signal)
  }
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])
  for (const signal of signals) process.on(signal, forward)
  child.on('error', (error) => {
    process.stderr.write(`strata: cannot start ${node}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code ?? 1
      return
    }
    // Whoever started this process sees it end as the program did.
    for (const forwarded of signals) process.off(forwarded, forward)
    process.kill(process.pid, signal)
  })
}

/** A terminal sends Ctrl-C to both processes; passed on, it would reach the program twice. */
function onTerminal() {
  return [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY)
}

/** @returns {string | undefined} */
function findPinnedNode() {
  if (!canResolve('node/package.json')) return undefined
  const node = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin/node')
  return existsSync(node) ? node : undefined
}

/** @param {string} specifier */
function canResolve(specifier) {
  try {
    createRequire(import.meta.url).resolve(specifier)
    return true
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error)
    if (code === 'MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return false
    throw error
  }
}

function refuse() {
  process.stderr.write(
    'strata: its npm packages are not installed. Run `node scripts/setup.mjs` in the checkout, then try again.\n',
  )
  process.exitCode = 1
}
