import { hostname } from 'node:os'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { StrataError, systemErrorCode, toStrataError } from '@strata/shared/errors.ts'
import { programEndMsMax } from '@strata/shared/limits.ts'
import { prepareServerProcess } from '../server-process.ts'
import { errorLines } from './output/errors.ts'
import { styleFor } from './output/style.ts'
import { runProgram } from './program.ts'
import { secretVariables } from './settings.ts'

/**
 * The program `strata`: the one place that reaches for the process. Signals, streams, the environment and the exit code
 * are handled here; everything else is told what it needs.
 */
// Before the first file is opened, and so before the command line is read.
if (process.argv.includes('serve')) prepareServerProcess()

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const
const signalExitBase = 128

/** Nobody asks twice faster than that. */
const sameSignalMs = 200

const interruption = new AbortController()
let interruptedBy: keyof typeof signalNumbers | undefined
let interruptedAtMs = 0

for (const name of Object.keys(signalNumbers) as (keyof typeof signalNumbers)[]) {
  process.on(name, () => {
    const nowMs = systemClock.monotonicMs()
    if (interruptedBy !== undefined) {
      // A signal to the whole group comes twice at once: bin/strata.mjs, which may have started us, passes its own on.
      if (name === interruptedBy && nowMs - interruptedAtMs < sameSignalMs) return
      // Somebody who asks twice does not want to wait. What is not committed is not visible, at any moment.
      process.exit(signalExitBase + signalNumbers[name])
    }
    interruptedBy = name
    interruptedAtMs = nowMs
    interruption.abort(new StrataError('E_INTERRUPTED', `interrupted by ${name}`))
  })
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: Error) => {
    // Whoever read the output is gone (head, a closed terminal): no reason to give up a backup.
    if (['EPIPE', 'EIO'].includes(systemErrorCode(error) ?? '')) return
    process.exitCode = 1
    if (stream === process.stdout) process.stderr.write(`strata: standard output: ${error.message}\n`)
  })
}

process.on('uncaughtException', (error) => {
  const lines = errorLines(toStrataError(error), styleFor(process.stderr, process.env), true)
  process.stderr.write(`${lines.join('\n')}\n`)
  process.exit(1)
})

// Programs that are started (redis-server, workers) inherit the environment: secrets are none of their business.
const env = { ...process.env }
for (const name of secretVariables) Reflect.deleteProperty(process.env, name)

const { stdin, stdout, stderr } = process
const terminal = { keyboard: stdin, show: (text: string) => stderr.write(text), signal: interruption.signal }
const exitCode = await runProgram(process.argv.slice(2), {
  stdout,
  stderr,
  env,
  clock: systemClock,
  random: systemRandomBytes,
  workingDirectory: process.cwd(),
  hostName: hostname(),
  signal: interruption.signal,
  terminal: stdin.isTTY && stderr.isTTY ? terminal : undefined,
})
process.exitCode ??= exitCode
// All is said and done. What still hangs, such as a connection to a Redis that is gone for good, is not waited for.
setTimeout(() => process.exit(), programEndMsMax).unref()
if (interruptedBy !== undefined && exitCode !== 0) process.exitCode = signalExitBase + signalNumbers[interruptedBy]
