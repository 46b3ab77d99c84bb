import * as v from 'valibot'
import { budgetPerMonthMax } from '../limits.ts'
import { checked, section } from './member-checks.ts'

/** What a tenant means to spend on its store: what the member may be, and what it means. Nothing is stopped by it. */
export const budgetMembers = {
  perMonth: v.custom<number>(
    (value) => typeof value === 'number' && value > 0 && value <= budgetPerMonthMax,
    `is no amount above 0 and up to ${String(budgetPerMonthMax)}; write a number, such as 50`,
  ),
  currency: v.optional(checked(checkCurrency)),
}
export const budgetSchema = section(budgetMembers)

export interface Budget {
  readonly perMonth: number
  /** undefined: that of the prices. */
  readonly currency: string | undefined
}

export function understoodBudget(budget: v.InferOutput<typeof budgetSchema> | undefined): Budget | undefined {
  return budget === undefined ? undefined : { perMonth: budget.perMonth, currency: budget.currency }
}

/** ISO 4217 names them. */
export const currencyPattern = /^[A-Z]{3}$/

function checkCurrency(text: string): string | undefined {
  return currencyPattern.test(text) ? undefined : "is no currency; write three capital letters, such as 'USD'"
}
