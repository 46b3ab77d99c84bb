import { rebuildCatalog } from '@strata/shared/repository/catalog/rebuild-catalog.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatCount, formatDuration } from '../output/bytes.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface CatalogOptions {
  readonly tenant?: string
}

/** `strata catalog rebuild`: makes up for what the catalogue of the points does not have. */
export async function catalogRebuild(context: Context, { tenant }: CatalogOptions): Promise<ExitCode> {
  const { clock, signal, reporter } = context
  const startedMs = clock.monotonicMs()
  const metrics = createStoreMetrics()
  const rebuilt = await withStore(
    context,
    async (store) => {
      const { repository } = await openGivenTenant(context, store, tenant)
      return await rebuildCatalog(repository, signal)
    },
    { metrics },
  )
  const durationMs = Math.round(clock.monotonicMs() - startedMs)
  const requests = metrics.totals()
  const { sets, numbers, written } = rebuilt
  reporter.result({ ...rebuilt, durationMs, requests }, [
    `${formatCount(numbers, 'number')} of ${formatCount(sets, 'set')}: ${formatCount(written, 'segment')} of the catalogue made anew`,
    `${formatDuration(durationMs)}, ${formatCount(requests.requests, 'request')}`,
  ])
  return exitCodes.success
}
