/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: what goes wrong inside of a process of a scenario, as
 * STRATA_FAULTS says.
 *
 * `die`: it is killed in the n-th call of one of the file system's functions whose path has a certain text in it: before
 * it, after it, or with half of the bytes written. `clock`: its clock jumps, so many ms after its start.
 */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'

/**
 * @typedef {object} Faults
 * @property {{ call: string, path: string, nth: number, when: 'before' | 'after' | 'half' }} [die]
 * @property {{ afterMs: number, shiftMs: number }} [clock]
 */
/** @type {unknown} */
const told = JSON.parse(process.env['STRATA_FAULTS'] ?? '{}')
const parsed = /** @type {Faults} */ (told)

/** @typedef {(...parameters: unknown[]) => unknown} Call */
/** @typedef {Record<string, unknown>} Calls */

const die = () => {
  process.kill(process.pid, 'SIGKILL')
  // The signal may come a moment later.
  for (;;);
}

const { clock } = parsed
if (clock !== undefined) {
  const now = Date.now.bind(Date)
  Date.now = () => now() + (performance.now() < clock.afterMs ? 0 : clock.shiftMs)
  // What Node itself says of the time in answers comes from elsewhere.
  const response = /** @type {Calls} */ (/** @type {unknown} */ (http.ServerResponse.prototype))
  const writeHead = /** @type {Call} */ (response['writeHead'])
  response['writeHead'] = /** @this {http.ServerResponse} */ function (/** @type {unknown[]} */ ...parameters) {
    this.setHeader('date', new Date(Date.now()).toUTCString())
    return writeHead.call(this, ...parameters)
  }
}

const plan = parsed.die
if (plan !== undefined && isMainThread) {
  let seen = 0
  /** @type {Map<number, string>} */
  const paths = new Map()
  const openSync = fs.openSync
  fs.openSync = (...parameters) => {
    const fd = openSync(...parameters)
    paths.set(fd, String(parameters[0]))
    return fd
  }
  const isIt = (/** @type {unknown[]} */ parameters) => {
    const [first, second] = parameters
    const place = typeof first === 'number' ? (paths.get(first) ?? '') : `${String(first)} ${String(second)}`
    if (!place.includes(plan.path)) return false
    seen += 1
    return seen === plan.nth
  }
  /** Half of what would have been written, as the last of it reached the disk in a power cut. */
  const halved = (/** @type {unknown[]} */ parameters) => {
    const [place, data, ...rest] = parameters
    if (typeof data === 'string') return [place, data.slice(0, Math.floor(data.length / 2)), ...rest]
    const bytes = /** @type {Uint8Array} */ (data)
    if (plan.call !== 'writeSync') return [place, bytes.subarray(0, Math.floor(bytes.length / 2)), ...rest]
    const [offset, length, position] = /** @type {number[]} */ (rest)
    return [place, data, offset, Math.floor((length ?? 0) / 2), position]
  }
  const calls = /** @type {Calls} */ (/** @type {unknown} */ (plan.call.endsWith('Sync') ? fs : promises))
  const call = /** @type {Call} */ (calls[plan.call])
  calls[plan.call] = plan.call.endsWith('Sync')
    ? (/** @type {unknown[]} */ ...parameters) => {
        if (!isIt(parameters)) return call(...parameters)
        if (plan.when === 'half') call(...halved(parameters))
        if (plan.when === 'after') call(...parameters)
        die()
      }
    : async (/** @type {unknown[]} */ ...parameters) => {
        if (!isIt(parameters)) return await call(...parameters)
        if (plan.when !== 'before') await call(...parameters)
        die()
      }
  syncBuiltinESMExports()
}
