import { invariant } from '../errors.ts'

/** A map of at most `entriesMax` values: adding one more drops the one that was used longest ago. */
export class RecentlyUsed<K, V> {
  readonly #entriesMax: number
  /** A Map keeps the order of insertion: used longest ago first. */
  readonly #values = new Map<K, V>()

  constructor(entriesMax: number) {
    invariant(entriesMax >= 1, 'room for one at least')
    this.#entriesMax = entriesMax
  }

  /** The value of `key`, made by `make` when it is not at hand. */
  get(key: K, make: () => V): V {
    const value = this.#values.get(key) ?? make()
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size > this.#entriesMax) {
      for (const oldest of this.#values.keys()) {
        this.#values.delete(oldest)
        break
      }
    }
    return value
  }

  /** What is at hand; it does not count as used. */
  peek(key: K): V | undefined {
    return this.#values.get(key)
  }

  set(key: K, value: V): void {
    this.delete(key)
    this.get(key, () => value)
  }

  delete(key: K): void {
    this.#values.delete(key)
  }
}
