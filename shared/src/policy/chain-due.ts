import type { ChainLock } from '../format/manifest.ts'
import { chainClosesSoonMs } from '../limits.ts'
import type { ChainRules } from './keeping-members.ts'

/** Why a chain is to end, and a synthetic full to begin the next one. Pure: forecasts ask the same. */
export type ChainEnd = 'length' | 'age' | 'missing lock' | 'dead share'

/** What of a point its chain's end depends on. */
export interface ChainPoint {
  readonly sequence: number
  readonly chain: string
  readonly createdAt: string
  /** What the point added to the store when it was made. */
  readonly storedBytes: number
  /** How its chain is locked. */
  readonly lock: ChainLock | undefined
  /** It was to be locked, and could not be. */
  readonly isNotLocked: boolean
}

export interface ChainFacts {
  /** Points of the newest chain that are not gone, by number; and all of it, those that are gone as well. */
  readonly there: readonly ChainPoint[]
  readonly all: readonly ChainPoint[]
}

/** The chain of the newest point. undefined: the set has no point, or the chain is one full and nothing else. */
export function newestChain(
  points: readonly ChainPoint[],
  isGone: (sequence: number) => boolean,
): ChainFacts | undefined {
  const newest = points.at(-1)
  const all = points.filter(({ chain }) => chain === newest?.chain)
  if (all.length < 2) return undefined
  return { all, there: all.filter(({ sequence }) => !isGone(sequence)) }
}

/**
 * What can be told without looking at the chain's maps.
 * @param canLock the policy wants locks, and the store has them
 */
export function chainEnd(
  { all }: ChainFacts,
  rules: ChainRules,
  nowMs: number,
  canLock: boolean,
): Exclude<ChainEnd, 'dead share'> | undefined {
  if (all.length >= rules.pointsMax) return 'length'
  const [first] = all
  if (first === undefined) return undefined
  const { createdAt, lock } = first
  if (nowMs - Date.parse(createdAt) > rules.ageMsMax) return 'age'
  if (lock !== undefined) return nowMs > closesSoonMs(createdAt, lock) ? 'age' : undefined
  return canLock && !all.some(({ isNotLocked }) => isNotLocked) ? 'missing lock' : undefined
}

/** A chain that closes before its turn would make the endpoint send a full. */
function closesSoonMs(createdAt: string, { closesAt }: ChainLock): number {
  const closesMs = Date.parse(closesAt)
  return closesMs - Math.min(chainClosesSoonMs, (closesMs - Date.parse(createdAt)) / 4)
}

/**
 * Whether so much can be dead that it is worth to look: what was stored after the full replaces no more than it has itself,
 * and each byte of it has made one dead at most.
 */
export function mayBeDead({ all }: ChainFacts, { deadPercentMax }: ChainRules): boolean {
  const storedBytes = all.reduce((sum, point) => sum + point.storedBytes, 0)
  const laterBytes = storedBytes - (all[0]?.storedBytes ?? 0)
  return 100 * laterBytes > deadPercentMax * storedBytes
}

export function isTooDead({ all }: ChainFacts, { deadPercentMax }: ChainRules, liveBytes: number): boolean {
  const storedBytes = all.reduce((sum, point) => sum + point.storedBytes, 0)
  return 100 * (storedBytes - liveBytes) > deadPercentMax * storedBytes
}
