import { markOf } from '@strata/shared/repository/retention/ledger.ts'
import type { SetPruning } from '../../maintain/retention/prune-set.ts'
import type { SetPoint } from '../../maintain/retention/set-points.ts'
import { formatBytes, formatInstant, shownIdChars } from './bytes.ts'
import { tableLines } from './table.ts'

/**
 * `marked`: begins to go. `waiting`: was marked before. `pinned`: its time has come, and somebody needs it. `gone`: for
 * good. `kept`: was marked, and is not any more.
 */
export interface PrunedPoint {
  readonly point: string
  readonly set: string
  readonly sequence: number
  readonly createdAt: string
  readonly storedBytes: number
  readonly step: 'marked' | 'waiting' | 'pinned' | 'gone' | 'kept'
  /** When it may be gone; null where that has come, or is no question any more. */
  readonly dueAt: string | null
  /** Who needs it, where it is pinned. */
  readonly by: string | null
}

/** What becomes of points, by number. Those that just stay are not told. */
export function prunedPoints({ set, setName, plan }: SetPruning): PrunedPoint[] {
  const told = (
    step: PrunedPoint['step'],
    { id, sequence, createdAt, storedBytes }: SetPoint,
    more: Partial<PrunedPoint> = {},
  ): PrunedPoint => {
    return { point: id, set: setName ?? set, sequence, createdAt, storedBytes, step, dueAt: null, by: null, ...more }
  }
  const dueOf = ({ sequence }: SetPoint): string | null => markOf(plan.state, sequence)?.dueAt ?? null
  return [
    ...plan.mark.map((point) => told('marked', point, { dueAt: dueOf(point) })),
    ...plan.waiting.map(({ point, mark }) => told('waiting', point, { dueAt: mark.dueAt })),
    ...plan.pinned.map(({ point, by }) => told('pinned', point, { by })),
    ...plan.gone.map((point) => told('gone', point)),
    ...plan.unmark.map((point) => told('kept', point)),
  ].sort((a, b) => a.sequence - b.sequence)
}

export function prunedTable(points: readonly PrunedPoint[]): string[] {
  if (points.length === 0) return ['every point is kept']
  const rows = points.map(({ point, set, createdAt, storedBytes, step, dueAt, by }) => [
    point.slice(0, shownIdChars),
    set,
    formatInstant(createdAt),
    formatBytes(storedBytes),
    by === null ? step : `${step}: ${by}`,
    dueAt === null ? '' : formatInstant(dueAt),
  ])
  return tableLines(
    [
      { title: 'POINT' },
      { title: 'SET' },
      { title: 'WHEN' },
      { title: 'STORED', align: 'right' },
      { title: 'BECOMES' },
      { title: 'GONE FROM' },
    ],
    rows,
  )
}
