import { hasCode, type ErrorCode, type StrataError } from '@strata/shared/errors.ts'
import { damageListMax } from '@strata/shared/limits.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'

/** Blocks of a disk that cannot be read back, and the object at fault. */
export interface Damage {
  /** Name of the disk. */
  readonly disk: string
  readonly block: number
  readonly blocks: number
  readonly offsetBytes: number
  readonly lengthBytes: number
  /** Name of the object: a pack, or a page pack when part of the map is lost. */
  readonly pack: string
  /** Where in the object the bad bytes lie. */
  readonly packOffsetBytes: number
  readonly packLengthBytes: number
  readonly code: ErrorCode
  readonly message: string
}

/** Bounded: the list has the first ranges, the counts have all. */
export interface DamageReport {
  readonly blocks: number
  readonly bytes: number
  /** By disk and offset; neighbours with one cause are one entry. */
  readonly ranges: readonly Damage[]
  /** Whether there is more than the list tells. */
  readonly truncated: boolean
}

/** Whether an error means that stored bytes are bad or gone. Anything else ends a run: it may be different tomorrow. */
export function isDamage(error: unknown): error is StrataError {
  return hasCode(error, ...damageCodes, 'E_FORMAT_NEWER', 'E_STORE_IO')
}

/** Collects damage as it is found, in any order. */
export class DamageList {
  readonly #rangesMax: number
  #ranges: Damage[] = []
  #blocks = 0
  #bytes = 0
  #dropped = false

  constructor(rangesMax: number = damageListMax) {
    this.#rangesMax = rangesMax
  }

  get isEmpty(): boolean {
    return this.#blocks === 0
  }

  add(damage: Damage): void {
    this.#blocks += damage.blocks
    this.#bytes += damage.lengthBytes
    const last = this.#ranges.at(-1)
    if (last !== undefined && areOne(last, damage)) this.#ranges[this.#ranges.length - 1] = joined(last, damage)
    else if (this.#ranges.length < this.#rangesMax) this.#ranges.push(damage)
    else {
      this.#ranges = mergeDamage(this.#ranges)
      if (this.#ranges.length < this.#rangesMax) this.#ranges.push(damage)
      else this.#dropped = true
    }
  }

  report(): DamageReport {
    return { blocks: this.#blocks, bytes: this.#bytes, ranges: mergeDamage(this.#ranges), truncated: this.#dropped }
  }
}

/** By disk and offset; neighbours with one cause, and otherwise `alike`, are joined. */
export function mergeDamage<T extends Damage>(list: Iterable<T>, alike: (a: T, b: T) => boolean = () => true): T[] {
  const sorted = [...list].sort((a, b) => (a.disk === b.disk ? a.block - b.block : a.disk < b.disk ? -1 : 1))
  const merged: T[] = []
  for (const damage of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && areOne(last, damage) && alike(last, damage))
      merged[merged.length - 1] = joined(last, damage)
    else merged.push(damage)
  }
  return merged
}

function areOne(a: Damage, b: Damage): boolean {
  return a.disk === b.disk && a.block + a.blocks === b.block && a.pack === b.pack && a.code === b.code
}

/** The message stays that of the first. */
function joined<T extends Damage>(a: T, b: T): T {
  const packOffsetBytes = Math.min(a.packOffsetBytes, b.packOffsetBytes)
  const packEnd = Math.max(a.packOffsetBytes + a.packLengthBytes, b.packOffsetBytes + b.packLengthBytes)
  return {
    ...a,
    blocks: a.blocks + b.blocks,
    lengthBytes: a.lengthBytes + b.lengthBytes,
    packOffsetBytes,
    packLengthBytes: packEnd - packOffsetBytes,
  }
}
