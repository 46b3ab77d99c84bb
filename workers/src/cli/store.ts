import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { toStrataError } from '@strata/shared/errors.ts'
import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import { retryNote } from '@strata/shared/store/decorators/retry.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { Context } from './context.ts'
import { requireStoreUrl } from './settings.ts'
import { saveUsageOf } from './usage.ts'

/**
 * Opens the store of the settings, or another one, gives it to `work`, and closes it again. What is asked of it for
 * `metrics` goes into the ledger of the tenant that `work` opens; small commands do without.
 */
export async function withStore<Result>(
  context: Context,
  work: (store: ObjectStore) => Promise<Result>,
  options: { readonly url?: string; readonly create?: boolean; readonly metrics?: StoreMetrics } = {},
): Promise<Result> {
  const { clock, random, env, reporter, signal } = context
  const { bytesPerSecondMax } = context.settings
  const url = options.url ?? requireStoreUrl(context.settings)
  const meter = new UsageMeter(clock, random)
  const store = await openStore(url, {
    env,
    clock,
    randomBytes: random,
    signal,
    bytesPerSecondMax,
    create: options.create,
    onRequest: (request) => {
      options.metrics?.onRequest(request)
      meter.onRequest(request)
    },
    onRetry: (error, attempt, delayMs) => {
      reporter.note(`strata: ${retryNote(error, attempt, delayMs)}`)
    },
  })
  let isAway = false
  try {
    return await work(store)
  } catch (error) {
    isAway = toStrataError(error).code.startsWith('E_STORE_')
    throw error
  } finally {
    // A store that failed the work is not waited for once more.
    if (options.metrics !== undefined && !isAway) await saveUsageOf(store, meter, reporter)
    await store.close()
  }
}
