import { availableParallelism } from 'node:os'
import { readThreadsMax } from '@strata/shared/limits.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import type { PieceAnswer, PieceTask } from './piece-task.ts'

/** The threads of a scrub. They start with the first object. */
export class PiecePool implements AsyncDisposable {
  readonly #pool = new ThreadPool<PieceTask, PieceAnswer>({
    module: new URL('./piece-thread.ts', import.meta.url),
    threadsMax: Math.min(availableParallelism(), readThreadsMax),
    threadsAtOnce: 0,
    waitsInPlace: false,
  })

  /** Takes the memory of `task.range` away from the caller. */
  check(task: PieceTask): Promise<PieceAnswer> {
    return this.#pool.run(task, { transferList: [task.range.buffer] })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close()
  }
}
