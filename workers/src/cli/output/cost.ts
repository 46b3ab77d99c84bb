import type { Forecast, SetForecast } from '@strata/shared/cost/forecast.ts'
import { sumOfCosts, type ForecastCost, type ForecastMonth } from '@strata/shared/cost/foreseen-months.ts'
import { moneyText } from '@strata/shared/cost/money.ts'
import type { StoredByClass } from '@strata/shared/cost/price-of.ts'
import type { PriceProvider, ProviderPrices } from '@strata/shared/cost/price-table.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { requestKinds } from '@strata/shared/format/usage.ts'
import type { Budget } from '@strata/shared/policy/budget-member.ts'
import type { TenantId } from '@strata/shared/types.ts'
import type { SetMonth } from '@strata/shared/usage/month.ts'
import type { AskedMonth } from '../../maintain/usage/tenant-month.ts'
import { formatBytes, formatCount } from './bytes.ts'
import { tableLines } from './table.ts'

export interface CostOfSet extends SetMonth {
  /** undefined: what is about no set, or a set whose name nobody can read any more. */
  readonly name: string | undefined
  /** So far, in the currency of the prices. */
  readonly cost: ForecastCost
}

export interface CostReport {
  readonly tenant: TenantId
  readonly month: AskedMonth
  readonly provider: PriceProvider
  readonly prices: ProviderPrices
  readonly currency: string
  readonly sameRegion: boolean
  readonly budget: Budget | undefined
  readonly sets: readonly CostOfSet[]
  readonly forecast: Forecast | undefined
  readonly warnings: readonly Warning[]
}

export function costDocument(report: CostReport): object {
  const { month, prices, sets, forecast, budget, ...others } = report
  const { tenant, provider, currency, sameRegion, warnings } = others
  const { where, asOf, source, unverified } = prices
  return {
    tenant,
    month: month.month,
    days: month.days,
    currency,
    provider,
    prices: { where, asOf, source, unverified },
    sameRegion,
    sets: sets.map(({ set, name, usage, stored, storedMean, daysNoted, daysThere, cost }) => ({
      set: name ?? null,
      setId: set,
      ...usage,
      stored,
      storedMean,
      daysNoted,
      daysThere,
      cost,
    })),
    total: sumOfCosts(sets),
    budget: budget ?? null,
    forecast: forecast === undefined ? null : forecastDocument(forecast),
    warnings,
  }
}

function forecastDocument({ months, total, sets, assumptions }: Forecast): object {
  return { months, total, sets: sets.map(({ name, ...of }: SetForecast) => ({ set: name, ...of })), assumptions }
}

export function costLines(report: CostReport): string[] {
  const { month, sets, currency, prices, forecast } = report
  const total = sumOfCosts(sets)
  const money = (amount: number): string => moneyText(amount, currency)
  const rows = sets.map(({ name, set, usage, stored, cost }) => [
    name ?? set ?? '(no set of its own)',
    storedText(stored),
    String(requestKinds.reduce((sum, kind) => sum + usage.requests[kind], 0)),
    formatBytes(usage.bytesSent),
    formatBytes(usage.bytesReceived),
    money(cost.total),
  ])
  const ofMonth = month.isNow ? `${month.month}, ${formatCount(month.days, 'day')} so far` : month.month
  return [
    ...tableLines(
      [
        { title: 'SET' },
        { title: 'STORED', align: 'right' },
        { title: 'REQUESTS', align: 'right' },
        { title: 'SENT', align: 'right' },
        { title: 'RECEIVED', align: 'right' },
        { title: 'COST', align: 'right' },
      ],
      rows,
    ),
    '',
    `${ofMonth}: ${money(total.total)} (storage ${money(total.storage)}, requests ${money(total.requests)}, moved ${money(total.moved)})`,
    ...(sets.some(({ daysNoted, daysThere }) => daysNoted > 0 && daysNoted < daysThere)
      ? ['How much was stored was not noted on every day: the others are taken to be as the nearest one.']
      : []),
    pricesText(prices),
    ...(forecast === undefined ? [] : forecastLines(forecast)),
  ]
}

function storedText(stored: StoredByClass): string {
  return formatBytes(Object.values(stored).reduce((sum, { bytes }) => sum + bytes, 0))
}

function pricesText({ where, asOf, unverified }: ProviderPrices): string {
  const doubt = unverified.length === 0 ? '' : ', some of them not verified (--json says which)'
  return `Prices: ${where}, as of ${asOf}${doubt}`
}

function forecastLines({ months, assumptions, currency }: Forecast): string[] {
  const rows = months.map((month) => [
    month.month,
    String(month.points),
    formatBytes(storedIn(month)),
    String(Math.round(requestKinds.reduce((sum, kind) => sum + month.requests[kind], 0))),
    moneyText(month.cost.total, currency),
  ])
  return [
    '',
    ...tableLines(
      [
        { title: 'FORECAST' },
        { title: 'POINTS', align: 'right' },
        { title: 'STORED', align: 'right' },
        { title: 'REQUESTS', align: 'right' },
        { title: 'COST', align: 'right' },
      ],
      rows,
    ),
    '',
    'The first month is its rest from now. What this takes for granted:',
    ...assumptions.map((sentence) => `- ${sentence}`),
  ]
}

function storedIn({ bytesByClass }: ForecastMonth): number {
  return Object.values(bytesByClass).reduce((sum, bytes) => sum + bytes, 0)
}
