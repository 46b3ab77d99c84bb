import { stat } from 'node:fs/promises'
import { errorFromDocument } from '@strata/shared/errors.ts'
import { smallSegmentBytesMax } from '@strata/shared/limits.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import { spoolError } from '../spool-error.ts'
import { sealSegment, type SealAnswer, type SealedFile, type SealTask } from './seal-file.ts'

/**
 * Makes plain segment files ready for the way: see `seal-file`. Small ones at once, since a thread takes longer to start
 * than they take to be sealed, and most backups have nothing else.
 */
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
    const answer = (await isSmall(task)) ? sealSegment(task) : await this.#pool.run(task)
    if ('error' in answer) throw errorFromDocument(answer.error)
    return answer
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}

async function isSmall({ path }: SealTask): Promise<boolean> {
  try {
    return (await stat(path)).size <= smallSegmentBytesMax
  } catch (error) {
    throw spoolError(path, error)
  }
}
