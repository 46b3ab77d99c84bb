import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { Context } from './context.ts'
import { requireStoreUrl } from './settings.ts'

/** Opens the store of the settings, gives it to `work`, and closes it again. */
export async function withStore<Result>(
  context: Context,
  work: (store: ObjectStore) => Promise<Result>,
  options: { readonly create?: boolean; readonly metrics?: StoreMetrics } = {},
): Promise<Result> {
  const { clock, random, env, reporter } = context
  const url = requireStoreUrl(context.settings)
  const store = await openStore(url, {
    env,
    clock,
    randomBytes: random,
    create: options.create,
    onRequest: options.metrics?.onRequest,
    onRetry: (error, attempt, delayMs) => {
      reporter.note(`strata: ${error.code}: ${error.message}; attempt ${String(attempt + 1)} in ${String(delayMs)} ms`)
    },
  })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}
