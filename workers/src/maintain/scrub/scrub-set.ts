import { StrataError } from '@strata/shared/errors.ts'
import { chainObjectOf, chainPrefix, sessionObjectsPrefix, type ChainPlace } from '@strata/shared/format/names.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { scrubNoteBytes, scrubObjectsAtOnceMax } from '@strata/shared/limits.ts'
import { listCatalogued } from '@strata/shared/repository/catalog/read-catalog.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { isReadable, listPoints, pointId, type Point, type PointEntry } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import {
  newScrub,
  ScrubLedger,
  withDamage,
  withProgress,
  type DamageNews,
  type PastDamage,
  type ScrubProgress,
  type ScrubState,
} from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { asId, type ChainId, type SetId } from '@strata/shared/types.ts'
import { checkHistory, type HistoryDamage } from '../verify/history.ts'
import type { BadPlace, ListedObjects } from './bad-places.ts'
import { listObjects, type ChainObject } from './chain-objects.ts'
import { ObjectChecker, type BadRange } from './check-object.ts'
import { ended, lookAtChain } from './look-at-chain.ts'
import type { PiecePool } from './piece-pool.ts'
import {
  coverageOf,
  coveredAfter,
  isStepDue,
  isToRead,
  isWalkDue,
  planScrub,
  roundMs,
  withPeriod,
  type Coverage,
  type PlannedObject,
} from './scrub-plan.ts'

/**
 * Reads what is due of one set and checks it, with the index keys alone. How far it came is noted in the set's scrub ledger:
 * a run that dies is continued by the next one, and two at the same time do the same work and no harm.
 */
export interface ScrubOptions {
  readonly repository: Repository
  readonly set: SetId
  /** Each object is read once in so many days. */
  readonly everyDays: number
  readonly pool: PiecePool
  /** Left out: all that is due. */
  readonly bytesMax?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((checkedBytes: number) => void) | undefined
}

export interface SetScrub extends Coverage {
  readonly set: SetId
  readonly setName: string | undefined
  readonly checkedBytes: number
  readonly checkedObjects: number
  /** What is due and was not read. */
  readonly dueBytes: number
  readonly coveredUntil: string
  /** All that is known now. */
  readonly damage: readonly ScrubDamage[]
  readonly damageTruncated: boolean
  /** Damage that this run saw the end of. */
  readonly ended: readonly PastDamage[]
  /** Manifests and voids that are missing or replaced. */
  readonly history: readonly HistoryDamage[]
  /** Of all points of the set, by number. */
  readonly points: ReadonlyMap<number, ScrubbedPoint>
}

export interface ScrubbedPoint {
  readonly id: string
  readonly chain: string
  readonly disks: Point['manifest']['disks']
}

/** undefined: the set has no number at all. */
export async function scrubSet(options: ScrubOptions): Promise<SetScrub | undefined> {
  const { repository, set } = options
  const nowMs = await repository.store.now()
  const periodMs = roundMs(options.everyDays)
  const before = (await new ScrubLedger(repository).read(set)) ?? newScrub(periodMs, nowMs)
  // The manifests themselves are read as often as the maps; in between the catalogue says what there is.
  const list = isWalkDue(before, nowMs) ? listPoints : listCatalogued
  const entries = await Array.fromAsync(list(repository, set))
  if (entries.length === 0) return undefined
  const run = new SetRun(options, entries, withPeriod(before, periodMs), nowMs)
  await run.run()
  return run.result()
}

class SetRun {
  readonly #options: ScrubOptions
  readonly #entries: readonly PointEntry[]
  readonly #points: readonly Point[]
  readonly #nowMs: number
  readonly #ledger: ScrubLedger
  readonly #retention: RetentionLedger
  readonly #checker: ObjectChecker
  /** As the ledger has it, or would have it. */
  #state: ScrubState
  #progress: ScrubProgress
  #notedBytes = 0
  #checkedBytes = 0
  #checkedObjects = 0
  #plannedBytes = 0
  /** By chain. */
  readonly #bad = new Map<string, BadPlace[]>()
  /** What was known when the run began, or was found by it; what others note meanwhile is theirs. */
  #known: readonly ScrubDamage[]
  /** How far the run was when it came to something bad that is not noted yet. */
  #unsettled: ScrubProgress | undefined
  readonly #listed = new Map<string, ListedObjects>()
  readonly #ended: PastDamage[] = []

  constructor(options: ScrubOptions, entries: readonly PointEntry[], state: ScrubState, nowMs: number) {
    const { repository, pool } = options
    this.#options = options
    this.#entries = entries
    this.#points = entries.filter(isReadable)
    this.#nowMs = nowMs
    this.#ledger = new ScrubLedger(repository)
    this.#retention = new RetentionLedger(repository)
    this.#checker = new ObjectChecker(repository, pool)
    this.#state = state
    this.#progress = state
    this.#known = state.damage
  }

