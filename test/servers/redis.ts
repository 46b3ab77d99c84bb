import { createConnection } from 'node:net'
import { join } from 'node:path'
import {
  freePort,
  makeServerDirectory,
  removeServerDirectory,
  startProcess,
  waitUntilReady,
  withPortRetries,
} from './processes.ts'
import type { ServerProcess } from './processes.ts'
import type { Requirement } from './require-server.ts'

/** A Redis of one's own, on loopback and on a Unix socket, that keeps nothing on disk. */
export interface RedisOptions {
  /** More arguments for redis-server, such as `['--maxmemory-policy', 'allkeys-lru']`. */
  readonly args?: readonly string[]
}

export interface TestRedis {
  /** For STRATA_REDIS_URL. */
  readonly url: string
  readonly port: number
  readonly socketPath: string
  /** The one that runs, or ran last. */
  readonly process: ServerProcess
  /** Kills the server and keeps its port and its directory, for `startAgain`. */
  kill(): Promise<void>
  startAgain(): Promise<void>
  stop(): Promise<void>
}

const readyPatienceMs = 10_000

export const redisRequirement: Requirement = {
  name: 'Redis',
  programs: ['redis-server'],
  remedy: 'apt-get install redis-server',
}

export async function startRedis(options: RedisOptions = {}): Promise<TestRedis> {
  return await withPortRetries(async () => await startOnce(options))
}

async function startOnce(options: RedisOptions): Promise<TestRedis> {
  const directory = await makeServerDirectory('redis')
  const port = await freePort()
  const socketPath = join(directory, 'redis.sock')
  const place = ['--bind', '127.0.0.1', '--port', String(port), '--unixsocket', socketPath, '--dir', directory]
  const keepNothing = ['--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const args = [...place, ...keepNothing, '--maxmemory-policy', 'noeviction', ...(options.args ?? [])]
  const start = async (): Promise<ServerProcess> => {
    const server = startProcess({ program: 'redis-server', args, directory, name: 'redis' })
    try {
      await waitUntilReady(server, 'redis-server', readyPatienceMs, async () => await answersPing(socketPath))
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }
  let server: ServerProcess
  try {
    server = await start()
  } catch (error) {
    await removeServerDirectory(directory)
    throw error
  }
  return {
    url: `redis://127.0.0.1:${String(port)}`,
    port,
    socketPath,
    get process() {
      return server
    },
    kill: async () => {
      process.kill(server.pid, 'SIGKILL')
      await server.stop()
    },
    startAgain: async () => {
      server = await start()
    },
    stop: async () => {
      await server.stop()
      await removeServerDirectory(directory)
    },
  }
}

async function answersPing(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection(socketPath)
    const finish = (isReady: boolean): void => {
      socket.destroy()
      resolve(isReady)
    }
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('data', (answer) => {
      finish(answer.toString().startsWith('+PONG'))
    })
    socket.once('error', () => {
      finish(false)
    })
    socket.once('close', () => {
      finish(false)
    })
  })
}
