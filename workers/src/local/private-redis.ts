import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { redisConnectTimeoutMs } from '@strata/shared/limits.ts'
import { connect, impatient } from '../redis-connection.ts'
import { createRunDirectory, type RunDirectory } from '@strata/shared/spool/run-directory.ts'

/**
 * A redis-server of our own, for one run on one machine: the same queue as in production, on a socket in a directory
 * that only this user can enter, with nothing written to disk.
 */
export interface PrivateRedis {
  readonly socketPath: string
  /** Resolves with the reason when the server ends without having been stopped. */
  readonly died: Promise<StrataError>
  stop(): Promise<void>
}

const program = 'redis-server'
const pollMs = 10

export async function startPrivateRedis(clock: Clock): Promise<PrivateRedis> {
  const path = findProgram(program)
  if (path === undefined) throw new StrataError('E_REDIS_MISSING', `${program} is not on PATH`)
  const directory = await createSocketDirectory()
  const socketPath = join(directory.path, 'redis.sock')
  const command = [
    ...tiedToThisProcess(),
    path,
    '--port',
    '0',
    '--unixsocket',
    socketPath,
    '--unixsocketperm',
    '700',
    '--save',
    '',
    '--appendonly',
    'no',
    '--maxmemory-policy',
    'noeviction',
    '--dir',
    directory.path,
  ]
  const child = spawn(command[0] ?? path, command.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A group of its own: a terminal's Ctrl-C is for the agent, which still needs the queue to end in order.
    detached: true,
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-2000)
  })
  let stopping = false
  const ended = endOf(child)
  const stop = async (): Promise<void> => {
    stopping = true
    // It has nothing to keep, and one that hangs would hear nothing gentler.
    child.kill('SIGKILL')
    await ended
    await directory.remove()
  }
  try {
    await waitUntilReady(socketPath, child, ended, clock)
  } catch (error) {
    await stop()
    throw error
  }
  const died = ended.then(async (reason) => {
    if (stopping) return new Promise<never>(() => undefined)
    await directory.remove()
    return new StrataError(
      'E_REDIS_LOST',
      `the private redis-server ended: ${reason} ${output.trim().split('\n').at(-1) ?? ''}`,
    )
  })
  return { socketPath, died, stop }
}

/** The longest path that every system's sockets allow, with room for the names below the directory. */
const socketDirectoryBytesMax = 48

async function createSocketDirectory(): Promise<RunDirectory> {
  const wanted = tmpdir()
  const parent = Buffer.byteLength(wanted) <= socketDirectoryBytesMax ? wanted : '/tmp'
  try {
    return await createRunDirectory(parent)
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_CONFIGURATION', `the directory for temporary files ${parent} cannot be used: ${reason}`, {
      cause: error,
      hint: 'Make it writable and free space in it, or name another with TMPDIR.',
    })
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      resolve(systemErrorCode(error) ?? error.message)
    })
    child.once('exit', (code, signal) => {
      resolve(signal ?? `exit code ${String(code)}`)
    })
  })
}

async function waitUntilReady(
  socketPath: string,
  child: ChildProcess,
  ended: Promise<string>,
  clock: Clock,
): Promise<void> {
  const deadline = clock.monotonicMs() + redisConnectTimeoutMs
  let over: string | undefined
  void ended.then((reason) => {
    over = reason
  })
  for (;;) {
    const client = connect({ socketPath }, { ...impatient, lazyConnect: true })
    try {
      await client.connect()
      await client.ping()
      return
    } catch (error) {
      if (over !== undefined || clock.monotonicMs() > deadline) {
        throw new StrataError(
          'E_REDIS_UNREACHABLE',
          `the private ${program} (process ${String(child.pid)}) does not answer: ${over ?? 'time is up'}`,
          {
            cause: error,
            hint: `See what ${program} says when it is started by hand.`,
          },
        )
      }
    } finally {
      client.disconnect()
    }
    await clock.sleep(pollMs)
  }
}

/** The kernel ends the server when this process dies, however it dies; where that cannot be had, a kill leaves it. */
function tiedToThisProcess(): string[] {
  const path = process.platform === 'linux' ? findProgram('setpriv') : undefined
  return path === undefined ? [] : [path, '--pdeathsig', 'KILL', '--']
}

function findProgram(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    // Absent or not ours to run: either way it is not the program.
    return false
  }
}
