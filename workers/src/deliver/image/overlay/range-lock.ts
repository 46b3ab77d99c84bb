/** Lets work on ranges that overlap be done one after the other, in the order in which it came. */
export class RangeLock {
  readonly #held = new Set<{ readonly from: number; readonly to: number; readonly done: Promise<void> }>()

  /** @param to behind the last one */
  async run<T>(from: number, to: number, work: () => Promise<T>): Promise<T> {
    const before = [...this.#held].filter((other) => other.from < to && from < other.to)
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const mine = { from, to, done: promise }
    this.#held.add(mine)
    try {
      await Promise.all(
        before.map(async ({ done }) => {
          await done
        }),
      )
      return await work()
    } finally {
      this.#held.delete(mine)
      resolve(undefined)
    }
  }
}
