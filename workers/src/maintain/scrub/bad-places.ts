import { packBytesMax } from '@strata/shared/limits.ts'
import type { RecordPlace, Repairs } from '@strata/shared/repository/repairs.ts'
import type { BadRange } from './check-object.ts'

/** A bad range of an object, which is named below its chain. */
export interface BadPlace extends BadRange {
  readonly object: string
}

/** Objects of a chain, named below it, with their sizes. */
export type ListedObjects = ReadonlyMap<string, number>

/** What is known of the places of one chain: which bytes are bad, which objects are missing or too short, what was repaired. */
export class BadPlaces {
  readonly #bad = new Map<string, BadPlace[]>()
  readonly #listed: ListedObjects | undefined
  readonly #repairs: Repairs

  /** @param listed all there are; undefined: nobody has looked, and what is not known to be bad is taken to be there */
  constructor(bad: readonly BadPlace[], listed: ListedObjects | undefined, repairs: Repairs) {
    for (const one of bad) this.#add(one)
    this.#listed = listed
    this.#repairs = repairs
  }

  /** Why whoever reads the place gets nothing, not by a repair either; undefined: it is right, as far as is known. */
  causeOf(place: RecordPlace): BadPlace | undefined {
    const cause = this.#causeAt(place)
    if (cause === undefined) return undefined
    const repaired = this.#repairs.find(place)
    return repaired !== undefined && this.#causeAt(repaired) === undefined ? undefined : cause
  }

  /** The same of the very place: what was repaired may be bad all the same. */
  isBad(place: RecordPlace): boolean {
    return this.#causeAt(place) !== undefined
  }

  #causeAt({ object, offset, length }: RecordPlace): BadPlace | undefined {
    const known = this.#bad.get(object)?.find((bad) => bad.offset < offset + length && offset < bad.offset + bad.length)
    if (known !== undefined || this.#listed === undefined) return known
    const sizeBytes = this.#listed.get(object)
    if (sizeBytes !== undefined && offset + length <= sizeBytes) return undefined
    const cause = sizeBytes === undefined ? missing(object) : cut(object, sizeBytes)
    this.#add(cause)
    return cause
  }

  #add(bad: BadPlace): void {
    const known = this.#bad.get(bad.object)
    if (known === undefined) this.#bad.set(bad.object, [bad])
    else known.push(bad)
  }
}

function missing(object: string): BadPlace {
  return { object, offset: 0, length: packBytesMax, code: 'E_OBJECT_MISSING', message: 'the object is gone' }
}

function cut(object: string, sizeBytes: number): BadPlace {
  const message = `the object ends at byte ${String(sizeBytes)}`
  return { object, offset: sizeBytes, length: packBytesMax - sizeBytes, code: 'E_OBJECT_TRUNCATED', message }
}
