import type { ChainPlace } from '@strata/shared/format/names.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import { addRepairs, readRepairsIfWhole, type Repair, type Repairs } from '@strata/shared/repository/repairs.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import {
  isSameRange,
  type DamageNews,
  type DamagedRange,
  type PastDamage,
} from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { BadPlaces, type BadPlace, type ListedObjects } from './bad-places.ts'
import { findRepairs } from './find-repairs.ts'
import type { LostRecord } from './hit-list.ts'
import { walkChain } from './walk-chain.ts'

/** What is known of a chain, for a look at what it means for its points. */
export interface ChainLook {
  readonly repository: Repository
  readonly place: ChainPlace
  /** By ascending number. */
  readonly points: readonly Point[]
  /** Asked at the end: points may go meanwhile, and their objects with them. */
  readonly isThere: (sequence: number) => boolean
  /** As the ledger has it. */
  readonly known: readonly ScrubDamage[]
  /** What was read and is bad, that of `known` that was looked at again included. */
  readonly bad: readonly BadPlace[]
  /** undefined: nobody has looked. */
  readonly listed: ListedObjects | undefined
  /** Looks at nothing but the blocks that are known to be hit. */
  readonly knownBlocksOnly: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Names the points and blocks that damage hits, looks for records that can stand for the damaged ones, and notes those
 * as repairs.
 */
export async function lookAtChain(look: ChainLook): Promise<DamageNews & { readonly repaired: number }> {
  const { repository, place, points, isThere, known, signal } = look
  const repairs = await readRepairsIfWhole(repository, place.chain)
  const places = new BadPlaces(look.bad, look.listed, repairs)
  const only = look.knownBlocksOnly ? pagesOf(known) : undefined
  const hits = await walkChain({ repository, points, places, only, signal })
  const found = await findRepairs(repository, place, points, hits.records(), places)
  const all = found.repairs.length === 0 ? repairs : await addRepairs(repository, place, found.repairs, found.keys)
  const isNew = ({ place: from }: LostRecord): boolean => leadsTo(all, found.repairs, from)
  const foundAt = new Date(await repository.store.now()).toISOString()
  const damage = hits.damage(place.chain, foundAt, { isThere, isRepaired: isNew })
  const healedAtOnce = hits
    .damage(place.chain, foundAt, { isThere, isRepaired: () => false })
    .filter((one) => ![...damage, ...known].some((other) => isSameRange(one, other)))
    .map((one) => ended(one, foundAt, 'healed'))
  const past = known
    .filter((one) => !damage.some((other) => isSameRange(one, other) || overlaps(one, other)))
    .map((one) => ended(one, foundAt, howEnded(one, all, look.bad)))
  return {
    known,
    damage,
    ended: [...past, ...healedAtOnce],
    truncated: hits.truncated,
    repaired: found.repairs.length,
  }
}

/** What there was no room for in the list of repairs is none. */
function leadsTo(all: Repairs, found: readonly Repair[], from: Repair['from']): boolean {
  const isFound = found.some((repair) => repair.from.object === from.object && repair.from.offset === from.offset)
  return isFound && all.find(from) !== undefined
}

/** Pages with blocks that are hit; undefined where not all of those are known. */
function pagesOf(known: readonly ScrubDamage[]): ((disk: number, page: number) => boolean) | undefined {
  if (known.some(({ truncated }) => truncated)) return undefined
  const ranges = known.flatMap(({ hits }) =>
    hits.map(({ disk, block, blocks }) => ({
      disk,
      first: Math.floor(block / pageEntriesMax),
      last: Math.floor((block + blocks - 1) / pageEntriesMax),
    })),
  )
  return (disk, page) => ranges.some((range) => range.disk === disk && range.first <= page && page <= range.last)
}

function howEnded(one: ScrubDamage, repairs: Repairs, bad: readonly BadPlace[]): PastDamage['how'] {
  for (const { from } of repairs.all()) {
    if (from.object === one.object && from.offset >= one.offset && from.offset < one.offset + one.length)
      return 'healed'
  }
  const isBad = bad.some((other) => overlaps({ ...other, chain: one.chain }, one))
  return isBad || one.code === 'E_OBJECT_MISSING' ? 'unneeded' : 'restored'
}

export function overlaps(a: DamagedRange, b: DamagedRange): boolean {
  if (a.chain !== b.chain || a.object !== b.object) return false
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length
}

export function ended(one: ScrubDamage, endedAt: string, how: PastDamage['how']): PastDamage {
  const { chain, object, offset, length, code, foundAt, points } = one
  return { chain, object, offset, length, code, foundAt, endedAt, how, points }
}
