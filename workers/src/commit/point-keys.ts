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

  /** False when another key has this id: no reader could tell which of them a record means. Error: E_LIMIT. */
  add(key: WrappedDataKey): boolean {
    const known = this.#keys.get(key.keyId)
    if (known !== undefined) return equalBytes(encodeWrappedDataKey(known), encodeWrappedDataKey(key))
    if (this.#keys.size >= keysPerRootMax) throw this.#tooMany()
    this.#keys.set(key.keyId, key)
    this.#added.push(key)
    return true
  }

  #tooMany(): StrataError {
    const message = `the point would need more than ${String(keysPerRootMax)} data keys: ${String(this.#baseCount)} of its base, and one for each worker process that stored records for its session`
    return new StrataError('E_LIMIT', message, {
      hint: 'Start a new chain with --full. When that ends in the same way, find out why workers start so often.',
    })
  }
}
