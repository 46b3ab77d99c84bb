import { numbersIn } from '@strata/shared/format/number-ranges.ts'
import type { Retention } from '@strata/shared/format/retention.ts'
import type { RunTimes } from '@strata/shared/policy/hours.ts'
import type { Retention as RetentionPolicy } from '@strata/shared/policy/retention-rules.ts'
import { decideRetention, type Holds, type RetentionDecision } from '@strata/shared/policy/retention.ts'
import {
  isGone,
  markOf,
  withGone,
  withMark,
  withoutMarks,
  type Mark,
  type RetentionState,
} from '@strata/shared/repository/retention/ledger.ts'
import type { PinnedPoint } from '@strata/shared/repository/retention/pins.ts'
import type { SetPoint } from './set-points.ts'

/** What is to become of the points of a set. Pure. docs/decisions/0021-retention.md. */
export interface PlanInput {
  /** All of the set, those that are gone as well. */
  readonly points: readonly SetPoint[]
  readonly state: RetentionState
  readonly pinned: readonly PinnedPoint[]
  readonly policy: RetentionPolicy
  /** When the set is backed up. */
  readonly runs: RunTimes | undefined
  /** What marks say of why. */
  readonly why: string
  /** What the store's clock and ours both have reached. */
  readonly nowMs: number
}

export interface SetPlan {
  /** Of each point that is not gone. */
  readonly decisions: readonly RetentionDecision<SetPoint>[]
  /** Points that begin to go. */
  readonly mark: readonly SetPoint[]
  /** Points that were marked, and that the policy, or a hold, keeps now. */
  readonly unmark: readonly SetPoint[]
  /** Points whose time has come. */
  readonly gone: readonly SetPoint[]
  /** Points that were marked, and wait for their time. */
  readonly waiting: readonly { readonly point: SetPoint; readonly mark: Mark }[]
  /** Points whose time has come, and that somebody still needs. */
  readonly pinned: readonly { readonly point: SetPoint; readonly by: string }[]
  /** The ledger after all that. */
  readonly state: RetentionState
}

export function planSet(input: PlanInput): SetPlan {
  const { points, state, policy, runs, nowMs } = input
  const there = points.filter(({ sequence }) => !isGone(state, sequence))
  const decisions = decideRetention(there, holdsOf(state), policy, nowMs, runs)
  const pinnedBy = new Map(input.pinned.map(({ sequence, by }) => [sequence, by]))
  const plan = {
    mark: [] as SetPoint[],
    unmark: [] as SetPoint[],
    gone: [] as SetPoint[],
    waiting: [] as SetPlan['waiting'][number][],
    pinned: [] as SetPlan['pinned'][number][],
  }
  for (const { point, keep } of decisions) {
    const mark = markOf(state, point.sequence)
    const by = pinnedBy.get(point.sequence)
    if (keep) {
      if (mark !== undefined) plan.unmark.push(point)
    } else if (mark === undefined) plan.mark.push(point)
    else if (Date.parse(mark.dueAt) > nowMs) plan.waiting.push({ point, mark })
    else if (by !== undefined) plan.pinned.push({ point, by })
    else plan.gone.push(point)
  }
  const numbers = (of: readonly SetPoint[]): number[] => of.map(({ sequence }) => sequence)
  const mark = { since: instant(nowMs), dueAt: instant(nowMs + policy.undoWindowMs), why: input.why }
  const unmarked = withoutMarks(state, numbers(plan.unmark))
  const after = withGone(withMark(unmarked, numbers(plan.mark), mark), numbers(plan.gone))
  return { decisions, ...plan, state: after }
}

export function holdsOf({ held, heldSet }: RetentionState): Holds {
  const points = new Map(held.map(({ sequence, note }) => [sequence, note]))
  return heldSet === null ? { points } : { points, all: heldSet.note }
}

/** What the chains with points that are gone are to be looked through for: those of which more went since the last time. */
export function chainsToCollect(
  points: readonly SetPoint[],
  state: RetentionState,
): { readonly chain: string; readonly gone: number; readonly goneBytes: number; readonly newBytes: number }[] {
  const known = new Map(state.collected.map((collected) => [collected.chain, collected]))
  const byChain = Map.groupBy(
    points.filter(({ sequence }) => isGone(state, sequence)),
    ({ chain }) => chain,
  )
  return [...byChain].flatMap(([chain, goneOf]) => {
    const before = known.get(chain)
    if (before !== undefined && before.gone >= goneOf.length) return []
    const goneBytes = goneOf.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
    return [{ chain, gone: goneOf.length, goneBytes, newBytes: goneBytes - (before?.goneBytes ?? 0) }]
  })
}

/** `marked 3 points, 2 gone`: what a version of the ledger says of itself. */
export function changeText({ mark, unmark, gone }: Pick<SetPlan, 'mark' | 'unmark' | 'gone'>, why: string): string {
  const parts = [
    ...(mark.length === 0 ? [] : [`${String(mark.length)} marked`]),
    ...(unmark.length === 0 ? [] : [`${String(unmark.length)} marked no more`]),
    ...(gone.length === 0 ? [] : [`${String(gone.length)} gone`]),
  ]
  return `${parts.join(', ')}: ${why}`
}

export function markedNumbers({ marked }: Pick<Retention, 'marked'>): number[] {
  return marked.flatMap(({ numbers }) => [...numbersIn(numbers)])
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}
