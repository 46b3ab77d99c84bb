import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import { retryNote } from '@strata/shared/store/decorators/retry.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { Context } from './context.ts'
import { requireStoreUrl } from './settings.ts'

/** Opens the store of the settings, or another one, gives it to `work`, and closes it again. */
export async function withStore<Result>(
  context: Context,
  work: (store: ObjectStore) => Promise<Result>,
  options: { readonly url?: string; readonly create?: boolean; readonly metrics?: StoreMetrics } = {},
): Promise<Result> {
  const { clock, random, env, reporter, signal } = context
  const { bytesPerSecondMax } = context.settings
  const url = options.url ?? requireStoreUrl(context.settings)
  const store = await openStore(url, {
    env,
    clock,
    randomBytes: random,
    signal,
    bytesPerSecondMax,
    create: options.create,
    onRequest: options.metrics?.onRequest,
    onRetry: (error, attempt, delayMs) => {
      reporter.note(`strata: ${retryNote(error, attempt, delayMs)}`)
    },
  })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}
