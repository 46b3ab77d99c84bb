import { fork, type ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { errorFromDocument, StrataError } from '@strata/shared/errors.ts'
import { ingestThreadsMax } from '@strata/shared/limits.ts'
import type { OpenedSession, Uplink } from '@strata/shared/protocol/uplink.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { SessionInfo } from '../gateway/gateway.ts'
import type { AnswerMessage, CallMessage, ServiceCalls, ServiceMethod } from './service-protocol.ts'

/** A service of our own for one run: a process with gateway and workers, and a private Redis unless there is one. */
export interface LocalService {
  readonly uplink: Uplink
  metrics(): Promise<StoreTotals>
  /** Resident memory of the service process at its peak cannot be asked for after it is gone. */
  readonly pid: number
  stop(): Promise<void>
}

export interface LocalServiceOptions {
  readonly storeUrl: string
  readonly keyringPath: string
  readonly redisUrl?: string | undefined
  readonly handOverDirectory?: string | undefined
  readonly env: NodeJS.ProcessEnv
  /** What the service process writes, line by line. */
  readonly onLog: (line: string) => void
}

export async function startLocalService(options: LocalServiceOptions): Promise<LocalService> {
  const child = fork(new URL('./service-process.ts', import.meta.url), {
    env: options.env,
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const channel = new ServiceChannel(child, options.onLog)
  try {
    await channel.call('start', {
      storeUrl: options.storeUrl,
      keyringPath: options.keyringPath,
      ...(options.redisUrl === undefined ? {} : { redisUrl: options.redisUrl }),
      ...(options.handOverDirectory === undefined ? {} : { handOverDirectory: options.handOverDirectory }),
      threads: Math.min(availableParallelism(), ingestThreadsMax),
    })
  } catch (error) {
    await channel.end()
    throw error
  }
  return {
    uplink: { open: async (request) => openedSession(channel, await channel.call('open', request)) },
    metrics: () => channel.call('metrics'),
    pid: child.pid ?? 0,
    stop: async () => {
      try {
        await channel.call('stop')
      } finally {
        await channel.end()
      }
    },
  }
}

function openedSession(channel: ServiceChannel, info: SessionInfo): OpenedSession {
  const { session } = info
  return {
    ...info,
    baseDigests: (disk, firstPage, pageCount) => channel.call('baseDigests', session, disk, firstPage, pageCount),
    send: (segment, path) => channel.call('sent', session, segment, path),
    finish: (end) => channel.call('finish', session, end),
    abandon: () => channel.call('abandon', session),
  }
}

const logTailChars = 4000

class ServiceChannel {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: StrataError) => void }>()
  readonly #exited: Promise<void>
  #lastId = 0
  #log = ''
  #death: StrataError | undefined

  constructor(child: ChildProcess, onLog: (line: string) => void) {
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#log = (this.#log + chunk.toString()).slice(-logTailChars)
        for (const line of chunk.toString().split('\n')) if (line !== '') onLog(line)
      })
    }
    child.on('message', (message: AnswerMessage) => {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if ('error' in message) waiting?.reject(errorFromDocument(message.error))
      else waiting?.resolve(message.result)
    })
    this.#exited = new Promise((resolve) => {
      const ended = (how: string): void => {
        const log = this.#log.split('\n').filter((line) => line.trim() !== '')
        this.#death = new StrataError('E_WORKER_DIED', `the service process ended by itself (${how})`, {
          details: { log },
        })
        for (const { reject } of this.#waiting.values()) reject(this.#death)
        this.#waiting.clear()
        resolve()
      }
      child.once('exit', (code, signal) => {
        ended(signal ?? `exit code ${String(code)}`)
      })
      child.once('error', (error) => {
        ended(error.message)
      })
    })
  }

  call<M extends ServiceMethod>(
    method: M,
    ...parameters: ServiceCalls[M]['parameters']
  ): Promise<ServiceCalls[M]['result']> {
    if (this.#death !== undefined) return Promise.reject(this.#death)
    this.#lastId += 1
    const message: CallMessage = { id: this.#lastId, method, parameters }
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { resolve: resolve as (result: unknown) => void, reject })
      this.#child.send(message)
    })
  }

  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }
}
