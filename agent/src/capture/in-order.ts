import { invariant } from '@strata/shared/errors.ts'
import { Room } from '../room.ts'

/** Puts results that come in any order back into theirs; how many may wait for an earlier one is bounded. */
export class InOrder<T> {
  readonly #room: Room
  readonly #take: (item: T) => void
  readonly #early = new Map<number, T>()
  #tickets = 0
  #next = 0

  constructor(aheadMax: number, take: (item: T) => void, stop: AbortSignal) {
    this.#room = new Room(aheadMax, stop)
    this.#take = take
  }

  /** Waits while too many are unfinished. */
  async ready(): Promise<void> {
    await this.#room.take()
  }

  /** The next place in the order, after `ready`. */
  ticket(): number {
    this.#tickets += 1
    return this.#tickets - 1
  }

  put(ticket: number, item: T): void {
    this.#early.set(ticket, item)
    for (;;) {
      const next = this.#early.get(this.#next)
      if (next === undefined) return
      this.#early.delete(this.#next)
      this.#next += 1
      this.#take(next)
      this.#room.give()
    }
  }

  finish(): void {
    invariant(this.#next === this.#tickets, 'every ticket was used')
  }
}
