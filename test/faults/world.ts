import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { errorCatalogue, isErrorCode } from '@strata/shared/errors.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { filesBelow, killOwn, Place, until, type Run } from '../end-to-end/place.ts'
import { runTool } from '../fixtures/tool.ts'
import type { CephRgw } from '../servers/ceph-rgw.ts'
import { startRedis, type TestRedis } from '../servers/redis.ts'
import { AgentMachine, faulty } from './agent-machine.ts'
import { Chance } from './chance.ts'
import { briefly } from './judge.ts'
import { KeptServer } from './kept-server.ts'
import { Link } from './link.ts'
import { Disks } from './moments.ts'
import type { Scenario } from './scenario.ts'
import { copyTemplate } from './template.ts'

/** What all scenarios share. */
export interface Surroundings {
  readonly template: Place
  /** With the buckets of `s3Buckets`; undefined: no scenario needs it. */
  readonly s3: CephRgw | undefined
}

export const s3Buckets = { store: 'faults', staging: 'faults-staging' }

type Environment = Readonly<Record<string, string>>

/** A service with its Redis and its store, and its endpoints, as real processes; and everything that can go wrong there. */
export class World implements AsyncDisposable {
  readonly scenario: Scenario
  readonly place: Place
  readonly gateways: Link
  /** S3 alone. */
  readonly storeLink: Link | undefined
  readonly machines: AgentMachine[] = []
  readonly servers: readonly KeptServer[]
  /** Processes that a fault inside of them has killed. */
  died = 0
  /** What must not be, in words. */
  readonly problems: string[] = []
  /** Of the operator, and of the service. */
  readonly env: Environment
  readonly #redis: TestRedis | undefined
  #isRedisDown = false
  readonly #mounts: string[]
  readonly #surroundings: Surroundings

  static async make(scenario: Scenario, surroundings: Surroundings): Promise<World> {
    const place = await Place.empty()
    const made: { world?: World } = {}
    const gateways = await Link.toGateways(() => made.world?.gatewayAddress())
    const storeLink = scenario.store === 's3' ? await Link.toStore(requireS3(surroundings).endpoint) : undefined
    const redis = scenario.shape === 'alone' ? undefined : await startRedis({ args: keepsData })
    const world = new World(scenario, surroundings, { place, gateways, storeLink, redis })
    made.world = world
    await world.#furnish()
    return world
  }

