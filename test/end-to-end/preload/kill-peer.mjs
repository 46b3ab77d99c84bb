/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: agent or service is killed at the very moment when the
 * other is about to write to it, so that it writes into a broken channel.
 *
 * STRATA_TEST_KILL_SERVICE_AT: the call which the agent is about to make, with STRATA_TEST_KILL_AFTER of them held back
 * until so many are there; all are then made in one breath. STRATA_TEST_KILL_AGENT_AT: the number of the answer.
 */
import child_process from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const pollMs = 5
const call = process.env['STRATA_TEST_KILL_SERVICE_AT']
const answer = process.env['STRATA_TEST_KILL_AGENT_AT']

/** Gone with all its threads, which keep its files open until then; only its parent may still have to ask how. */
const hasEnded = (/** @type {number} */ pid) => {
  try {
    const isOver = /.*\) [ZX]/s.test(readFileSync(`/proc/${String(pid)}/stat`, 'latin1'))
    return isOver && readdirSync(`/proc/${String(pid)}/task`).length === 1
  } catch {
    return true
  }
}

const end = (/** @type {number} */ pid) => {
  process.kill(pid, 'SIGKILL')
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  while (!hasEnded(pid)) Atomics.wait(nobody, 0, 0, pollMs)
}

/** @typedef {(...message: unknown[]) => boolean} Send its parameters come in several orders */

if (call !== undefined && process.send === undefined) {
  const fork = /** @type {(...parameters: unknown[]) => child_process.ChildProcess} */ (child_process.fork)
  const atOnce = Number(process.env['STRATA_TEST_KILL_AFTER'] ?? '1')
  const holding = (/** @type {child_process.ChildProcess} */ child) => {
    const send = /** @type {Send} */ (child.send.bind(child))
    /** @type {unknown[][]} */
    const held = []
    return (/** @type {unknown[]} */ ...message) => {
      const { method } = /** @type {{ method?: string }} */ (message[0])
      if (method !== call) return send(...message)
      held.push(message)
      if (held.length < atOnce) return true
      end(child.pid ?? 0)
      return held.splice(0).every((one) => send(...one))
    }
  }
  child_process.fork = /** @type {typeof child_process.fork} */ (
    (/** @type {unknown[]} */ ...parameters) => {
      const child = fork(...parameters)
      child.send = /** @type {typeof child.send} */ (holding(child))
      return child
    }
  )
  syncBuiltinESMExports()
}

if (answer !== undefined && process.send !== undefined && isMainThread) {
  const send = /** @type {Send} */ (process.send.bind(process))
  let answers = 0
  process.send = /** @type {typeof process.send} */ (
    (/** @type {unknown[]} */ ...message) => {
      answers += 1
      if (answers === Number(answer)) end(process.ppid)
      return send(...message)
    }
  )
}
