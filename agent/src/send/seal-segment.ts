import { errorFromDocument } from '@strata/shared/errors.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import type { SealAnswer, SealedFile, SealTask } from './seal-segment-thread.ts'

/** Makes plain segment files ready for the way: see `seal-segment-thread`, where it happens. */
export class SegmentSealer {
  readonly #pool = new ThreadPool<SealTask, SealAnswer>({
    module: new URL('seal-segment-thread.ts', import.meta.url),
    // One seals faster than networks carry away.
    threadsMax: 1,
    // A backup that finds nothing new needs none.
    threadsAtOnce: 0,
    waitsInPlace: false,
    youngGenerationMiBMax: 4,
  })

  /**
   * Seals a complete segment file in place, once: whoever sends it again sends the same bytes. After an error, and when
   * the process died before this resolved, the file is partly sealed and good for nothing; throw it away.
   * Error: E_HANDOVER_SPACE.
   */
  async seal(task: SealTask): Promise<SealedFile> {
    const answer = await this.#pool.run(task)
    if ('error' in answer) throw errorFromDocument(answer.error)
    return answer
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}