  async run(): Promise<void> {
    const chains = await this.#chains()
    const plan = await this.#plan(chains)
    await this.#lookAgain()
    await this.#read(chains, plan)
    if (this.#isAborted) {
      // What was found is found again.
      this.#progress = this.#unsettled ?? this.#progress
      await this.#note([])
      throw new StrataError('E_INTERRUPTED', 'interrupted; the next run goes on from here')
    }
    await this.#settle(chains, isWalkDue(this.#state, this.#nowMs))
  }

  result(): SetScrub {
    const { damage, damageTruncated, coveredUntil, takenIn } = this.#state
    const newest = this.#points.find(({ sequence }) => sequence > takenIn)
    const newSinceMs = newest === undefined ? undefined : Date.parse(newest.manifest.createdAt)
    return {
      set: this.#options.set,
      setName: this.#points[0]?.manifest.setName,
      checkedBytes: this.#checkedBytes,
      checkedObjects: this.#checkedObjects,
      dueBytes: this.#plannedBytes,
      coveredUntil,
      ...coverageOf(this.#state, newSinceMs, this.#nowMs),
      damage,
      damageTruncated,
      ended: this.#ended,
      history: checkHistory(this.#entries),
      points: new Map(
        this.#points.map((point) => [
          point.sequence,
          { id: pointId(point), chain: point.manifest.chain, disks: point.manifest.disks },
        ]),
      ),
    }
  }

