import { isDeepStrictEqual } from 'node:util'
import { numbersIn } from '../../format/number-ranges.ts'
import { scrubType, type Scrub, type ScrubDamage, type scrubSchema } from '../../format/scrub.ts'
import { scrubDamageMax, scrubDeepMax, scrubHitsMax, scrubPastMax } from '../../limits.ts'
import type { SetId } from '../../types.ts'
import { whileOthersAreFaster } from '../registry/change.ts'
import { instant } from '../registry/registry.ts'
import { VersionedDocuments, type Versioned } from '../registry/versioned.ts'
import type { Repository } from '../repository.ts'

/** What a ledger says of a set; a change gives a new one. */
export type ScrubState = Omit<Scrub, 'strata' | 'version' | 'set' | 'changedAt' | 'change'>
export type PastDamage = Scrub['past'][number]
export type DeepVerification = Scrub['deep'][number]

export interface ScrubChange {
  readonly state: ScrubState
  readonly change: string
}

/** The scrub ledgers of a tenant's sets. */
export class ScrubLedger {
  readonly #repository: Repository
  readonly #documents: VersionedDocuments<typeof scrubSchema>

  constructor(repository: Repository) {
    this.#repository = repository
    this.#documents = new VersionedDocuments(repository, scrubType)
  }

  /** undefined: nothing of the set was ever read back. Then it costs one request, else a listing and one. */
  async read(set: SetId): Promise<ScrubState | undefined> {
    return stateOf(await this.#documents.latest(set))
  }

  /**
   * Makes the state that `change` gives for the one that holds; undefined: nothing is to be changed. Whoever else is at it
   * at the same time is not overwritten: `change` is asked again with what they left.
   */
  async change(
    set: SetId,
    change: (before: ScrubState | undefined) => ScrubChange | undefined,
  ): Promise<ScrubState | undefined> {
    return await whileOthersAreFaster(async () => {
      const stored = await this.#documents.latest(set)
      const before = stateOf(stored)
      const changed = change(before)
      if (changed === undefined || isDeepStrictEqual(changed.state, before)) return before
      const document: Scrub = {
        strata: 'scrub',
        version: 1,
        set,
        changedAt: instant(await this.#repository.store.now()),
        change: changed.change,
        ...bounded(changed.state),
      }
      return stateOf(await this.#documents.append(set, stored?.version ?? 0, document))
    })
  }
}

function stateOf(stored: Versioned<Scrub> | undefined): ScrubState | undefined {
  if (stored === undefined) return undefined
  const { strata: _, version: _version, set: _set, changedAt: _at, change: _change, ...state } = stored.document
  return state
}

/** What there is no room for is left out, and said to be: the next round finds it when there is. */
function bounded(state: ScrubState): ScrubState {
  let hitsLeft = scrubHitsMax
  const damage = state.damage.slice(0, scrubDamageMax).map((one) => {
    const hits = one.hits.slice(0, hitsLeft)
    hitsLeft -= hits.length
    return { ...one, hits, truncated: one.truncated || hits.length < one.hits.length }
  })
  return {
    ...state,
    damage,
    damageTruncated: state.damageTruncated || damage.length < state.damage.length,
    past: state.past.slice(-scrubPastMax),
    deep: state.deep.slice(-scrubDeepMax),
  }
}

// ── pure changes ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The ledger of a set that nobody has looked at yet: all of it is new. */
export function newScrub(periodMs: number, nowMs: number): ScrubState {
  const now = instant(nowMs)
  return {
    periodMs,
    since: now,
    oldestBefore: now,
    coveredUntil: now,
    takenIn: 0,
    takenInTo: null,
    walkedAt: null,
    damage: [],
    damageTruncated: false,
    past: [],
    deep: [],
  }
}

/** Bytes of an object of a set. */
export type DamagedRange = Pick<ScrubDamage, 'chain' | 'object' | 'offset' | 'length'>

export function isSameRange(a: DamagedRange, b: DamagedRange): boolean {
  return a.chain === b.chain && a.object === b.object && a.offset === b.offset && a.length === b.length
}

/** Numbers of the points that are known to be hit. */
export function damagedPoints({ damage }: { readonly damage: readonly ScrubDamage[] }): Set<number> {
  return new Set(damage.flatMap(({ points }) => [...numbersIn(points)]))
}

/** What one look at all damage of a chain has shown. */
export interface DamageNews {
  /** What was known when it began. */
  readonly known: readonly ScrubDamage[]
  /** What holds now. */
  readonly damage: readonly ScrubDamage[]
  readonly ended: readonly PastDamage[]
  /** There is more than `damage` has. */
  readonly truncated: boolean
}

/** What others have noted meanwhile stays. */
export function withDamage(state: ScrubState, { known, damage, ended, truncated }: DamageNews): ScrubState {
  const isOfOthers = (one: ScrubDamage): boolean => ![...known, ...damage].some((other) => isSameRange(one, other))
  const told = damage.map((one) => {
    const before = state.damage.find((other) => isSameRange(other, one))
    return before === undefined ? one : { ...one, foundAt: before.foundAt, by: before.by }
  })
  // Two who see the same damage end tell of it once.
  const newlyEnded = ended.filter(
    (one) => !state.past.some((past) => isSameRange(past, one) && past.foundAt === one.foundAt),
  )
  return {
    ...state,
    damage: [...state.damage.filter(isOfOthers), ...told],
    damageTruncated: state.damageTruncated || truncated,
    past: [...state.past, ...newlyEnded],
  }
}

/** How far a run has come, when others may have come further. */
export type ScrubProgress = Pick<ScrubState, 'coveredUntil' | 'takenIn' | 'takenInTo'>

export function withProgress(state: ScrubState, progress: ScrubProgress): ScrubState {
  const isFurther =
    progress.takenIn > state.takenIn ||
    (progress.takenIn === state.takenIn && (progress.takenInTo ?? '') > (state.takenInTo ?? ''))
  const { takenIn, takenInTo } = isFurther ? progress : state
  const coveredUntil = progress.coveredUntil > state.coveredUntil ? progress.coveredUntil : state.coveredUntil
  return { ...state, coveredUntil, takenIn, takenInTo }
}
