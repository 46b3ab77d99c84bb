/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: the machine seems to have STRATA_TEST_CORES cores, and each
 * thread of a pool leaves a file `thread-<process>-<thread>` in the directory STRATA_TEST_THREADS_IN.
 */
import { writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { join } from 'node:path'
import { isMainThread, threadId } from 'node:worker_threads'

const cores = process.env['STRATA_TEST_CORES']
const directory = process.env['STRATA_TEST_THREADS_IN']

if (cores !== undefined && directory !== undefined) {
  os.availableParallelism = () => Number(cores)
  syncBuiltinESMExports()
  if (!isMainThread) writeFileSync(join(directory, `thread-${String(process.pid)}-${String(threadId)}`), '')
}