  private constructor(
    scenario: Scenario,
    surroundings: Surroundings,
    parts: { place: Place; gateways: Link; storeLink: Link | undefined; redis: TestRedis | undefined },
  ) {
    this.scenario = scenario
    this.#surroundings = surroundings
    this.place = parts.place
    this.gateways = parts.gateways
    this.storeLink = parts.storeLink
    this.#redis = parts.redis
    this.#mounts = mountsOf(scenario, this.place)
    this.env = {
      ...this.#storeEnv(),
      ...(this.#redis === undefined ? {} : { STRATA_REDIS_URL: this.#redis.url }),
    }
    this.servers = rolesOf(scenario).map((roles, index) => this.#server(index, roles))
  }

  async endProcesses(): Promise<void> {
    await this.endAll('SIGKILL')
    for (const pid of await this.place.processes()) killOwn(pid, 'SIGKILL')
    await this.gateways.stop()
    await this.storeLink?.stop()
    await this.#redis?.stop()
  }

  /** After its processes have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#mounts) await runTool('umount', ['-l', path])
    await this.place[Symbol.asyncDispose]()
  }

  /** Gateways take turns. */
  gatewayAddress(): string | undefined {
    const addresses = this.servers.flatMap(({ address }) => address ?? [])
    this.#turn += 1
    return addresses[this.#turn % addresses.length]
  }
  #turn = 0

  /** The store as it is, whatever stands between it and the service. */
  async openStore(): Promise<ObjectStore> {
    const { s3 } = this.#surroundings
    const options = { env: s3?.env ?? {}, clock: systemClock, randomBytes: systemRandomBytes }
    return await openStore(this.#storeUrl(s3?.endpoint), options)
  }

  /** @param faults for the first process of each server */
  async beginServers(faults: readonly Environment[] = []): Promise<void> {
    for (const [index, server] of this.servers.entries()) server.begin(faults[index] ?? {})
    await this.untilReady()
  }

  async untilReady(): Promise<void> {
    await until(() => Promise.resolve(this.servers.every(({ isReady }) => isReady) ? true : undefined))
  }

  async endAll(signal: 'SIGTERM' | 'SIGKILL'): Promise<(Run | undefined)[]> {
    return await Promise.all(this.servers.map((server) => server.end(signal)))
  }

  async killRedis(losesData: boolean, backAfterMs: number): Promise<void> {
    const redis = this.#redis
    if (redis === undefined) {
      // The server that has started it is to notice, and ends.
      for (const pid of await this.#privateRedis()) killOwn(pid, 'SIGKILL')
      return
    }
    // Two faults may want it at once; the first of them brings it back.
    if (this.#isRedisDown) return
    this.#isRedisDown = true
    await redis.kill()
    if (losesData) await rm(join(dirname(redis.socketPath), 'appendonlydir'), { recursive: true, force: true })
    await systemClock.sleep(backAfterMs)
    await redis.startAgain()
    this.#isRedisDown = false
  }

  async signalRedis(signal: NodeJS.Signals): Promise<void> {
    const own = this.#isRedisDown || this.#redis === undefined ? [] : [this.#redis.process.pid]
    const pids = this.#redis === undefined ? await this.#privateRedis() : own
    for (const pid of pids) killOwn(pid, signal)
  }

  /** The disk behind these directories has so many bytes left; undefined: as many as ever wanted. */
  async leaveFree(freeBytes: number | undefined): Promise<void> {
    for (const path of this.#mounts) {
      const { output } = await runTool('df', ['-B1', '--output=used', path])
      const used = Number(output.trim().split('\n').at(-1))
      const size = freeBytes === undefined ? mountBytes : used + freeBytes
      await runTool('mount', ['-o', `remount,size=${String(size)}`, path])
    }
  }

  async #privateRedis(): Promise<number[]> {
    const found: number[] = []
    for (const pid of await this.place.processes()) {
      const command = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')
      if (command.includes('redis-server')) found.push(pid)
    }
    return found
  }

  async #furnish(): Promise<void> {
    const { agents, seed } = this.scenario
    for (const path of this.#mounts) {
      await runTool('mkdir', ['-p', path])
      await runTool('mount', ['-t', 'tmpfs', '-o', `size=${String(mountBytes)}`, 'strata-faults', path])
    }
    await copyTemplate(this.#surroundings.template, this.place, this.gateways.origin)
    if (this.scenario.store === 's3') await this.#uploadTemplate()
    for (const { name, diskBytes } of agents) {
      const directory = this.place.file(`disks-${name}`)
      await runTool('mkdir', [directory])
      const disks = await Disks.make(directory, diskBytes, new Chance(`disks of ${String(seed)}`).part(name))
      this.machines.push(new AgentMachine(this.place, name, disks))
    }
  }

  async #uploadTemplate(): Promise<void> {
    const store = await this.openStore()
    for (const file of await filesBelow(this.place.file('store'))) {
      const name = file.slice(0, file.lastIndexOf(' '))
      await store.put(name, [await readFile(this.place.stored(name))])
    }
    await store.close()
  }

  #server(index: number, roles: string | undefined): KeptServer {
    const args = ['--json', 'serve', '--listen', '127.0.0.1:0', ...(roles === undefined ? [] : ['--roles', roles])]
    const { sessionLifeMs } = this.scenario
    const limits = sessionLifeMs === undefined ? {} : { sessionLifeMs }
    return new KeptServer(
      (faults) => this.place.start(args, { env: { ...faulty(faults, limits), ...this.env } }),
      (ended, how) => {
        if (how === 'died') this.died += 1
        if (how === 'by itself') this.problems.push(...problemsOfServer(index, ended))
      },
    )
  }

  #storeEnv(): Environment {
    const { s3 } = this.#surroundings
    if (this.storeLink === undefined || s3 === undefined) return {}
    const staging = s3.storeUrl(s3Buckets.staging, this.#prefix)
    return {
      ...s3.env,
      STRATA_STORE: this.#storeUrl(this.storeLink.origin),
      ...(this.scenario.staged ? { STRATA_STAGING: at(staging, s3.endpoint, this.storeLink.origin) } : {}),
    }
  }

  #storeUrl(origin: string | undefined): string {
    const { s3 } = this.#surroundings
    if (this.scenario.store === 'directory' || s3 === undefined || origin === undefined) return this.place.storeUrl
    return at(s3.storeUrl(s3Buckets.store, this.#prefix), s3.endpoint, origin)
  }

  get #prefix(): string {
    return this.place.directory.path.split('/').at(-1) ?? ''
  }
}

const keepsData = ['--appendonly', 'yes', '--appendfsync', 'always']
const mountBytes = 1024 ** 3

function requireS3({ s3 }: Surroundings): CephRgw {
  if (s3 === undefined) throw new Error('this scenario needs an S3 server')
  return s3
}

function at(url: string, endpoint: string, origin: string): string {
  return url.replace(encodeURIComponent(endpoint), encodeURIComponent(origin))
}

function rolesOf({ shape, staged }: Scenario): readonly (string | undefined)[] {
  if (shape === 'alone') return [undefined]
  return staged
    ? ['gateway', 'gateway,maintain', 'ingest,commit']
    : ['gateway,ingest', 'gateway,ingest,maintain', 'commit']
}

function mountsOf({ rounds, agents }: Scenario, place: Place): string[] {
  const paths = { 'hand-over': ['hand-over'], store: ['store'], state: agents.map(({ name }) => `machine-${name}`) }
  const faults = rounds.flatMap((round) => round.faults)
  const full = faults.find((fault) => fault.kind === 'full disk')
  return full === undefined ? [] : paths[full.where].map((name) => place.file(name))
}

/** A server that ends by itself says why, and it is no defect. */
function problemsOfServer(index: number, ended: Run): string[] {
  const said = briefly(`${ended.output}\n${ended.messages}`)
  const code: unknown = /^strata: (E_[A-Z_]+): /m.exec(ended.messages)?.[1]
  const isOrderly = ended.exitCode === 1 && isErrorCode(code) && errorCatalogue[code].kind !== 'bug'
  return isOrderly
    ? []
    : [`server ${String(index)} ended by itself with ${String(ended.exitCode ?? ended.signal)}: ${said}`]
}
