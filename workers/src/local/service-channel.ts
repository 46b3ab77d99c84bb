import type { ChildProcess } from 'node:child_process'
import { errorFromDocument, StrataError } from '@strata/shared/errors.ts'
import type { AnswerMessage, CallMessage, ServiceCalls, ServiceMethod } from './service-protocol.ts'

const logTailChars = 4000

/** The parent's end of the channel to the service process. Once that has ended, every call is rejected: E_WORKER_DIED. */
export class ServiceChannel {
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
      // One that was never started does not exit.
      child.on('error', (error) => {
        if (child.pid === undefined) ended(error.message)
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
      // A channel breaks when the service ends, and how it ended is the better reason.
      this.#child.send(message, () => undefined)
    })
  }

  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }
}
