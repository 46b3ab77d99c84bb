import { mkdir, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { addStoreTotals, type StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import { askStrata } from '../../fixtures/strata-program.ts'
import { startRedis, type TestRedis } from '../../servers/redis.ts'
import { processCpuSeconds } from '../process-tree.ts'
import { sum } from '../statistics.ts'
import type { AgentsProcessOptions } from './agents-process.ts'
import { Forked } from './forked.ts'
import { redisUse, type RedisUse } from './redis-use.ts'
import type { ServiceLook, ServiceProcessOptions } from './service-process.ts'

/** What a service has taken so far: all its processes together, and its Redis. */
export interface ServiceCost {
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly requests: StoreTotals
  readonly redisCpuSeconds: number
  readonly redis: RedisUse
}

export interface BenchServiceOptions {
  readonly directory: string
  readonly tenants: readonly string[]
  /** Where the store and the staging area are not directories. */
  readonly stores?: { readonly storeUrl: string; readonly stagingUrl: string; readonly env: NodeJS.ProcessEnv }
  readonly signal: AbortSignal
}

/** A service with a Redis of its own, a repository, and agents; in processes apart, so that each one's cost is seen. */
export class BenchService {
  readonly #options: BenchServiceOptions
  readonly #redis: TestRedis
  readonly #client: Redis
  readonly #processes: Forked[] = []
  readonly #agents: Forked[] = []
  #address = ''

  static async start(options: BenchServiceOptions): Promise<BenchService> {
    options.signal.throwIfAborted()
    await rm(options.directory, { recursive: true, force: true })
    await mkdir(join(options.directory, 'keyrings'), { recursive: true })
    const redis = await startRedis()
    const service = new BenchService(options, redis)
    try {
      for (const tenant of options.tenants) await service.#strata(tenant, 'init', '--tenant', tenant)
    } catch (error) {
      await service.stop()
      throw error
    }
    return service
  }

  private constructor(options: BenchServiceOptions, redis: TestRedis) {
    this.#options = options
    this.#redis = redis
    this.#client = new Redis(redis.url)
  }

  /** One process more. The first one with the role `gateway` is where agents go. */
  async serve(more: Partial<Pick<ServiceProcessOptions, 'roles' | 'threads'>> = {}): Promise<void> {
    const options: ServiceProcessOptions = {
      storeUrl: this.#storeUrl,
      keyringPath: this.#path('keyrings'),
      redisUrl: this.#redis.url,
      stagingUrl: this.#options.stores?.stagingUrl ?? null,
      roles: null,
      handOverDirectory: '/dev/shm',
      threads: availableParallelism(),
      ...more,
    }
    const forked = await Forked.start('service-process.ts', options, this.#env(this.#options.tenants[0] ?? ''))
    this.#processes.push(forked)
    const address = await forked.ask<string | null>('address')
    if (this.#address === '') this.#address = address ?? ''
  }

  /** Agents that have enrolled and have their disks, and no point yet. */
  async agents(
    tenant: string,
    about: Omit<AgentsProcessOptions, 'directory' | 'serviceUrl' | 'token'>,
  ): Promise<Forked> {
    const { token } = await this.#strata<{ token: string }>(tenant, 'token', 'create', '--uses', String(about.agents))
    const directory = this.#path(`agents-${about.prefix}`)
    const options: AgentsProcessOptions = { ...about, directory, serviceUrl: this.#address, token }
    const forked = await Forked.start('agents-process.ts', options, process.env)
    this.#agents.push(forked)
    await forked.ask('enrol')
    return forked
  }

  async cost(): Promise<ServiceCost> {
    const looks = await Promise.all(this.#processes.map((process) => process.ask<ServiceLook>('look')))
    const [first, ...others] = looks.map(({ requests }) => requests)
    if (first === undefined) throw new Error('no process of the service runs')
    return {
      cpuSeconds: sum(looks.map(({ cpuSeconds }) => cpuSeconds)),
      residentBytes: sum(looks.map(({ residentBytes }) => residentBytes)),
      requests: addStoreTotals(first, ...others),
      redisCpuSeconds: processCpuSeconds(this.#redis.process.pid),
      redis: await redisUse(this.#client),
    }
  }

  /** A full by `strata backup` into the same repository, with a private Redis of its own. Answers with its seconds. */
  async backUpLocally(tenant: string, imagePath: string): Promise<number> {
    const startedMs = performance.now()
    await this.#strata(tenant, 'backup', `disk=${imagePath}`, '--set', 'local', '--full')
    return (performance.now() - startedMs) / 1000
  }

  async stop(): Promise<void> {
    for (const forked of [...this.#agents, ...this.#processes]) await forked.stop()
    this.#client.disconnect()
    await this.#redis.stop()
    await rm(this.#options.directory, { recursive: true, force: true })
  }

  get #storeUrl(): string {
    return this.#options.stores?.storeUrl ?? pathToFileURL(this.#path('store')).href
  }

  async #strata<Answer>(tenant: string, ...args: readonly string[]): Promise<Answer> {
    return await askStrata<Answer>(args, { env: this.#env(tenant), signal: this.#options.signal })
  }

  #env(tenant: string): NodeJS.ProcessEnv {
    const { STRATA_REDIS_URL: _, ...inherited } = process.env
    return {
      ...inherited,
      ...this.#options.stores?.env,
      STRATA_STORE: this.#storeUrl,
      STRATA_STATE: this.#path(`state-${tenant}`),
      STRATA_KEYRING: this.#path(`keyrings/${tenant}.json`),
      STRATA_PASSPHRASE: 'benchmark, not a secret',
    }
  }

  #path(name: string): string {
    return join(this.#options.directory, name)
  }
}
