import { rangesOf } from '@strata/shared/format/number-ranges.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { scrubDamageMax, scrubHitsMax } from '@strata/shared/limits.ts'
import type { RecordPlace } from '@strata/shared/repository/repairs.ts'
import type { BadPlace } from './bad-places.ts'

/** Blocks of a point that need what is bad. */
export interface Hit {
  readonly cause: BadPlace
  readonly disk: number
  readonly block: number
  readonly blocks: number
  /** Where it is one record, and not a part of the map. */
  readonly record?: LostRecord
}

export interface LostRecord {
  readonly place: RecordPlace
  readonly digest: Uint8Array
}

export type CollectedHit = Hit & { readonly points: number[] }

interface Cause {
  readonly place: BadPlace
  readonly points: Set<number>
  readonly hits: Map<string, CollectedHit>
  truncated: boolean
}

/** What counts as damage still. */
export interface Counts {
  readonly isThere: (sequence: number) => boolean
  readonly isRepaired: (record: LostRecord) => boolean
}

/** Hits by their causes. Bounded: past that only the points of a cause are counted, and past that it says so. */
export class HitList {
  readonly #causes = new Map<string, Cause>()
  #hits = 0
  #truncated = false

  /** Whether there are more causes than the list has. */
  get truncated(): boolean {
    return this.#truncated
  }

  add(hit: Hit, sequence: number): void {
    const cause = this.#causeOf(hit.cause)
    if (cause === undefined) return
    cause.points.add(sequence)
    const key = `${String(hit.disk)}#${String(hit.block)}#${hit.record?.place.object ?? ''}#${String(hit.record?.place.offset)}`
    const known = cause.hits.get(key)
    if (known !== undefined) known.points.push(sequence)
    else if (this.#hits < scrubHitsMax) {
      cause.hits.set(key, { ...hit, points: [sequence] })
      this.#hits += 1
    } else cause.truncated = true
  }

  *records(): Generator<CollectedHit & { readonly record: LostRecord }> {
    for (const { hits } of this.#causes.values()) {
      for (const hit of hits.values()) if (hit.record !== undefined) yield { ...hit, record: hit.record }
    }
  }

  /** As a ledger has them, without points that are gone meanwhile, and what is repaired. */
  damage(chain: string, foundAt: string, counts: Counts): ScrubDamage[] {
    return [...this.#causes.values()].flatMap((cause): ScrubDamage[] => {
      const left = [...cause.hits.values()]
        .filter(({ record }) => record === undefined || !counts.isRepaired(record))
        .map((hit) => ({ ...hit, points: hit.points.filter(counts.isThere) }))
        .filter(({ points }) => points.length > 0)
      // Of hits that there was no room for, nobody knows whether they are repaired.
      const points = cause.truncated
        ? [...cause.points].filter(counts.isThere)
        : new Set(left.flatMap(({ points: hit }) => hit))
      const hits = joined(left)
      if (rangesOf(points).length === 0) return []
      const { object, offset, length, code, message } = cause.place
      const { truncated } = cause
      return [
        {
          chain,
          object,
          offset,
          length,
          code,
          message,
          foundAt,
          by: 'scrub',
          points: rangesOf(points),
          hits,
          truncated,
        },
      ]
    })
  }

  #causeOf(place: BadPlace): Cause | undefined {
    const key = `${place.object}#${String(place.offset)}#${String(place.length)}`
    const known = this.#causes.get(key)
    if (known !== undefined) return known
    if (this.#causes.size >= scrubDamageMax) {
      this.#truncated = true
      return undefined
    }
    const cause: Cause = { place, points: new Set(), hits: new Map(), truncated: false }
    this.#causes.set(key, cause)
    return cause
  }
}

/** Neighbouring blocks of the same points are one range. */
function joined(hits: readonly CollectedHit[]): ScrubDamage['hits'] {
  const sorted = [...hits].sort((a, b) => a.disk - b.disk || a.block - b.block)
  const ranges: ScrubDamage['hits'] = []
  let key = ''
  for (const { disk, block, blocks, points } of sorted) {
    const last = ranges.at(-1)
    const own = points.join(',')
    if (last?.disk === disk && last.block + last.blocks === block && own === key) {
      last.blocks += blocks
    } else ranges.push({ disk, block, blocks, points: rangesOf(points) })
    key = own
  }
  return ranges
}
