import type { StoredAmount, StoredByClass } from '@strata/shared/cost/price-of.ts'
import type { StoredClass } from '@strata/shared/format/storage-class.ts'
import type { ObjectInfo } from '@strata/shared/store/object-store.ts'

/** Adds up objects by the class that they lie in. */
export class ClassTotals {
  readonly #totals = new Map<StoredClass, StoredAmount>()

  add({ storageClass, sizeBytes }: ObjectInfo): void {
    this.addAmount(storageClass ?? 'standard', { bytes: sizeBytes, objects: 1 })
  }

  addAmount(storedClass: StoredClass, amount: StoredAmount): void {
    const { bytes, objects } = this.#totals.get(storedClass) ?? { bytes: 0, objects: 0 }
    this.#totals.set(storedClass, { bytes: bytes + amount.bytes, objects: objects + amount.objects })
  }

  get all(): readonly (readonly [StoredClass, StoredAmount])[] {
    return [...this.#totals]
  }

  get byClass(): StoredByClass {
    return Object.fromEntries(this.#totals)
  }
}
