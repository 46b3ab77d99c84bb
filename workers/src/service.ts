import { randomBytes } from 'node:crypto'
import type { Clock, RandomBytes } from '@strata/shared/clock.ts'
import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { invariant, type StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { chainTurnLifeMs, commitsAtOnceMax, serviceCloseMsMax } from '@strata/shared/limits.ts'
import type { StagedJob } from '@strata/shared/queue/ingest-job.ts'
import { createHandOver, type HandOver } from '@strata/shared/spool/hand-over.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import { createStoreMetrics, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { RetryObserver } from '@strata/shared/store/decorators/retry.ts'
import { destructionWarning } from '@strata/shared/repository/destruction.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import type { StoreObserver } from '@strata/shared/store/store-requests.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { SetId, TenantId } from '@strata/shared/types.ts'
import { endsWithin } from './ends-within.ts'
import { Gateway } from './gateway/gateway.ts'
import { JobQueues } from './gateway/job-queues.ts'
import { JobWorkers, type JobWorkersOptions } from './job-workers.ts'
import { ChainKeeper } from './maintain/chains/chain-keeper.ts'
import { Maintenance } from './maintain/maintenance.ts'
import { BackgroundScrub } from './maintain/scrub/background-scrub.ts'
import { BackgroundSweep } from './maintain/sweep/background-sweep.ts'
import { UsageKeeper } from './maintain/usage/usage-keeper.ts'
import { removeLeftQueues, type QueuePlace, type QueuePlaces } from './queue-place.ts'
import { checkRedis, type RedisAddress } from './redis-connection.ts'
import { RedisGuard } from './redis-guard.ts'
import type { Role } from './roles.ts'
import { Tenants } from './tenants.ts'

/** Gateways and workers in one process: the composition root of the service. */
export interface Service {
  readonly tenants: Tenants
  readonly places: QueuePlaces
  /** E_TENANT_UNKNOWN. */
  gatewayOf(tenant: TenantId): Promise<Gateway>
  readonly handOver: HandOver
  metrics(): StoreTotals
  /** First of all nothing plain is left; what hangs after that is waited for no longer than `serviceCloseMsMax`. */
  close(): Promise<void>
}

export interface ServiceOptions {
  readonly storeUrl: string
  /** A keyring, or a directory of them. */
  readonly keyringPath: string
  readonly roles: ReadonlySet<Role>
  readonly isAlone: boolean
  readonly staging?: StagingArea | undefined
  readonly onIngested?: JobWorkersOptions['onIngested']
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
  /** Counts for the ledger what is asked of the store, and of the staging area. */
  readonly meter: UsageMeter
  /** Told of every failure of the store that is tried again. */
  readonly onRetry?: RetryObserver | undefined
  /** Told what went wrong beside the work, and does not keep it from being done. */
  readonly onNote?: ((note: string) => void) | undefined
  /** Told what of its surroundings is not as it should be. */
  readonly onWarning?: ((warning: Warning) => void) | undefined
  /** Once aborted, nothing waits for a store that is away, nor for the limit of its bandwidth. */
  readonly signal?: AbortSignal | undefined
}

/**
 * `isAlone`: one process and one run, whose queues go with it. Else processes that serve the same repository share their
 * queues, and where there is one a staging area.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { isAlone, staging, clock, random, onNote, onWarning, signal, roles, threads, onIngested, meter } = options
  const metrics = createStoreMetrics(meter.onRequest)
  const [store] = await Promise.all([openMeasured(options, metrics.onRequest), prepareRedis(options)])
  const tenants = await Tenants.open({ store, keyringPath: options.keyringPath, clock, random, onWarning })
  await probeCreateIfAbsent(store, random)
  // Alone, whoever started the run has heard of it already.
  if (!isAlone) await warnOfDestructions(tenants, onWarning)
  const handOver = await createHandOver(options.handOverDirectory)
  const places = placesOf(options, tenants)
  const guard = await orElse(RedisGuard.begin(places.own, { died: options.redisDied }), () => handOver.remove())
  const queues = new JobQueues(places, guard, random)
  const workers = new JobWorkers({
    tenants,
    places,
    roles,
    handOverDirectory: handOver.path,
    staged: staging === undefined ? undefined : { staging, give: (job: StagedJob) => queues.stage(job) },
    threads,
    clock,
    commitsAtOnce: isAlone ? 1 : commitsAtOnceMax,
    onIngested,
    // Alone, whoever started the run hears it anyway.
    onFailed: isAlone ? undefined : onNote,
  })
  const maintenance = isAlone
    ? tenants.all.map((repository) => new BackgroundSweep({ repository, clock, signal, onNote }))
    : roles.has('maintain')
      ? [
          new Maintenance({
            repositories: () => tenants.all,
            staging,
            jobs: { commit: (job) => queues.commitUnattended(job), stage: (job) => queues.stage(job) },
            mark: () => guard.mark(places.shared.prefix),
            clock,
            signal,
            onNote,
          }),
          new ChainKeeper({
            repositories: () => tenants.all,
            meter,
            takeTurn: (tenant, set) => guard.take(turnKey(places, tenant, set), chainTurnLifeMs),
            giveTurnBack: (tenant, set) => guard.giveUp(turnKey(places, tenant, set)),
            clock,
            signal,
            onNote,
          }),
          new BackgroundScrub({ repositories: () => tenants.all, clock, signal, onNote }),
        ]
      : []
  const usage = new UsageKeeper({ meter, repositories: () => tenants.all, clock, onNote })
  const gateways = new Map<TenantId, Gateway>()
  return {
    tenants,
    places,
    gatewayOf: async (tenant) => {
      const repository = await tenants.repositoryOf(tenant)
      const known = gateways.get(tenant)
      if (known !== undefined) return known
      const segmentBytesMax = handOver.segmentBytes
      const gateway = new Gateway({ repository, queues, clock, segmentBytesMax, isAlone })
      gateways.set(tenant, gateway)
      return gateway
    },
    handOver,
    metrics: () => metrics.totals(),
    close: async () => {
      await handOver.remove()
      const stopped = Promise.all(maintenance.map((work) => work.stop()))
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
        async () => {
          await stopped
        },
        () => usage.stop(),
        () => store.close(),
      ])
      await endsWithin(clock, serviceCloseMsMax, closing)
    },
  }
}

function turnKey({ shared }: QueuePlaces, tenant: TenantId, set: SetId): string {
  return `${shared.prefix}:turn:${tenant}:${set}`
}

async function openMeasured(options: ServiceOptions, onRequest: StoreObserver): Promise<ObjectStore> {
  const { storeUrl, env, clock, random: randomBytes, bytesPerSecondMax, onRetry, signal } = options
  return await openStore(storeUrl, { env, clock, randomBytes, bytesPerSecondMax, onRequest, onRetry, signal })
}

/** Jobs for this process's hand-over directory are its own, and go with it. */
function placesOf({ redis, isAlone }: ServiceOptions, tenants: Tenants): QueuePlaces {
  const own: QueuePlace = { address: redis, prefix: `strata-${randomBytes(8).toString('hex')}` }
  const [first] = tenants.all
  invariant(first !== undefined, 'a service has a tenant')
  return { own, shared: isAlone ? own : { address: redis, prefix: `strata-${first.ingestKeys.repositoryId}` } }
}

async function prepareRedis({ redis, isAlone, onNote, onWarning }: ServiceOptions): Promise<void> {
  const { isVolatile } = await checkRedis(redis)
  if (isVolatile === true && !isAlone && 'url' in redis) onWarning?.(volatileRedis)
  try {
    await removeLeftQueues(redis)
  } catch (error) {
    // No backup fails for what others have left.
    onNote?.(`what killed services have left in Redis stays there for now: ${(error as Error).message}`)
  }
}

async function warnOfDestructions(tenants: Tenants, onWarning: ServiceOptions['onWarning']): Promise<void> {
  for (const { store, tenant } of tenants.all) {
    const warning = await destructionWarning(store, tenant)
    if (warning !== undefined) onWarning?.(warning)
  }
}

const volatileRedis: Warning = {
  code: 'W_REDIS_VOLATILE',
  message:
    'this Redis keeps nothing on disk: when it restarts, queued jobs are gone (they are made again from the store), permits of agents, and the ids of used tokens',
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
