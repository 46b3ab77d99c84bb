import type { ErrorCode } from '@strata/shared/errors.ts'
import type { BasePoint } from '@strata/shared/format/manifest.ts'
import {
  isReadable,
  isUnreadable,
  isVoid,
  type NumberEntry,
  type Point,
  type PointEntry,
} from '@strata/shared/repository/points.ts'
import type { SetId } from '@strata/shared/types.ts'

/** A point or void that is missing, unreadable, or does not follow from the ones before it. */
export interface HistoryDamage {
  readonly set: SetId
  readonly sequence: number
  /** Id of the point that tells, where one does. */
  readonly point: string | null
  readonly code: ErrorCode
  readonly message: string
}

/**
 * Checks the points of one set, by ascending sequence number: numbers without gaps from 1 on, each manifest and each void
 * naming the digest of the one before it, each base and full there as they were built on, each copied point as it was. A cut-off end cannot be seen
 * in the store alone.
 */
export function checkHistory(entries: readonly PointEntry[]): HistoryDamage[] {
  const found: HistoryDamage[] = []
  const points = new Map<number, string>()
  let before: PointEntry | undefined
  for (const entry of entries) {
    const expected = (before?.sequence ?? 0) + 1
    if (entry.sequence > expected) found.push(gap(entry, expected))
    if (isUnreadable(entry)) {
      const { set, sequence, error } = entry
      found.push({ set, sequence, point: null, code: error.code, message: error.message })
    } else {
      if (entry.sequence === expected && !follows(entry, before)) {
        found.push(broken(entry, 'does not follow the number before it: one of the two objects was replaced'))
      }
      if (isReadable(entry)) {
        found.push(...checkBase(entry, points))
        points.set(entry.sequence, entry.digest)
      }
    }
    before = entry
  }
  return found
}

/** What comes after an object that cannot be read is believed. */
function follows(entry: NumberEntry, before: PointEntry | undefined): boolean {
  if (before !== undefined && isUnreadable(before)) return true
  const { previous } = isVoid(entry) ? entry.void : entry.manifest
  return previous === (before?.digest ?? null)
}

/** `points`: the digests of the points before, by their numbers. */
function checkBase(point: Point, points: ReadonlyMap<number, string>): HistoryDamage[] {
  const { base, full, kind, copyOf } = point.manifest
  const check = (role: string, { sequence, manifestDigest }: BasePoint): HistoryDamage[] => {
    const digest = points.get(sequence)
    if (digest === manifestDigest) return []
    const what = digest === undefined ? 'is missing or unreadable' : 'is another one than it was made from'
    return [broken(point, `its ${role}, number ${String(sequence)}, ${what}`)]
  }
  if (base === null || full === null) {
    if (kind !== 'full') return [broken(point, `is ${kind} and names no base`)]
    return copyOf === undefined ? [] : check('source', copyOf)
  }
  const found = [...check('base', base), ...check('full', full)]
  // Where one point is both, it is told once.
  return base.sequence === full.sequence ? found.slice(0, 1) : found
}

function gap({ set, sequence }: PointEntry, expected: number): HistoryDamage {
  const missing = sequence - 1 === expected ? String(expected) : `${String(expected)} to ${String(sequence - 1)}`
  return {
    set,
    sequence: expected,
    point: null,
    code: 'E_HISTORY_BROKEN',
    message: `point number ${missing} of the set is missing`,
  }
}

function broken(entry: NumberEntry, what: string): HistoryDamage {
  const { set, sequence } = entry
  const message = isVoid(entry)
    ? `void number ${String(sequence)}: ${what}`
    : `point number ${String(sequence)}: ${what}`
  return { set, sequence, point: isVoid(entry) ? null : entry.manifest.point, code: 'E_HISTORY_BROKEN', message }
}
