import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { errorFromDocument } from '@strata/shared/errors.ts'
import { scanThreadsMax } from '@strata/shared/limits.ts'
import { threadArguments, threadIdleMs } from '@strata/shared/threads.ts'
import type { ScanAnswer, ScanReply, ScanTask } from './scan-task.ts'

export const scanThreadsDefault = Math.min(availableParallelism(), scanThreadsMax)

/** The threads that read, compare and digest. They start at once, so that opening the session does not delay them. */
export class ScanPool {
  readonly threads: number
  readonly #pool: Piscina<ScanTask, ScanReply>

  constructor(threads: number) {
    this.threads = threads
    this.#pool = new Piscina<ScanTask, ScanReply>({
      filename: new URL('scan-thread.ts', import.meta.url).href,
      // The others start when there is work for them: ending a thread that still loads its native code ends the process.
      minThreads: 1,
      idleTimeout: threadIdleMs,
      maxThreads: threads,
      execArgv: [...threadArguments],
      // A thread keeps hardly anything; without this its heap grows to tens of MiB before it is cleaned.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    })
  }

  /** Errors: E_SOURCE_UNREADABLE, E_SOURCE_CHANGED, E_HANDOVER_SPACE. */
  async run(task: ScanTask): Promise<ScanAnswer> {
    const reply = await this.#pool.run(task)
    if ('error' in reply) throw errorFromDocument(reply.error)
    return reply
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
