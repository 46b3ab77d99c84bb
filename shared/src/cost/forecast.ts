import { invariant, StrataError } from '../errors.ts'
import { forecastMonthsMax } from '../limits.ts'
import { nextExpected } from '../policy/expected.ts'
import type { Policy } from '../policy/policy.ts'
import { dayStepsFrom, type DayStep } from './calendar.ts'
import { classMovesOf } from './class-moves.ts'
import { sumOfCosts, sumOfMonths, type ForecastCost, type ForecastMonth } from './foreseen-months.ts'
import { foreseeSet, instant, type ForecastFrame, type ForeseenRun, type SetProfile } from './foreseen-set.ts'
import { pricesOf, type PriceProvider, type PriceTable } from './price-table.ts'

/**
 * What sets will store and cost under a policy. Pure: it plays their days, and asks the very functions that the service
 * asks about schedules, hours, retention, ends of chains, locks and lifecycle rules.
 */
export interface ForecastInput {
  readonly policy: Policy
  readonly sets: readonly SetProfile[]
  readonly table: PriceTable
  readonly provider: PriceProvider
  readonly nowMs: number
  /** Whole months after this one. */
  readonly months: number
  /** Whether whoever verifies is in the region of the store, so that nothing that is read leaves it. */
  readonly sameRegion: boolean
}

export interface SetForecast {
  readonly name: string
  /** The rest of this month, and the whole ones after it. */
  readonly months: readonly ForecastMonth[]
  readonly total: ForecastCost
}

export interface Forecast {
  readonly provider: PriceProvider
  readonly currency: string
  /** Of all sets together. */
  readonly months: readonly ForecastMonth[]
  readonly total: ForecastCost
  readonly sets: readonly SetForecast[]
  /** What it takes for granted, in sentences. */
  readonly assumptions: readonly string[]
}

/** Errors: E_USAGE, where so many months cannot be foreseen; E_PRICES_INVALID, where the table has no such provider. */
export function forecast(input: ForecastInput): Forecast {
  const { policy, table, provider, nowMs, months, sameRegion } = input
  if (!Number.isInteger(months) || months < 1 || months > forecastMonthsMax) {
    throw new StrataError('E_USAGE', `a forecast is for 1 to ${String(forecastMonthsMax)} months`)
  }
  const prices = pricesOf(table, provider)
  const steps = dayStepsFrom(nowMs, months)
  const moves = classMovesOf(policy, provider, prices)
  const canLock = policy.immutability !== undefined && provider !== 'directory'
  const runs = runsOf(policy, steps)
  const frame = { policy, prices, moves, canLock, sameRegion, steps, runs, nowMs }
  const sets = foreseeSets(input.sets, frame)
  const all = sumOfMonths(sets.map((set) => set.months))
  return {
    provider,
    currency: table.currency,
    months: all,
    total: sumOfCosts(all),
    sets,
    assumptions: assumptionsOf(frame),
  }
}

/** Sets of which the same is known have the same future. */
function foreseeSets(sets: readonly SetProfile[], frame: ForecastFrame): SetForecast[] {
  const known = new Map<string, Omit<SetForecast, 'name'>>()
  return sets.map(({ name, ...profile }) => {
    invariant(profile.objectBytes > 0 && profile.fullBytes >= 0 && profile.incrementBytes >= 0, 'objects have a size')
    const key = JSON.stringify({ ...profile, holds: [...(profile.holds?.points.keys() ?? []), profile.holds?.all] })
    const before = known.get(key)
    if (before !== undefined) return { name, ...before }
    const months = foreseeSet({ name, ...profile }, frame)
    const foreseen = { months, total: sumOfCosts(months) }
    known.set(key, foreseen)
    return { name, ...foreseen }
  })
}

/** When backups begin, day by day: for all sets the same, as `policy explain --set` expects it. */
function runsOf({ schedule, hours }: Policy, steps: readonly DayStep[]): ForeseenRun[][] {
  const [first] = steps
  if (first === undefined) return []
  let runMs = nextExpected({ schedule, hours }, first.fromMs)
  return steps.map(({ untilMs }) => {
    const runs: ForeseenRun[] = []
    while (runMs < untilMs) {
      runs.push({ atMs: runMs, createdAt: instant(runMs) })
      runMs = nextExpected({ schedule, hours }, runMs)
    }
    return runs
  })
}

function assumptionsOf({ policy, canLock, sameRegion, moves }: ForecastFrame): string[] {
  const { verification, immutability } = policy
  return [
    'Each scheduled run becomes a point at once, without the delay that each endpoint has of its own; none fails, and none is made by hand.',
    'Fulls and increments store as much as they are said to, whatever time is between them.',
    'What a point has stored stays while that point or a later one of its chain is there: an upper bound.',
    'What is there at the end of a day (UTC) is billed for all of it; marks, synthetic fulls and deletions come once a day.',
    'Whether a chain ends for what nothing needs is reckoned as if each increment replaced what the one before had stored.',
    `Verification reads everything once in ${String(verification.everyDays)} days, but for archive classes; ${sameRegion ? 'it runs in the region of the store, so what it reads is not billed as moved' : 'it runs outside of the region of the store, so what it reads is billed as moved'}.`,
    ...(canLock ? ['Objects that are locked are there, and billed, until their chain’s horizon.'] : []),
    ...(immutability !== undefined && !canLock ? ['The store cannot lock, so there are no locks.'] : []),
    ...(moves.problem === undefined ? [] : [`storageClass has no effect: ${moves.problem}.`]),
    'Left out: staging areas, restores, copies in other stores, older versions of documents, what was deleted before and is billed still, discounts and taxes.',
  ]
}
