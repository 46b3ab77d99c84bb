import { StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { encodeWrappedDataKey, type WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { keysPerRootMax } from '@strata/shared/limits.ts'
import type { KeyId } from '@strata/shared/types.ts'

/** The data keys of a new point: those in its base's root, and those of the packs that are taken for it. */
export class PointKeys {
  readonly #keys: Map<KeyId, WrappedDataKey>
  readonly #baseCount: number
  readonly #added: WrappedDataKey[] = []

  constructor(ofBase: readonly WrappedDataKey[]) {
    this.#keys = new Map(ofBase.map((key) => [key.keyId, key]))
    this.#baseCount = this.#keys.size
  }

  /** What the base does not have, in the order in which it was added, each key once. */
  get added(): readonly WrappedDataKey[] {
    return this.#added
  }

  /**
   * The keys of one pack, all or none. False when another key has the id of one of them: no reader could tell which a
   * record means. Error: E_LIMIT.
   */
  add(keys: readonly WrappedDataKey[]): boolean {
    const unknown = keys.filter(({ keyId }) => !this.#keys.has(keyId))
    const known = keys.filter(({ keyId }) => this.#keys.has(keyId))
    if (!known.every((key) => this.#isSame(key))) return false
    if (this.#keys.size + unknown.length > keysPerRootMax) throw this.#tooMany()
    for (const key of unknown) this.#keys.set(key.keyId, key)
    this.#added.push(...unknown)
    return true
  }

  #isSame(key: WrappedDataKey): boolean {
    const known = this.#keys.get(key.keyId)
    return known !== undefined && equalBytes(encodeWrappedDataKey(known), encodeWrappedDataKey(key))
  }

  #tooMany(): StrataError {
    const message = `the point would need more than ${String(keysPerRootMax)} data keys: ${String(this.#baseCount)} of its base, and one for each worker process that stored records for its session`
    return new StrataError('E_LIMIT', message, {
      hint: 'Start a new chain with --full. When that ends in the same way, find out why workers start so often.',
    })
  }
}
