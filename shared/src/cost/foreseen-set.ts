import { chainPointsMax } from '../limits.ts'
import { chainEnd, isTooDead, mayBeDead, newestChain } from '../policy/chain-due.ts'
import { chainLockFrom, isClosed, pointLockEndMs } from '../policy/chain-lock.ts'
import type { Policy } from '../policy/policy.ts'
import type { Holds } from '../policy/retention.ts'
import { dayMs } from '../policy/wall-time.ts'
import type { DayStep } from './calendar.ts'
import type { ClassMoves } from './class-moves.ts'
import { ForeseenChains, type ForeseenPoint } from './foreseen-chains.ts'
import { MonthTally, type ForecastMonth } from './foreseen-months.ts'
import { wholePackBytesFrom } from '../policy/whole-packs.ts'
import { objectsOf, objectsOfSyntheticFull, requestsOfBackup, requestsOfSyntheticFull } from './foreseen-requests.ts'
import type { ProviderPrices } from './price-table.ts'
import { RetentionPlay } from './retention-play.ts'
import { StoredObjects } from './stored-objects.ts'

/** What is known of a set, or assumed of it. */
export interface SetProfile {
  readonly name: string
  /** By number. */
  readonly points: readonly ProfilePoint[]
  readonly holds?: Holds | undefined
  /** What a full stores, an increment, and an object of either on average. */
  readonly fullBytes: number
  readonly incrementBytes: number
  readonly objectBytes: number
}

/** A point that is there, or one that is gone and whose chain may be stored. */
export interface ProfilePoint extends ForeseenPoint {
  readonly isGone?: boolean | undefined
  /** It is marked, and gone then. */
  readonly dueMs?: number | undefined
}

/** What all sets of a forecast have in common. */
export interface ForecastFrame {
  readonly policy: Policy
  readonly prices: ProviderPrices
  readonly moves: ClassMoves
  readonly canLock: boolean
  readonly sameRegion: boolean
  readonly steps: readonly DayStep[]
  /** When backups begin, by step. */
  readonly runs: readonly (readonly ForeseenRun[])[]
  readonly nowMs: number
}

export interface ForeseenRun {
  readonly atMs: number
  /** The same, as points have it. */
  readonly createdAt: string
}

/** What all points of a chain have in common. */
type ChainTerms = Pick<ForeseenPoint, 'chain' | 'lock' | 'isNotLocked'>

/** Lives through the days of one set: each day its turn, as the service has it, and then its backups. */
export function foreseeSet(profile: SetProfile, frame: ForecastFrame): ForecastMonth[] {
  const set = new ForeseenSet(profile, frame)
  frame.steps.forEach((step, index) => {
    set.live(step, frame.runs[index] ?? [])
  })
  return set.tally.months
}

class ForeseenSet {
  readonly tally: MonthTally
  readonly #profile: SetProfile
  readonly #frame: ForecastFrame
  readonly #stored: StoredObjects
  readonly #chains: ForeseenChains
  readonly #retention: RetentionPlay<ForeseenPoint>
  #points = 0
  #newest: ForeseenPoint | undefined

  constructor(profile: SetProfile, frame: ForecastFrame) {
    const { policy, prices, moves, nowMs, sameRegion } = frame
    this.#profile = profile
    this.#frame = frame
    this.tally = new MonthTally(prices, policy.verification.everyDays, sameRegion)
    this.#stored = new StoredObjects(prices, moves, nowMs)
    this.#chains = new ForeseenChains(this.#stored)
    this.#retention = new RetentionPlay(policy.retention, profile.holds ?? { points: new Map() }, nowMs)
    this.#takeExisting(profile.points)
  }

