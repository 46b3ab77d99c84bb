import { spawn } from 'node:child_process'
import { accessSync, closeSync, constants, openSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Starting and ending the real servers that tests talk to. A server never outlives the process that started it: it is
 * killed by its pid when that process ends, and by the kernel (setpriv --pdeathsig) when that process is itself killed.
 * It does not keep that process alive either.
 */
export interface ServerProcess {
  readonly pid: number
  /** Whether it still runs. */
  isRunning(): boolean
  /** The end of what it has written to its log. */
  lastLines(): Promise<string>
  /** Ends it and resolves when it is gone. */
  stop(): Promise<void>
}

export interface ServerCommand {
  readonly program: string
  readonly args: readonly string[]
  /** Where it runs and writes `NAME.log`. */
  readonly directory: string
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
  /** Nothing of it is worth an orderly end, which takes long. */
  readonly endsAtOnce?: boolean
}

const stopPatienceMs = 5000
const pollMs = 20
const logCharsShown = 2000

const running = new Set<number>()
const directories = new Set<string>()
process.on('exit', () => {
  for (const pid of running) process.kill(pid, 'SIGKILL')
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
})

export function startProcess(command: ServerCommand): ServerProcess {
  const logPath = join(command.directory, `${command.name}.log`)
  const log = openSync(logPath, 'a')
  const [program, args] = tiedToUs(command.program, command.args)
  const child = spawn(program, args, {
    cwd: command.directory,
    env: { ...process.env, ...command.env },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.unref()
  const { pid } = child
  // Without a pid the program could not be started; the event says why, and waiting for readiness ends.
  let startError: Error | undefined
  child.on('error', (error) => (startError = error))
  if (pid !== undefined) running.add(pid)
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      if (pid !== undefined) running.delete(pid)
      resolve()
    })
  })
  return {
    pid: pid ?? -1,
    isRunning: () => pid !== undefined && running.has(pid),
    lastLines: async () => startError?.message ?? (await readFile(logPath, 'utf8')).slice(-logCharsShown),
    stop: async () => {
      if (pid === undefined || !running.has(pid)) return
      child.ref()
      child.kill(command.endsAtOnce === true ? 'SIGKILL' : 'SIGTERM')
      const patience = setTimeout(() => child.kill('SIGKILL'), stopPatienceMs)
      await ended
      clearTimeout(patience)
    },
  }
}

/** Linux ends the child when we die, however we die. */
function tiedToUs(program: string, args: readonly string[]): [string, string[]] {
  if (process.platform !== 'linux' || missingPrograms(['setpriv']).length > 0) return [program, [...args]]
  return ['setpriv', ['--pdeathsig', 'KILL', '--', program, ...args]]
}

/** Waits until a server answers; throws with the end of its log when it ends first or takes too long. */
export async function waitUntilReady(
  server: ServerProcess,
  name: string,
  patienceMs: number,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  while (!(await isReady())) {
    if (!server.isRunning()) throw new Error(`${name} ended before it was ready:\n${await server.lastLines()}`)
    if (performance.now() > deadlineMs) {
      throw new Error(`${name} was not ready within ${String(patienceMs)} ms:\n${await server.lastLines()}`)
    }
    await sleep(pollMs)
  }
}

/** Runs a short program to its end and gives its output; throws with its messages when it fails. */
export async function runProgram(program: string, args: readonly string[], directory: string): Promise<string> {
  const [tied, tiedArgs] = tiedToUs(program, args)
  const child = spawn(tied, tiedArgs, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let messages = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (messages += text))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (status !== 0) throw new Error(`${program} ended with ${String(status)}: ${messages.slice(-logCharsShown)}`)
  return output
}

/** A port of 127.0.0.1 that nobody has at the moment; another may take it first, so starting with it is tried again. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve()
    })
  })
  return port
}

/**
 * A port of 127.0.0.1 where nobody answers: what belongs there (tcpmux) no system has any more, and free ports are never
 * so low. One from `freePort` may be somebody's a moment later.
 */
export const deadPort = 1

/** Tries a start that may fail because somebody took its port. */
export async function withPortRetries<Result>(start: () => Promise<Result>): Promise<Result> {
  const attemptsMax = 3
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start()
    } catch (error) {
      if (attempt === attemptsMax) throw error
    }
  }
}

/** A directory of its own, named after our pid so that a later run can remove it if we are killed. */
export async function makeServerDirectory(name: string): Promise<string> {
  await removeDirectoriesOfTheDead()
  const directory = await mkdtemp(join(tmpdir(), `strata-test-${name}-${String(process.pid)}-`))
  directories.add(directory)
  return directory
}

export async function removeServerDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true })
  directories.delete(directory)
}

async function removeDirectoriesOfTheDead(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = /^strata-test-[a-z-]+-(\d+)-[A-Za-z0-9]{6}$/.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const path = join(tmpdir(), name)
    const owner = await stat(path).then(
      (stats) => stats.uid,
      () => -1,
    )
    if (owner === process.getuid?.()) await rm(path, { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Those of `programs` that are not in PATH. */
export function missingPrograms(programs: readonly string[]): string[] {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  return programs.filter((program) => !directories.some((directory) => isExecutable(join(directory, program))))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
