import type { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { loadedMessage } from './loaded.ts'

/**
 * Piscina tries `require` on a thread's module before it imports it; a thread that is ended in the middle of requiring
 * an ES module takes the whole process down with a failed assertion of Node 24. Without that kind of require it goes
 * straight to the import.
 */
const threadArguments = ['--no-experimental-require-module']

/** Longer than any pause of a run: threads go with their pool. */
const threadIdleMs = 3600_000

export interface ThreadPoolOptions {
  /** Calls `announceLoaded`, and exports a function as default, or several by name. */
  readonly module: URL
  readonly threadsMax: number
  /** These start with the pool, the others when there is work for them. */
  readonly threadsAtOnce: number
  /** Whether a thread waits for its next task in its own time, which is quicker, or in the event loop. */
  readonly waitsInPlace: boolean
  readonly youngGenerationMiBMax?: number
}

export interface TaskOptions {
  /** Name of the function, unless it is the default one. */
  readonly name?: string
  readonly transferList?: readonly ArrayBuffer[]
}

/**
 * Threads that do tasks. None is ended while it loads: native code that is being loaded then cannot report that, and
 * takes the whole process down.
 */
export class ThreadPool<Task, Answer> {
  readonly #pool: Piscina
  readonly #loading = new Map<Worker, Promise<void>>()

  constructor({ module, threadsMax, threadsAtOnce, waitsInPlace, youngGenerationMiBMax }: ThreadPoolOptions) {
    this.#pool = new Piscina({
      filename: module.href,
      minThreads: threadsAtOnce,
      maxThreads: threadsMax,
      idleTimeout: threadIdleMs,
      execArgv: threadArguments,
      atomics: waitsInPlace ? 'sync' : 'disabled',
      trackUnmanagedFds: false,
      ...(youngGenerationMiBMax === undefined
        ? {}
        : { resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMiBMax } }),
    })
    this.#watch()
  }

  async run(task: Task, { name, transferList = [] }: TaskOptions = {}): Promise<Answer> {
    const answer = this.#pool.run(task, { ...(name === undefined ? {} : { name }), transferList: [...transferList] })
    this.#watch()
    return (await answer) as Answer
  }

  /** Tasks that wait are rejected, and those that run are ended, unless it is said to let them end. */
  async close(options: { readonly letEnd?: boolean } = {}): Promise<void> {
    await Promise.all(this.#loading.values())
    await (options.letEnd === true ? this.#pool.close() : this.#pool.destroy())
  }

  /** A thread starts within a call of the pool and is heard of later, so none is missed. */
  #watch(): void {
    for (const thread of this.#pool.threads) {
      if (!this.#loading.has(thread)) this.#loading.set(thread, loaded(thread))
    }
  }
}

function loaded(thread: Worker): Promise<void> {
  return new Promise((resolve) => {
    const onMessage = (message: unknown): void => {
      if (message !== loadedMessage) return
      thread.off('message', onMessage)
      resolve()
    }
    thread.on('message', onMessage)
    thread.once('exit', () => {
      resolve()
    })
  })
}
