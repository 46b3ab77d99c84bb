import type { Warning } from '../format/manifest.ts'
import type { Budget } from '../policy/budget-member.ts'
import { moneyText } from './money.ts'

/** What is compared with a budget; what is left out is not known. */
export interface Spending {
  /** Of the prices by which the amounts below were found. */
  readonly currency: string
  /** What this month has cost until now. */
  readonly monthToDate?: number | undefined
  /** What is still to come: this month's rest, if it begins with this month, then whole ones. */
  readonly forecast?: readonly ForeseenCost[] | undefined
  /** `YYYY-MM` of the month that `monthToDate` is of. */
  readonly month: string
}

export interface ForeseenCost {
  readonly month: string
  readonly total: number
}

/** Says whether a budget is passed now, or in which month first. Pure: nothing is stopped by it. */
export function budgetWarnings(budget: Budget | undefined, spending: Spending): Warning[] {
  if (budget === undefined) return []
  const { perMonth, currency: wanted } = budget
  const { currency, month, monthToDate = 0 } = spending
  if (wanted !== undefined && wanted !== currency) {
    return [
      warning(
        `the budget is in ${wanted} and the prices are in ${currency}, so the two cannot be compared; write one of them in the other's currency`,
      ),
    ]
  }
  const money = (amount: number): string => moneyText(amount, currency)
  if (monthToDate > perMonth) {
    return [
      warning(
        `${month} has cost ${money(monthToDate)} already, ${money(monthToDate - perMonth)} more than the budget of ${money(perMonth)}`,
      ),
    ]
  }
  const costs = foreseenCosts(spending)
  const first = costs.find(({ total }) => total > perMonth)
  if (first === undefined) return []
  const highest = costs.reduce((most, cost) => (cost.total > most.total ? cost : most), first)
  const later = highest === first ? '' : `; the most is ${money(highest.total)}, in ${highest.month}`
  return [
    warning(
      `${first.month} is foreseen to cost ${money(first.total)}, ${money(first.total - perMonth)} more than the budget of ${money(perMonth)}${later}`,
    ),
  ]
}

/** What the month of now has cost counts with its rest. */
function foreseenCosts({ month, monthToDate = 0, forecast = [] }: Spending): ForeseenCost[] {
  return forecast.map((cost) => (cost.month === month ? { month, total: cost.total + monthToDate } : cost))
}

function warning(message: string): Warning {
  return { code: 'W_BUDGET', message }
}
