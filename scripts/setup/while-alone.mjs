import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { projectRoot } from '../pinned-node.mjs'
import { say } from './say.mjs'

const lockFile = join(projectRoot, '.set-up.lock')
const pollMs = 500

/**
 * Two set-ups of one checkout at once (tests in one terminal, the demo in another) would install into one
 * node_modules: the later one waits. A lock whose process is gone is taken over.
 *
 * @param {() => void} work
 */
export async function whileAlone(work) {
  let waited = false
  while (!tryToLock()) {
    const holder = lockHolder()
    if (holder !== undefined && !isAlive(holder)) {
      rmSync(lockFile, { force: true })
      continue
    }
    if (!waited) say(`waiting for another set-up in this checkout (process ${String(holder)})`)
    waited = true
    await sleep(pollMs)
  }
  try {
    work()
  } finally {
    rmSync(lockFile, { force: true })
  }
}

function tryToLock() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false
    throw error
  }
}

/** @returns {number | undefined} its process id; undefined when the lock has just gone */
function lockHolder() {
  try {
    return Number(readFileSync(lockFile, 'utf8'))
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/** @param {number} processId */
function isAlive(processId) {
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    // EPERM: it lives and is another user's.
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}
