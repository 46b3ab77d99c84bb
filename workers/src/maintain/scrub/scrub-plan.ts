import { scrubReserveShare, scrubStepsPerRound } from '@strata/shared/limits.ts'
import type { ScrubProgress, ScrubState } from '@strata/shared/repository/scrub/scrub-ledger.ts'

/**
 * When each object is to be read. Pure.
 *
 * Each object has a moment in the round, which its name gives: the first half of its attempt, which is random. It is read
 * once in each round, when that moment has come. So all that has to be kept is until when the moments that have passed
 * were dealt with, whatever objects came or went meanwhile; each day has the same share of the bytes; and no object waits
 * for longer than a round, whatever others do. A round is shorter than what the policy says, so that a run that comes
 * late is still in time.
 *
 * What is new is read with the next run: the disk of the endpoint still has it then, should something be wrong.
 */
const dayMs = 24 * 3600_000

export function roundMs(everyDays: number): number {
  return Math.floor(everyDays * dayMs * (1 - scrubReserveShare))
}

/** How late a run may be without anything missing its deadline. */
function reserveMs(periodMs: number): number {
  return (periodMs * scrubReserveShare) / (1 - scrubReserveShare)
}

/** The first moment of an object after `afterMs`. */
export function momentAfter(attempt: string, periodMs: number, afterMs: number): number {
  const moment = Math.floor((parseInt(attempt.slice(0, 8), 16) / 2 ** 32) * periodMs)
  const rounds = Math.floor((afterMs - moment) / periodMs) + 1
  return moment + rounds * periodMs
}

/** Whether enough of the round has become due to be worth a listing. */
export function isStepDue({ periodMs, coveredUntil }: ScrubState, nowMs: number): boolean {
  return nowMs - Date.parse(coveredUntil) >= periodMs / scrubStepsPerRound
}

/** Whether the maps are to be compared with what is there. */
export function isWalkDue({ periodMs, walkedAt }: ScrubState, nowMs: number): boolean {
  return walkedAt === null || nowMs - Date.parse(walkedAt) >= periodMs / scrubStepsPerRound
}

/** Another length of the round: from now on each object has another moment. */
export function withPeriod(state: ScrubState, periodMs: number): ScrubState {
  if (state.periodMs === periodMs) return state
  const oldestBefore = new Date(oldestReadMs(state)).toISOString()
  return { ...state, periodMs, since: state.coveredUntil, oldestBefore }
}

/** No object that was read is unread for longer: not before that time was it last read. */
export function oldestReadMs({ periodMs, since, oldestBefore, coveredUntil }: ScrubState): number {
  const coveredMs = Date.parse(coveredUntil)
  return coveredMs - Date.parse(since) >= periodMs ? coveredMs - periodMs : Date.parse(oldestBefore)
}

/** How a set stands with its deadline. */
export interface Coverage {
  /** Nothing was last read, or written if it was never read, before that. */
  readonly oldestUncheckedMs: number
  readonly isLate: boolean
  /** Of the objects that were taken in, the part that was read in time; from 0 to 1. */
  readonly share: number
}

/** @param newSinceMs when the oldest point was made that is not taken in; undefined: all are */
export function coverageOf(state: ScrubState, newSinceMs: number | undefined, nowMs: number): Coverage {
  const { periodMs, coveredUntil } = state
  const reserve = reserveMs(periodMs)
  const behindMs = nowMs - Date.parse(coveredUntil) - reserve
  const oldestUncheckedMs = Math.min(oldestReadMs(state), newSinceMs ?? Infinity)
  return {
    oldestUncheckedMs,
    isLate: nowMs - oldestUncheckedMs > periodMs + reserve,
    share: 1 - Math.min(1, Math.max(0, behindMs) / periodMs),
  }
}

/** An object with its size, and where it stands in the order of a run. */
export interface PlannedObject<Stored> {
  readonly stored: Stored
  /** How far the run has come when it is read, and all before it. */
  readonly progress: ScrubProgress
}

interface Plannable {
  /** Below its chain. */
  readonly object: string
  readonly attempt: string
  /** Number of the point that brought it to the chain. */
  readonly sequence: number
}

/** Whether an object is to be read now. */
export function isToRead(state: ScrubState, { attempt, sequence }: Plannable, nowMs: number): boolean {
  if (sequence > state.takenIn) return true
  return isStepDue(state, nowMs) && momentAfter(attempt, state.periodMs, Date.parse(state.coveredUntil)) <= nowMs
}

/**
 * The order in which that is done, of those that are to be read: what is due, the longest due first; then what is new, by
 * the number of its point and by name.
 */
export function planScrub<Stored extends Plannable>(
  state: ScrubState,
  toRead: Iterable<Stored>,
  nowMs: number,
): PlannedObject<Stored>[] {
  const coveredMs = Date.parse(state.coveredUntil)
  const due: { stored: Stored; moment: number }[] = []
  const fresh: Stored[] = []
  for (const stored of toRead) {
    if (stored.sequence > state.takenIn) fresh.push(stored)
    else due.push({ stored, moment: momentAfter(stored.attempt, state.periodMs, coveredMs) })
  }
  due.sort((a, b) => a.moment - b.moment)
  fresh.sort((a, b) => a.sequence - b.sequence || (a.object < b.object ? -1 : 1))
  const { takenIn, takenInTo } = state
  const planned: PlannedObject<Stored>[] = due.map(({ stored, moment }, index) => {
    // Several may have one moment: it has passed when the last of them was read.
    const isLast = due[index + 1]?.moment !== moment
    const coveredUntil = isLast ? new Date(moment).toISOString() : new Date(moment - 1).toISOString()
    return { stored, progress: { coveredUntil, takenIn, takenInTo } }
  })
  const coveredUntil = coveredAfter(state, nowMs)
  for (const [index, stored] of fresh.entries()) {
    if (stored.sequence === firstSequence(fresh) && isTaken(stored, takenInTo)) continue
    const isLastOfPoint = fresh[index + 1]?.sequence !== stored.sequence
    const done = isLastOfPoint
      ? { takenIn: stored.sequence, takenInTo: null }
      : { takenIn: stored.sequence - 1, takenInTo: stored.object }
    planned.push({ stored, progress: { coveredUntil, ...done } })
  }
  return planned
}

/** Until when all is dealt with, when all that is due was read. */
export function coveredAfter(state: ScrubState, nowMs: number): string {
  return isStepDue(state, nowMs) ? new Date(nowMs).toISOString() : state.coveredUntil
}

function firstSequence(fresh: readonly Plannable[]): number | undefined {
  return fresh[0]?.sequence
}

/** A name of another session than the one that was being taken in is no measure. */
function isTaken({ object }: Plannable, takenInTo: string | null): boolean {
  if (takenInTo === null) return false
  const [session] = takenInTo.split('/')
  return object.startsWith(`${session ?? ''}/`) && object <= takenInTo
}
