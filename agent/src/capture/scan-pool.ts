import { availableParallelism } from 'node:os'
import { errorFromDocument } from '@strata/shared/errors.ts'
import { scanThreadsMax } from '@strata/shared/limits.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import type { ScanAnswer, ScanReply, ScanTask } from './scan-task.ts'

export const scanThreadsDefault = Math.min(availableParallelism(), scanThreadsMax)

/** The threads that read, compare and digest. One starts at once, so that opening the session does not delay it. */
export class ScanPool {
  readonly threads: number
  readonly #pool: ThreadPool<ScanTask, ScanReply>

  constructor(threads: number) {
    this.threads = threads
    this.#pool = new ThreadPool<ScanTask, ScanReply>({
      module: new URL('scan-thread.ts', import.meta.url),
      threadsMax: threads,
      threadsAtOnce: 1,
      waitsInPlace: true,
      // A thread keeps hardly anything; without this its heap grows to tens of MiB before it is cleaned.
      youngGenerationMiBMax: 4,
    })
  }

  /** Errors: E_SOURCE_UNREADABLE, E_SOURCE_CHANGED, E_HANDOVER_SPACE. */
  async run(task: ScanTask): Promise<ScanAnswer> {
    const reply = await this.#pool.run(task)
    if ('error' in reply) throw errorFromDocument(reply.error)
    return reply
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}
