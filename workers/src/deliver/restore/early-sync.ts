import { earlySyncBytes } from '@strata/shared/limits.ts'

/**
 * Sends what was written to the disk while more is being read, so that the sync at the end finds little left to do.
 * One sync at a time. A failure is kept for `settle`: the system reports a lost write only once.
 */
export class EarlySync {
  readonly #sync: () => Promise<void>
  #bytesAtLast = 0
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(sync: () => Promise<void>) {
    this.#sync = sync
  }

  /** Hears how many bytes have been written in all. */
  written(bytes: number): void {
    if (this.#running !== undefined || bytes - this.#bytesAtLast < earlySyncBytes) return
    this.#bytesAtLast = bytes
    this.#running = this.#sync()
      .catch((error: unknown) => {
        this.#failure = { error }
      })
      .finally(() => {
        this.#running = undefined
      })
  }

  /** Waits until no sync runs, and throws what one failed with. */
  async settle(): Promise<void> {
    await this.#running
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
