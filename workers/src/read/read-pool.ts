import { availableParallelism } from 'node:os'
import { readThreadsMax } from '@strata/shared/limits.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import type { ReadAnswer, ReadTask, ZeroAnswer, ZeroTask } from './read-task.ts'

/** The threads that open records. One pool may serve several runs, also at the same time. */
export class ReadPool implements AsyncDisposable {
  readonly #pool: ThreadPool<ReadTask | ZeroTask, unknown>

  constructor(threads: number = Math.min(availableParallelism(), readThreadsMax)) {
    this.#pool = new ThreadPool<ReadTask | ZeroTask, unknown>({
      module: new URL('./read-thread.ts', import.meta.url),
      threadsMax: threads,
      threadsAtOnce: 1,
      waitsInPlace: true,
    })
  }

  /** Takes the memory of `task.range` away from the caller. */
  async read(task: ReadTask): Promise<ReadAnswer> {
    const answer = await this.#pool.run(task, { name: 'readRecords', transferList: [task.range.buffer] })
    return answer as ReadAnswer
  }

  async zero(task: ZeroTask): Promise<ZeroAnswer> {
    const answer = await this.#pool.run(task, { name: 'writeZeros' })
    return answer as ZeroAnswer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close()
  }
}

/** Runs `work` with the caller's pool, or else with one of its own that ends with it. */
export async function withReadPool<T>(shared: ReadPool | undefined, work: (pool: ReadPool) => Promise<T>): Promise<T> {
  if (shared !== undefined) return work(shared)
  await using own = new ReadPool()
  return await work(own)
}