  /** The chains with points that are there, with those. */
  async #chains(): Promise<Map<ChainPlace, Point[]>> {
    const { repository, set } = this.#options
    const { state } = await this.#retention.read(set)
    const there = this.#points.filter(({ sequence }) => !isGone(state, sequence))
    const byChain = Map.groupBy(there, ({ manifest }) => manifest.chain)
    return new Map(
      [...byChain].map(([chain, points]) => [{ ...repository.placeOf(set), chain: asId<ChainId>(chain) }, points]),
    )
  }

  async #plan(chains: ReadonlyMap<ChainPlace, readonly Point[]>): Promise<PlannedObject<ChainObject>[]> {
    const wanted: ChainObject[] = []
    const isFullListing = isStepDue(this.#state, this.#nowMs) || isWalkDue(this.#state, this.#nowMs)
    for (const [place, points] of chains) {
      for await (const object of isFullListing ? this.#listChain(place) : this.#listNew(place, points)) {
        if (isToRead(this.#state, object, this.#nowMs)) wanted.push(object)
      }
    }
    const plan = planScrub(this.#state, wanted, this.#nowMs)
    this.#plannedBytes = plan.reduce((sum, { stored }) => sum + stored.sizeBytes, 0)
    return plan
  }

  async *#listChain(place: ChainPlace): AsyncGenerator<ChainObject> {
    const listed = new Map<string, number>()
    yield* listObjects(this.#options.repository, place, this.#sequences(place), {
      onObject: (object, sizeBytes) => listed.set(object, sizeBytes),
    })
    this.#listed.set(place.chain, listed)
  }

  async *#listNew(place: ChainPlace, points: readonly Point[]): AsyncGenerator<ChainObject> {
    for (const point of points.filter(({ sequence }) => sequence > this.#state.takenIn)) {
      // A copy has also brought what lies there under the sessions that wrote it.
      const isCopy = point.manifest.copyOf !== undefined
      const prefix = isCopy ? chainPrefix(place) : sessionObjectsPrefix({ ...place, session: pointId(point) })
      for await (const object of listObjects(this.#options.repository, place, this.#sequences(place), { prefix })) {
        if (object.sequence === point.sequence) yield object
      }
    }
  }

  /** By session, the number of the point that brought its objects to the chain: what was copied whole came with the full. */
  #sequences({ chain }: ChainPlace): Map<string, number> {
    const first = this.#points.find(({ manifest }) => manifest.chain === chain)?.sequence ?? 0
    return new Map(this.#points.map((point) => [pointId(point), Math.max(point.sequence, first)]))
  }

  /** First of all what is known to be damaged: it may be right again. */
  async #lookAgain(): Promise<void> {
    const { repository, set } = this.#options
    const looked = new Set<string>()
    for (const damage of this.#known) {
      const place = { ...repository.placeOf(set), chain: asId<ChainId>(damage.chain) }
      const name = chainPrefix(place) + damage.object
      // What the private key alone has shown to be damaged, nothing here shows to be right.
      if (damage.by === 'deep') this.#addBad(damage.chain, [{ ...damage, code: damage.code as BadPlace['code'] }])
      if (damage.by === 'deep' || looked.has(name)) continue
      looked.add(name)
      const parsed = chainObjectOf(place, name)
      const info = await repository.store.head(name)
      // One that is gone is missed when the maps are looked through.
      if (parsed === undefined || info === undefined) continue
      this.#keep(damage, await this.#checker.check({ ...parsed, name, sizeBytes: info.sizeBytes }), info.sizeBytes)
    }
  }

  async #read(chains: ReadonlyMap<ChainPlace, Point[]>, plan: readonly PlannedObject<ChainObject>[]): Promise<void> {
    const work = mapConcurrently(this.#wanted(plan), scrubObjectsAtOnceMax, async (planned) => ({
      planned,
      bad: await this.#checker.check(planned.stored),
    }))
    let done = 0
    for await (const { planned, bad } of work) {
      const { stored, progress } = planned
      if (bad.length > 0) this.#unsettled ??= this.#progress
      this.#keep({ chain: stored.place.chain, object: stored.object }, bad, stored.sizeBytes)
      this.#progress = progress
      this.#plannedBytes -= stored.sizeBytes
      done += 1
      if (this.#checkedBytes - this.#notedBytes >= scrubNoteBytes) await this.#settle(chains, false)
    }
    if (done < plan.length) return
    const takenIn = Math.max(this.#state.takenIn, ...this.#points.map(({ sequence }) => sequence))
    this.#progress = { coveredUntil: coveredAfter(this.#state, this.#nowMs), takenIn, takenInTo: null }
  }

  *#wanted(plan: readonly PlannedObject<ChainObject>[]): Generator<PlannedObject<ChainObject>> {
    const { bytesMax = Infinity } = this.#options
    let bytes = 0
    for (const planned of plan) {
      if (this.#isAborted || bytes >= bytesMax) return
      bytes += planned.stored.sizeBytes
      yield planned
    }
  }

  #keep({ chain, object }: Pick<ScrubDamage, 'chain' | 'object'>, bad: readonly BadRange[], sizeBytes: number): void {
    this.#checkedObjects += 1
    this.#checkedBytes += sizeBytes
    this.#options.onProgress?.(this.#checkedBytes)
    this.#addBad(
      chain,
      bad.map((range) => ({ ...range, object })),
    )
  }

  #addBad(chain: string, bad: readonly BadPlace[]): void {
    if (bad.length > 0) this.#bad.set(chain, [...(this.#bad.get(chain) ?? []), ...bad])
  }

  /** Says what the damage that was found means, and notes it together with how far the run has come. */
  async #settle(chains: ReadonlyMap<ChainPlace, Point[]>, walksAll: boolean): Promise<void> {
    const { repository, set, signal } = this.#options
    const news: DamageNews[] = []
    const { state: retained } = await this.#retention.read(set)
    for (const [place, points] of chains) {
      const known = this.#known.filter(({ chain }) => chain === place.chain)
      const bad = this.#bad.get(place.chain) ?? []
      if (!walksAll && known.length === 0 && bad.length === 0) continue
      const look = { repository, place, points, known, bad, knownBlocksOnly: false, signal }
      const isThere = (sequence: number): boolean => !isGone(retained, sequence)
      news.push(await lookAtChain({ ...look, isThere, listed: await this.#listing(place) }))
    }
    news.push(this.#ofGoneChains(chains))
    this.#known = news.flatMap(({ damage }) => damage)
    this.#unsettled = undefined
    await this.#note(news, walksAll)
  }

  async #listing(place: ChainPlace): Promise<ListedObjects | undefined> {
    if (!this.#listed.has(place.chain)) for await (const _ of this.#listChain(place));
    return this.#listed.get(place.chain)
  }

  #ofGoneChains(chains: ReadonlyMap<ChainPlace, unknown>): DamageNews {
    const there = new Set([...chains.keys()].map(({ chain }): string => chain))
    const known = this.#known.filter(({ chain }) => !there.has(chain))
    const endedAt = new Date(this.#nowMs).toISOString()
    return { known, damage: [], ended: known.map((one) => ended(one, endedAt, 'unneeded')), truncated: false }
  }

  async #note(news: readonly DamageNews[], isWalked = false): Promise<void> {
    const { set } = this.#options
    const walkedAt = new Date(this.#nowMs).toISOString()
    const change = `read ${String(this.#checkedObjects)} objects, ${String(this.#checkedBytes)} bytes`
    const noted = await this.#ledger.change(set, (stored) => {
      const before = withPeriod(stored ?? newScrub(this.#state.periodMs, this.#nowMs), this.#state.periodMs)
      const damaged = news.reduce(withDamage, before)
      const walked = isWalked ? { walkedAt, damageTruncated: news.some(({ truncated }) => truncated) } : {}
      return { state: { ...withProgress(damaged, this.#progress), ...walked }, change }
    })
    if (noted !== undefined) this.#state = noted
    this.#ended.push(...news.flatMap(({ ended: over }) => over))
    this.#notedBytes = this.#checkedBytes
  }

  get #isAborted(): boolean {
    return this.#options.signal?.aborted === true
  }
}
