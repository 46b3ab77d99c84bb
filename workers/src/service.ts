import { randomBytes } from 'node:crypto'
import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { readKeyring, type Keyring } from '@strata/shared/keys/keyring.ts'
import { openTenantName } from '@strata/shared/keys/tenant-keys.ts'
import { serviceCloseMsMax } from '@strata/shared/limits.ts'
import { openRepository } from '@strata/shared/repository/repository.ts'
import { readTenantKeys } from '@strata/shared/repository/unlock.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { RetryObserver } from '@strata/shared/store/decorators/retry.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { Gateway } from './gateway/gateway.ts'
import { JobQueues } from './gateway/job-queues.ts'
import { JobWorkers } from './job-workers.ts'
import { BackgroundSweep } from './maintain/sweep/background-sweep.ts'
import { endsWithin } from './ends-within.ts'
import { removeLeftQueues, type QueuePlace } from './queue-place.ts'
import { checkRedis, type RedisAddress } from './redis-connection.ts'
import { RedisGuard } from './redis-guard.ts'
import { createHandOver } from './local/hand-over.ts'

/** Gateway and workers in one process: the composition root of the service. */
export interface Service {
  readonly gateway: Gateway
  metrics(): StoreTotals
  /** First of all nothing plain is left; what hangs after that is waited for no longer than `serviceCloseMsMax`. */
  close(): Promise<void>
}

export interface ServiceOptions {
  readonly storeUrl: string
  readonly keyringPath: string
  readonly redis: RedisAddress
  /** Resolves when Redis is known to be gone. */
  readonly redisDied?: Promise<StrataError>
  readonly handOverDirectory?: string | undefined
  /** To and from the store, each way. */
  readonly bytesPerSecondMax?: number | undefined
  readonly threads: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly random: RandomBytes
  /** Told of every failure of the store that is tried again. */
  readonly onRetry?: RetryObserver | undefined
  /** Told what went wrong beside the work, and does not keep it from being done. */
  readonly onNote?: ((note: string) => void) | undefined
  /** Once aborted, nothing waits for a store that is away, nor for the limit of its bandwidth. */
  readonly signal?: AbortSignal | undefined
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const { clock, random, env, onRetry, onNote, signal, bytesPerSecondMax } = options
  const metrics = createStoreMetrics()
  const [keyring, store] = await Promise.all([
    readKeyring(options.keyringPath),
    openStore(options.storeUrl, {
      env,
      clock,
      randomBytes: random,
      bytesPerSecondMax,
      onRequest: metrics.onRequest,
      onRetry,
      signal,
    }),
    prepareRedis(options),
  ])
  const repository = await openRepository(store, keyring, random)
  await requireRestorable(store, keyring)
  await probeCreateIfAbsent(store, random)
  const handOver = await createHandOver(options.handOverDirectory)
  // Jobs of this service are for its own hand-over directory, so its queues are its own as well.
  const place: QueuePlace = { address: options.redis, prefix: `strata-${randomBytes(8).toString('hex')}` }
  const guard = await orElse(RedisGuard.begin(place, { died: options.redisDied }), () => handOver.remove())
  const queues = new JobQueues(place, guard)
  const workers = new JobWorkers(repository, place, handOver.path, options.threads)
  const gateway = new Gateway(repository, queues, handOver, clock)
  const sweep = new BackgroundSweep({ repository, clock, signal, onNote })
  return {
    gateway,
    metrics: () => metrics.totals(),
    close: async () => {
      await inTurn([() => gateway.close(), () => handOver.remove()])
      const closing = inTurn([
        () => guard.whileConnected(workers.close()),
        async () => {
          await queues.obliterate()
          await guard.giveBack()
        },
        () => guard.whileConnected(queues.close()),
        () => {
          guard.close()
        },
        () => sweep.stop(),
        () => store.close(),
      ])
      await endsWithin(clock, serviceCloseMsMax, closing)
    },
  }
}

/**
 * A keyring is all that a backup needs, and none of what a restore needs. So before anything is written: the store has
 * the keys document that opens it, and both hold the same keys. (Whether the document is unaltered, only the tenant's
 * secret could tell.)
 */
async function requireRestorable(store: ObjectStore, keyring: Keyring): Promise<void> {
  const document = await readTenantKeys(store, keyring.tenantId)
  const { tenantId } = keyring
  try {
    // Opens with the index key, which nothing else here would tell from another one.
    openTenantName(document, keyring)
  } catch (error) {
    if (!hasCode(error, 'E_SEAL_BROKEN')) throw error
    throw new StrataError('E_KEYRING_DAMAGED', `the keyring's index key is not the one of tenant ${tenantId}`, {
      cause: error,
    })
  }
  if (!equalBytes(Buffer.from(document.publicKey, 'hex'), keyring.publicKey)) {
    throw new StrataError('E_KEY_FOREIGN', `the keyring's public key is not the one of tenant ${tenantId}`)
  }
}

async function prepareRedis({ redis, onNote }: ServiceOptions): Promise<void> {
  await checkRedis(redis)
  try {
    await removeLeftQueues(redis)
  } catch (error) {
    // No backup fails for what others have left.
    onNote?.(`what killed services have left in Redis stays there for now: ${(error as Error).message}`)
  }
}

async function orElse<Result>(work: Promise<Result>, undo: () => Promise<void>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    await undo()
    throw error
  }
}

/** Does every step, whatever becomes of the one before; throws the first error at the end. */
async function inTurn(steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  const errors: unknown[] = []
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