  live(step: DayStep, runs: readonly ForeseenRun[]): void {
    const { fromMs } = step
    const passed = this.#stored.pass(fromMs)
    if (this.#isChainToEnd(fromMs)) this.#makeSyntheticFull(fromMs)
    let tagged = 0
    for (const point of this.#retention.turn(fromMs)) tagged += this.#goes(point, fromMs)
    this.tally.count({ tag: tagged })
    for (const run of runs) this.#backUp(run)
    this.tally.endOfDay(step, this.#stored.totals, this.#points, passed)
  }

  #isChainToEnd(nowMs: number): boolean {
    const { policy, canLock } = this.#frame
    const chain = newestChain(this.#chains.newest, (sequence) => this.#chains.isGone(sequence))
    if (chain === undefined) return false
    if (chainEnd(chain, policy.chain, nowMs, canLock) !== undefined) return true
    if (!mayBeDead(chain, policy.chain)) return false
    // As if each increment replaced what the one before it had stored.
    const liveBytes = chain.there.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
    const full = chain.all[0]
    const fullBytes = full === undefined || chain.there.includes(full) ? 0 : full.storedBytes
    return isTooDead(chain, policy.chain, liveBytes + fullBytes)
  }

  #makeSyntheticFull(nowMs: number): void {
    const { fullBytes, objectBytes } = this.#profile
    const source = this.#newest
    if (source === undefined) return
    const full = { bytes: fullBytes, objectBytes, wholePackBytesMin: wholePackBytesFrom(this.#frame.policy) }
    const objects = objectsOfSyntheticFull(full)
    const made = { createdAt: instant(nowMs), momentMs: source.momentMs, isCopy: true }
    const { lock } = this.#add({ ...made, ...this.#newChain(nowMs), storedBytes: fullBytes, objects })
    this.tally.count(requestsOfSyntheticFull(full, lock !== undefined))
  }

  #backUp({ atMs, createdAt }: ForeseenRun): void {
    const { fullBytes, incrementBytes, objectBytes } = this.#profile
    const base = this.#base(atMs)
    const storedBytes = base === undefined ? fullBytes : incrementBytes
    const objects = objectsOf(storedBytes, objectBytes)
    const made = { createdAt, momentMs: atMs, isCopy: false, storedBytes, objects }
    const { lock } = this.#add({ ...made, ...(base ?? this.#newChain(atMs)) })
    this.tally.count(requestsOfBackup({ bytes: storedBytes, objects }, lock !== undefined))
    this.tally.sent(storedBytes)
  }

  /** The chain that a backup continues; undefined: it begins one. */
  #base(nowMs: number): ChainTerms | undefined {
    const base = this.#newest
    if (base === undefined || this.#chains.newest.length >= chainPointsMax) return undefined
    const { chain, lock, isNotLocked } = base
    return lock !== undefined && isClosed(lock, nowMs) ? undefined : { chain, lock, isNotLocked }
  }

  #newChain(nowMs: number): ChainTerms {
    const { policy, canLock } = this.#frame
    const lock = canLock ? chainLockFrom(policy, nowMs) : undefined
    return { chain: `foreseen ${String(this.#nextSequence())}`, lock, isNotLocked: false }
  }

  #nextSequence(): number {
    return (this.#newest?.sequence ?? 0) + 1
  }

  #add(made: Omit<ForeseenPoint, 'id' | 'sequence' | 'state' | 'lockedUntilMs'>): ForeseenPoint {
    const sequence = this.#nextSequence()
    const { lock, createdAt } = made
    const locked = lock === undefined ? {} : { lockedUntilMs: pointLockEndMs(lock, createdAt) }
    const point: ForeseenPoint = { ...made, ...locked, id: String(sequence), sequence, state: 'complete' }
    this.#place(point)
    this.#retention.add(point)
    return point
  }

  /** Gives how many objects are tagged with it. */
  #goes(point: ForeseenPoint, nowMs: number): number {
    this.#points -= 1
    return this.#chains.goes(point, nowMs)
  }

  #place(point: ForeseenPoint): void {
    this.#chains.add(point)
    this.#newest = point
    this.#points += 1
  }

  #takeExisting(points: readonly ProfilePoint[]): void {
    const { nowMs } = this.#frame
    for (const point of points) {
      const { isGone = false, dueMs } = point
      this.#place(point)
      if (isGone) continue
      if (dueMs === undefined) this.#retention.add(point)
      else this.#retention.addMarked(point, dueMs)
    }
    for (const point of points) if (point.isGone === true) this.#goes(point, nowMs - goneLongAgoMs)
    // What was deleted before has been billed before.
    this.#stored.pass(nowMs)
  }
}

/** Of what is gone already nobody says since when: it is deleted, unless a lock keeps it. */
const goneLongAgoMs = 366 * dayMs

export function instant(ms: number): string {
  return new Date(ms).toISOString()
}
