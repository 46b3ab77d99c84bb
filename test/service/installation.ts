import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { Hold, Place, type StartedRun } from '../end-to-end/place.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { startRedis, type TestRedis } from '../servers/redis.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { Fleet, Operator, type Addressed, type ServerProcess } from './fleet.ts'
import { RedisWatch } from './redis-watch.ts'

/** A tenant of an installation, and what opens it. */
export interface Tenant extends TenantSecret {
  readonly name: string
  readonly keyringPath: string
  readonly operator: Operator
}

interface TenantSecret {
  readonly keyFilePath?: string
  readonly passphrase?: string
}

/** Holds the workers when they are about to store a pack. */
interface Holding {
  /** Resolves when one is held. Throws when `run` ends before. */
  reached(run: StartedRun): Promise<void>
  release(): Promise<void>
}

/**
 * A service as a provider runs it: two gateways, something before them that gives each request to the other one, three
 * workers, and two tenants in one store. Where the store is no directory, segments go through a staging area.
 */
export interface Installation extends AsyncDisposable {
  readonly place: Place
  readonly fleet: Fleet
  readonly redis: TestRedis
  readonly watch: RedisWatch
  readonly store: ObjectStore
  /** Undefined where the store is a directory. */
  readonly staging: ObjectStore | undefined
  readonly tenants: readonly [Tenant, Tenant]
  readonly gateways: readonly [ServerProcess, ServerProcess]
  /** Gives each request to another gateway than the one before. */
  readonly balancer: Addressed
  readonly holding: Holding
  startWorkers(): Promise<void>
}

const rolesOfWorkers = ['ingest', 'ingest,commit', 'commit,maintain']

/** With its gateways; nobody works for them yet. */
export async function startInstallation(server: StoreServer | undefined): Promise<Installation> {
  await using started = new AsyncDisposableStack()
  const redis = await startRedis()
  started.defer(() => redis.stop())
  const watch = await RedisWatch.begin(redis)
  started.defer(() => {
    watch.end()
  })
  const place = started.use(await Place.empty({ STRATA_REDIS_URL: redis.url, ...(await settingsOf(server)) }))
  const tenants = await makeTenants(place)
  const { store, staging } = await openStores(place, server)
  started.defer(async () => {
    await store.close()
    await staging?.close()
  })
  const parts = await (server === undefined ? directoryParts(place) : serverParts(place, server))
  started.defer(() => parts.stop())
  const { gateway, worker, holding } = parts
  const fleet = new Fleet(place)
  const gateways = [await fleet.serve(gateway.args, gateway), await fleet.serve(gateway.args, gateway)] as const
  let turns = 0
  // As a load balancer does: each request goes to the next of them.
  const balancer = await startFaultInjector(() => gateways[turns++ % gateways.length]?.address)
  started.defer(() => balancer.stop())
  const all = started.move()
  return {
    ...{ place, fleet, redis, watch, store, staging, tenants, gateways, holding },
    balancer: { address: balancer.origin },
    startWorkers: async () => {
      const starts = rolesOfWorkers.map((roles) => fleet.serve(['--roles', roles, ...worker.args], worker))
      await Promise.all(starts)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** How the processes are started. */
interface Parts {
  readonly gateway: Process
  readonly worker: Process
  readonly holding: Holding
  stop(): Promise<void>
}

interface Process {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

const repositoryBucket = 'repository'
const stagingBucket = 'staging'
const prefix = 'strata'

async function settingsOf(server: StoreServer | undefined): Promise<Record<string, string>> {
  if (server === undefined) return {}
  await server.createBucket(repositoryBucket)
  await server.createBucket(stagingBucket)
  return { ...server.env, STRATA_STORE: server.storeUrl(repositoryBucket, prefix) }
}

/** One is opened by a key file, one by a passphrase. */
async function makeTenants(place: Place): Promise<readonly [Tenant, Tenant]> {
  await mkdir(place.file('keyrings'), { mode: 0o700 })
  return [
    await makeTenant(place, 'north-harbour-clinic', { keyFilePath: place.file('key-of-north') }),
    await makeTenant(place, 'south-ridge-lawyers', { passphrase: 'a passphrase of the south, 4711' }),
  ]
}

async function makeTenant(place: Place, name: string, secret: TenantSecret): Promise<Tenant> {
  const { keyFilePath, passphrase } = secret
  const keyringPath = place.file(`keyrings/${name}.json`)
  const env = { STRATA_KEYRING: keyringPath, STRATA_KEY_FILE: keyFilePath, STRATA_PASSPHRASE: passphrase }
  const operator = new Operator(place, env)
  await operator.answers('init', '--tenant', name)
  return { name, keyringPath, operator, ...secret }
}

/** What a server process has of the tenants. */
function keyringsIn(place: Place): Process['env'] {
  return { STRATA_KEYRING: place.file('keyrings'), STRATA_KEY_FILE: undefined }
}

/** A gateway without a staging area hands segments to workers in its own process. */
async function directoryParts(place: Place): Promise<Parts> {
  const hold = await Hold.at(place, /\/chains\/.*\/data-/)
  const env = { ...keyringsIn(place), ...hold.env }
  return {
    gateway: { args: ['--roles', 'gateway,ingest'], env },
    worker: { args: [], env },
    holding: {
      reached: (run) => hold.reached(run),
      release: () => hold.release(),
    },
    stop: () => Promise.resolve(),
  }
}

async function serverParts(place: Place, server: StoreServer): Promise<Parts> {
  const env = keyringsIn(place)
  const args = ['--staging', server.storeUrl(stagingBucket)]
  const { promise: released, resolve: release } = Promise.withResolvers<undefined>()
  const { promise: held, resolve: reached } = Promise.withResolvers<undefined>()
  const before = await startFaultInjector(new URL(server.endpoint).origin)
  before.setPlan(({ method, url }) => {
    if (method !== 'PUT' || !/\/chains\/.*\/data-/.test(decodeURIComponent(url))) return undefined
    reached(undefined)
    return { kind: 'hold', until: released }
  })
  const direct = server.storeUrl(repositoryBucket, prefix)
  const store = direct.replace(encodeURIComponent(new URL(server.endpoint).origin), encodeURIComponent(before.origin))
  assert.notEqual(store, direct)
  return {
    gateway: { args: ['--roles', 'gateway', ...args], env },
    worker: { args, env: { ...env, STRATA_STORE: store } },
    holding: {
      reached: async () => {
        await held
      },
      release: () => {
        release(undefined)
        return Promise.resolve()
      },
    },
    stop: () => before.stop(),
  }
}

async function openStores(
  place: Place,
  server: StoreServer | undefined,
): Promise<Pick<Installation, 'store' | 'staging'>> {
  const options = { env: server?.env ?? {}, clock: systemClock, randomBytes: systemRandomBytes }
  const store = await openStore(place.env['STRATA_STORE'] ?? '', options)
  const staging = server === undefined ? undefined : await openStore(server.storeUrl(stagingBucket), options)
  return { store, staging }
}
