import { resolve } from 'node:path'
import { budgetWarnings } from '@strata/shared/cost/budget.ts'
import { monthOf } from '@strata/shared/cost/calendar.ts'
import { forecast, type Forecast } from '@strata/shared/cost/forecast.ts'
import { priceOf } from '@strata/shared/cost/price-of.ts'
import type { SetProfile } from '@strata/shared/cost/foreseen-set.ts'
import { sumOfCosts } from '@strata/shared/cost/foreseen-months.ts'
import { pricesOf, type PriceProvider, type PriceTable, type ProviderPrices } from '@strata/shared/cost/price-table.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { StoredNote } from '@strata/shared/format/usage.ts'
import { forecastMonthsDefault, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { SetId } from '@strata/shared/types.ts'
import type { SetMonth } from '@strata/shared/usage/month.ts'
import { policyInForce, setsOf } from '../../maintain/retention/prune-tenant.ts'
import { setNameOf } from '../../maintain/set-name-of.ts'
import { setProfile } from '../../maintain/usage/set-profile.ts'
import { storedNow } from '../../maintain/usage/stored-now.ts'
import { askedMonth, tenantMonth, type AskedMonth } from '../../maintain/usage/tenant-month.ts'
import { exitCodes, stopIfInterrupted, type Context, type ExitCode } from '../context.ts'
import { readPolicyFile } from '../input/policy-file.ts'
import { providerOf, readPrices } from '../input/prices.ts'
import { formatCount } from '../output/bytes.ts'
import { costDocument, costLines, type CostOfSet, type CostReport } from '../output/cost.ts'
import { costCsv } from '../output/cost-csv.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface CostOptions {
  readonly month?: string
  readonly set?: string
  /** `true`: under the policy in force; else a file with another one. */
  readonly forecast?: boolean | string
  readonly months?: string
  readonly sameRegion?: boolean
  readonly csv?: boolean
  readonly tenant?: string
}

/** `strata cost`: what a tenant's store has cost in a month, and what it will cost. */
export async function cost(context: Context, options: CostOptions): Promise<ExitCode> {
  const table = await readPrices(context.settings.pricesPath)
  const metrics = createStoreMetrics()
  const report = await withStore(
    context,
    async (store) => {
      const { repository } = await openGivenTenant(context, store, options.tenant)
      return await reportOf(context, repository, table, options)
    },
    { metrics },
  )
  for (const { code, message } of report.warnings) context.reporter.warning(`${code}: ${message}`)
  context.reporter.result(costDocument(report), options.csv === true ? costCsv(report) : costLines(report))
  return exitCodes.success
}

/** What all parts of a report go by. */
interface Terms {
  readonly table: PriceTable
  readonly provider: PriceProvider
  readonly prices: ProviderPrices
  readonly sameRegion: boolean
  readonly policy: Policy | undefined
}

async function reportOf(
  context: Context,
  repository: Repository,
  table: PriceTable,
  options: CostOptions,
): Promise<CostReport> {
  const { clock, settings } = context
  const provider = providerOf(requireStoreUrl(settings))
  const month = parseMonth(options.month, clock.nowMs())
  const months = parseMonths(options.months)
  const only = options.set === undefined ? undefined : repository.setIdOf(requireSetName(options.set))
  const terms: Terms = {
    table,
    provider,
    prices: pricesOf(table, provider),
    sameRegion: options.sameRegion === true,
    policy: await policyOf(context, repository, options.forecast),
  }
  const warnings: Warning[] = []
  const now = await storedNow(repository, only)
  const all = await tenantMonth(repository, month, now, (warning) => warnings.push(warning))
  const ofMonth = all.filter(({ set }) => only === undefined || set === only)
  if (only !== undefined && ofMonth.length === 0) throw unknownSet(options.set)
  const sets = await costsOf(repository, ofMonth, month, terms)
  const forecast =
    options.forecast === undefined ? undefined : await foresee(context, repository, { terms, months, only, now })
  // A budget is for the whole store of a tenant, and for the month that is going on.
  if (only === undefined && month.isNow) {
    const coming = forecast?.months.map((one) => ({ month: one.month, total: one.cost.total }))
    const spent = { month: month.month, monthToDate: sumOfCosts(sets).total, forecast: coming }
    warnings.push(...budgetWarnings(terms.policy?.budget, { currency: table.currency, ...spent }))
  }
  const { tenant } = repository
  return { tenant, month, ...terms, currency: table.currency, budget: terms.policy?.budget, sets, forecast, warnings }
}

