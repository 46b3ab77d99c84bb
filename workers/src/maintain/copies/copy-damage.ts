import type { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { damageListMax } from '@strata/shared/limits.ts'

/** What was found bad in the source. */
export interface SourceDamage extends Warning {
  /** undefined: the message says where. */
  readonly object: string | undefined
}

/** The same, with the points that are not in the copy because of it: ids, or numbers of what has none. */
export interface CopyDamage extends SourceDamage {
  readonly set: string
  readonly points: readonly string[]
}

/** Damage as it is found, point by point; what hits several is told once. Bounded. */
export class CopyDamageList {
  readonly #found = new Map<string, { readonly damage: SourceDamage; readonly points: Set<string> }>()
  #isTruncated = false

  add(damage: SourceDamage, point: string): void {
    const key = damage.object ?? damage.message
    const known = this.#found.get(key)
    if (known !== undefined) known.points.add(point)
    else if (this.#found.size < damageListMax) this.#found.set(key, { damage, points: new Set([point]) })
    else this.#isTruncated = true
  }

  addError({ code, message }: StrataError, point: string): void {
    this.add({ object: undefined, code, message }, point)
  }

  /** @param set its name, or else its id */
  ofSet(set: string): { readonly damage: readonly CopyDamage[]; readonly damageTruncated: boolean } {
    const damage = [...this.#found.values()].map((found) => ({ ...found.damage, set, points: [...found.points] }))
    return { damage, damageTruncated: this.#isTruncated }
  }
}
