import { hasCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { StoredNote } from '@strata/shared/format/usage.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { damageCodes } from '@strata/shared/repository/damage-codes.ts'
import { isVoid, readNumber } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { SetId } from '@strata/shared/types.ts'
import { dayOf } from '@strata/shared/usage/usage-meter.ts'
import { readUsage } from '@strata/shared/usage/usage-ledger.ts'
import { sumOfMonth, type MonthSoFar, type SetMonth } from '@strata/shared/usage/month.ts'

/** Of a month, by UTC, as far as it has come. */
export interface AskedMonth extends MonthSoFar {
  /** It is going on. */
  readonly isNow: boolean
  /** All of its days. */
  readonly daysInAll: number
}

/** @param month as `2026-11`; undefined: it has not begun yet */
export function askedMonth(month: string, nowMs: number): AskedMonth | undefined {
  const today = dayOf(nowMs)
  const [year = 0, number = 0] = month.split('-').map(Number)
  const daysInAll = new Date(Date.UTC(year, number, 0)).getUTCDate()
  const isNow = today.startsWith(month)
  if (!isNow && month > today) return undefined
  return { month, days: isNow ? Number(today.slice(-2)) : daysInAll, daysInAll, isNow }
}

/**
 * What the ledger has of a tenant's month.
 * @param now what is stored at the moment; it counts for a month that is going on
 */
export async function tenantMonth(
  repository: Repository,
  month: AskedMonth,
  now: ReadonlyMap<SetId, StoredNote>,
  onWarning: (warning: Warning) => void,
): Promise<SetMonth[]> {
  const last = `${month.month}-${String(month.days).padStart(2, '0')}`
  const documents = await Array.fromAsync(readUsage(repository, `${month.month}-01`, last, onWarning))
  const facts = { now: month.isNow ? now : undefined, began: new Map<SetId, number>() }
  const sets = sumOfMonth(documents, month, facts).flatMap(({ set }) => set ?? [])
  const asked = mapConcurrently(sets, storeRequestsInFlightMax, async (set) => ({
    set,
    day: await firstDay(repository, set),
  }))
  for await (const { set, day } of asked) {
    if (day?.startsWith(month.month) === true) facts.began.set(set, Number(day.slice(-2)))
  }
  return sumOfMonth(documents, month, facts)
}

/** When a set's first point was made; undefined: nobody can tell. */
async function firstDay(repository: Repository, set: SetId): Promise<string | undefined> {
  try {
    const first = await readNumber(repository, set, 1)
    return isVoid(first) ? undefined : dayOf(Date.parse(first.manifest.createdAt))
  } catch (error) {
    if (!hasCode(error, ...damageCodes, 'E_FORMAT_NEWER')) throw error
    return undefined
  }
}