/** The dearest first. */
async function costsOf(
  repository: Repository,
  months: readonly SetMonth[],
  month: AskedMonth,
  terms: Terms,
): Promise<CostOfSet[]> {
  const sets: CostOfSet[] = []
  const named = mapConcurrently(months, storeRequestsInFlightMax, async (one) => ({
    ...one,
    name: one.set === null ? undefined : await setNameOf(repository, one.set),
    cost: costSoFar(one, month, terms),
  }))
  for await (const one of named) sets.push(one)
  return sets.sort((a, b) => b.cost.total - a.cost.total || (a.name ?? '').localeCompare(b.name ?? ''))
}

function costSoFar(
  { usage, storedMean }: SetMonth,
  { days, daysInAll }: AskedMonth,
  { prices, sameRegion }: Terms,
): CostOfSet['cost'] {
  const { requests, bytesSent, bytesReceived } = usage
  const moved = { inBytes: bytesSent, outBytes: bytesReceived, sameRegion }
  const price = priceOf({ stored: storedMean, requests, moved }, prices)
  const storage = (price.storagePerMonth * days) / daysInAll
  return { storage, requests: price.requests, moved: price.moved, total: storage + price.requests + price.moved }
}

interface ForeseeOptions {
  readonly terms: Terms
  readonly months: number
  /** Left out: all sets. */
  readonly only: SetId | undefined
  /** What is stored at the moment. */
  readonly now: ReadonlyMap<SetId, StoredNote>
}

async function foresee(
  { clock, reporter, signal }: Context,
  repository: Repository,
  { terms, months, only, now }: ForeseeOptions,
): Promise<Forecast> {
  const { policy, ...prices } = terms
  if (policy === undefined) throw new StrataError('E_POLICY_MISSING', 'there is no policy to foresee anything by')
  const sets: SetProfile[] = []
  const progress = reporter.progress('forecast')
  try {
    for await (const set of only === undefined ? setsOf(repository) : [only]) {
      stopIfInterrupted(signal)
      const profile = await setProfile(repository, set, now.get(set))
      if (profile !== undefined) sets.push(profile)
      progress.update({ doneBytes: 0, totalBytes: 0, detail: formatCount(sets.length, 'set') })
    }
  } finally {
    progress.end()
  }
  return forecast({ ...prices, policy, sets, nowMs: clock.nowMs(), months })
}

function parseMonth(given: string | undefined, nowMs: number): AskedMonth {
  const text = given ?? monthOf(nowMs)
  if (!/^20[0-9]{2}-(0[1-9]|1[0-2])$/.test(text)) {
    throw new StrataError('E_USAGE', `--month ${text} is no month; write it as ${monthOf(nowMs)}`)
  }
  const month = askedMonth(text, nowMs)
  if (month !== undefined) return month
  throw new StrataError('E_USAGE', `${text} has not begun yet; --forecast says what is to come`)
}

function parseMonths(given: string | undefined): number {
  if (given === undefined) return forecastMonthsDefault
  // How many there may be is for the forecast to say.
  if (/^[0-9]{1,9}$/.test(given)) return Number(given)
  throw new StrataError('E_USAGE', `--months ${given} is no number`)
}

/** The policy of the file, or the one in force; undefined: there is none. */
async function policyOf(
  { workingDirectory, settings }: Context,
  repository: Repository,
  given: CostOptions['forecast'],
): Promise<Policy | undefined> {
  if (typeof given === 'string') {
    return readPolicy(await readPolicyFile(resolve(workingDirectory, given), given), settings.storeUrl).policy
  }
  try {
    return (await policyInForce(repository, settings.storeUrl)).policy
  } catch (error) {
    if (hasCode(error, 'E_POLICY_MISSING')) return undefined
    throw error
  }
}

function unknownSet(name: string | undefined): StrataError {
  return new StrataError('E_SET_UNKNOWN', `nothing was ever asked of the store for a set '${name ?? ''}' in that month`)
}
