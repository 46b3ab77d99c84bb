/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: gives chosen files of a directory store their names only
 * when a test says so. What the program does is real; one system call takes long, as on a disk that hangs. So a test
 * can act at a moment it has chosen, without guessing at times.
 *
 * STRATA_TEST_HOLD_AT: a pattern of paths. STRATA_TEST_HOLD_IN: a directory; a file `held-…` appears there when a call
 * is held, and all go on when `go` is there. STRATA_TEST_HOLD_AFTERWARDS: the file has its name already.
 */
import { existsSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 10
const pattern = process.env['STRATA_TEST_HOLD_AT']
const directory = process.env['STRATA_TEST_HOLD_IN']
const afterwards = process.env['STRATA_TEST_HOLD_AFTERWARDS'] !== undefined

if (pattern !== undefined && directory !== undefined) {
  const held = new RegExp(pattern)
  let calls = 0
  const hold = async (/** @type {unknown} */ path) => {
    if (!held.test(String(path))) return
    calls += 1
    writeFileSync(join(directory, `held-${String(process.pid)}-${String(calls)}`), '')
    while (!existsSync(join(directory, 'go'))) await sleep(pollMs)
  }
  const { link, rename } = fs
  fs.link = async (from, to) => {
    if (!afterwards) await hold(to)
    await link(from, to)
    if (afterwards) await hold(to)
  }
  fs.rename = async (from, to) => {
    await hold(to)
    await rename(from, to)
  }
  syncBuiltinESMExports()
}
