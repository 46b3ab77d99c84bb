/** Where the Node is that the project runs on, whatever the machine has: the npm package `node`. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)))

export const pinnedNode = join(projectRoot, 'node_modules/node/bin/node')

/**
 * Runs the pinned Node at the project's root, with this process's input and output.
 *
 * @param {readonly string[]} nodeArguments
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {Promise<number>} its exit code; 128 + number for a signal, as shells have it
 */
export async function runPinnedNode(nodeArguments, environment = process.env) {
  const child = spawn(pinnedNode, nodeArguments, { cwd: projectRoot, env: environment, stdio: 'inherit' })
  // Staying alive until the child has finished lets it answer a signal in its own way.
  const forward = (/** @type {NodeJS.Signals} */ signal) => {
    if (signal !== 'SIGINT' || !onTerminal()) child.kill(signal)
  }
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, forward)
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
}

/** A terminal sends Ctrl-C to every process that it sees; passed on, it would reach the child twice. */
function onTerminal() {
  return [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY)
}
