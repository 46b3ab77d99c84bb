import { moneyText } from '@strata/shared/cost/money.ts'
import { priceOfStored } from '@strata/shared/cost/price-of.ts'
import { pricesOf, type ProviderPrices } from '@strata/shared/cost/price-table.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { SetId } from '@strata/shared/types.ts'
import { expiryWarning } from '../../maintain/lifecycle/expiry.ts'
import { expireRetired } from '../../maintain/retention/expire-retired.ts'
import type { SetPruning } from '../../maintain/retention/prune-set.ts'
import { pruneTenant, setsOf } from '../../maintain/retention/prune-tenant.ts'
import { undoMarks } from '../../maintain/retention/undo.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { providerOf, readPrices } from '../input/prices.ts'
import { formatBytes, formatCount } from '../output/bytes.ts'
import { prunedPoints, prunedTable, type PrunedPoint } from '../output/prune.ts'
import { requireStoreUrl } from '../settings.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface PruneCommandOptions {
  readonly set?: string
  readonly dryRun?: boolean
  readonly undo?: boolean
  readonly tenant?: string
}

/** `strata prune`: lets go what the policy keeps no more. */
export async function prune(context: Context, options: PruneCommandOptions): Promise<ExitCode> {
  const setName = options.set === undefined ? undefined : requireSetName(options.set)
  // Before anything is done: what goes is to be told with its price.
  const rates = await ratesOf(context)
  const metrics = createStoreMetrics()
  return await withStore(
    context,
    async (store) => {
      const { repository } = await openGivenTenant(context, store, options.tenant)
      const sets = setName === undefined ? undefined : [repository.setIdOf(setName)]
      if (options.undo === true) return await undo(context, repository, rates, sets)
      const about = { repository, sets, dryRun: options.dryRun === true, rates, requests: () => metrics.totals() }
      return await pruneSets(context, about)
    },
    { metrics },
  )
}

interface Pruned {
  readonly repository: Repository
  readonly sets: readonly SetId[] | undefined
  readonly dryRun: boolean
  readonly rates: Rates
  readonly requests: () => StoreTotals
}

async function pruneSets(context: Context, { repository, sets, dryRun, rates, requests }: Pruned): Promise<ExitCode> {
  const { clock, signal, reporter, settings } = context
  const { storeUrl } = settings
  const prunings: SetPruning[] = []
  for await (const pruning of pruneTenant({ repository, storeUrl, clock, signal, dryRun }, sets)) {
    for (const { code, message } of pruning.problems) {
      reporter.warning(`${code}: set '${pruning.setName ?? pruning.set}': ${message}`)
    }
    prunings.push(pruning)
  }
  const points = prunings.flatMap(prunedPoints)
  const objects = prunings.reduce((sum, pruning) => sum + pruning.objects, 0)
  const bytes = prunings.reduce((sum, pruning) => sum + pruning.bytes, 0)
  const locked = prunings.reduce((sum, pruning) => sum + pruning.locked, 0)
  const problems = prunings.flatMap(({ set, setName, problems: found }) =>
    found.map((problem) => ({ set: setName ?? set, ...problem })),
  )
  // What earlier prunes have tagged may be due by now.
  const expired = dryRun ? 0 : await expireRetired(repository.store, clock, signal)
  const warnings = dryRun ? [] : await warningsOf(context)
  const cost = savedBy(rates, prunings)
  const result = { dryRun, points, objects, bytes, locked, cost, expired, problems, warnings, requests: requests() }
  reporter.result(result, [
    ...prunedTable(points),
    ...(points.length === 0 ? [] : ['']),
    dryRun ? wouldGo(objects, bytes) : wasTagged(points, objects, bytes),
    ...(cost.perMonth === 0 ? [] : [`that is ${moneyText(cost.perMonth, cost.currency)} less to store for a month`]),
    ...(locked === 0 ? [] : [`${formatCount(locked, 'object')} of them stay until their lock ends`]),
    ...(expired === 0 ? [] : [`${formatCount(expired, 'object')} deleted that had been tagged before`]),
  ])
  requireNoProblem(problems)
  return exitCodes.success
}

/** Tagging alone deletes nothing. */
async function warningsOf({ settings, env, clock, reporter }: Context): Promise<Warning[]> {
  const warning = await expiryWarning(requireStoreUrl(settings), { env, clock })
  if (warning === undefined) return []
  reporter.warning(`${warning.code}: ${warning.message}`)
  return [warning]
}

/** What this store costs. */
interface Rates {
  readonly prices: ProviderPrices
  readonly currency: string
}

async function ratesOf({ settings }: Context): Promise<Rates> {
  const table = await readPrices(settings.pricesPath)
  return { prices: pricesOf(table, providerOf(requireStoreUrl(settings))), currency: table.currency }
}

/** What it costs to store for a month what goes. */
function savedBy(
  { prices, currency }: Rates,
  prunings: readonly SetPruning[],
): { readonly perMonth: number; readonly currency: string } {
  return { perMonth: prunings.reduce((sum, { byClass }) => sum + priceOfStored(byClass, prices), 0), currency }
}

function wouldGo(objects: number, bytes: number): string {
  if (objects === 0) return 'no object would be deleted'
  return `${formatCount(objects, 'object')} of ${formatBytes(bytes)} would be deleted, after the undo window; nothing was changed`
}

function wasTagged(points: readonly PrunedPoint[], objects: number, bytes: number): string {
  const tagged =
    objects === 0
      ? 'no object is to be deleted yet'
      : `${formatCount(objects, 'object')} of ${formatBytes(bytes)} are for the store to delete now`
  const marked = points.filter(({ step }) => step === 'marked')
  return marked.length === 0 ? tagged : `${tagged}; strata prune --undo takes the marks back`
}

/** All that could be done was done, and told; now it is said that something could not. */
function requireNoProblem(problems: readonly { set: string; code: string; message: string }[]): void {
  const [first] = problems
  if (first === undefined) return
  const more = problems.length === 1 ? '' : ` (and ${formatCount(problems.length - 1, 'other problem')})`
  throw new StrataError('E_PRUNE_INCOMPLETE', `set '${first.set}': ${first.code}: ${first.message}${more}`)
}

/** Nothing of a marked point was touched, so there is nothing to bring back. */
async function undo(
  context: Context,
  repository: Repository,
  { currency }: Rates,
  sets: readonly SetId[] | undefined,
): Promise<ExitCode> {
  let count = 0
  const undone: { set: SetId; sequence: number }[] = []
  for await (const set of sets ?? setsOf(repository)) {
    const numbers = await undoMarks(repository, set)
    count += numbers.length
    undone.push(...numbers.map((sequence) => ({ set, sequence })))
  }
  const untouched = { objects: 0, bytes: 0, locked: 0, cost: { perMonth: 0, currency } }
  context.reporter.result({ points: undone, ...untouched }, [
    count === 0 ? 'no point is marked' : `${formatCount(count, 'point')} marked no more`,
  ])
  if (count > 0) {
    context.reporter.note(
      'The next prune marks them again, unless the policy or a hold keeps them: strata hold add POINT',
    )
  }
  return exitCodes.success
}
