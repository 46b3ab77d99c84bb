import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { readKeyring } from '@strata/shared/keys/keyring.ts'
import { publicKeyOf } from '@strata/shared/protocol/endpoint-key.ts'
import { digestOfBody, signRequest, type RequestSigner } from '@strata/shared/protocol/request-token.ts'
import { pathOf, protocolHeader, protocolVersion, routes, type Route } from '@strata/shared/protocol/routes.ts'
import {
  createEnrolmentToken,
  type CreatedEnrolmentToken,
  type NewEnrolmentToken,
} from '@strata/shared/repository/registry/enrolment-tokens.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { isReadable, isUnreadable, listPoints } from '@strata/shared/repository/points.ts'
import { openRepository, type Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { asId, type EndpointId, type SetId } from '@strata/shared/types.ts'
import { Place, until, withLimits } from '../end-to-end/place.ts'
import { startRedis, type TestRedis } from '../servers/redis.ts'
import { Fleet, type ServerProcess } from '../service/fleet.ts'
import { sendPlain, type PlainAnswer } from './plain-http.ts'

/** So that a test sees within moments that an endpoint was revoked, or has another key. */
const shortMemory = { endpointRecheckMs: 1, endpointMissingMsMax: 2, endpointCacheMsMax: 3 }

export interface BenchOptions {
  readonly limits?: Readonly<Record<string, number>>
  readonly servers?: number
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Real processes of a service for two tenants, and what its operators have: their registries and the store. */
export class SecurityBench implements AsyncDisposable {
  readonly place: Place
  readonly servers: readonly ServerProcess[]
  readonly store: ObjectStore
  readonly one: Tenant
  readonly other: Tenant
  readonly redis: TestRedis
  readonly #fleet: Fleet

  static async start(options: BenchOptions = {}): Promise<SecurityBench> {
    const { limits = {}, servers = 1, args = [], env = {} } = options
    const place = await Place.empty()
    const redis = await startRedis()
    const keyrings = place.file('keyrings')
    await mkdir(keyrings, { mode: 0o700 })
    for (const tenant of ['one', 'other']) {
      const keyring = { STRATA_KEYRING: `${keyrings}/${tenant}.json` }
      await place.answersWith({ env: keyring }, 'init', '--tenant', tenant)
    }
    const fleet = new Fleet(place)
    const serving = {
      ...withLimits({ ...shortMemory, ...limits }),
      STRATA_KEYRING: keyrings,
      STRATA_REDIS_URL: redis.url,
      ...env,
    }
    const started = Array.from({ length: servers }, () => fleet.serve(args, { env: serving }))
    const store = await openStore(place.storeUrl, {
      env: {},
      clock: systemClock,
      randomBytes: systemRandomBytes,
    })
    const tenant = async (name: string): Promise<Tenant> =>
      new Tenant(await openRepository(store, await readKeyring(`${keyrings}/${name}.json`), systemRandomBytes))
    return new SecurityBench(place, redis, fleet, await Promise.all(started), store, [
      await tenant('one'),
      await tenant('other'),
    ])
  }

  private constructor(
    place: Place,
    redis: TestRedis,
    fleet: Fleet,
    servers: readonly ServerProcess[],
    store: ObjectStore,
    [one, other]: readonly [Tenant, Tenant],
  ) {
    this.place = place
    this.redis = redis
    this.#fleet = fleet
    this.servers = servers
    this.store = store
    this.one = one
    this.other = other
  }

  get server(): ServerProcess {
    const [first] = this.servers
    assert.ok(first !== undefined)
    return first
  }

  get address(): string {
    return this.server.address
  }

  async enrol(tenant: Tenant, name: string, token?: CreatedEnrolmentToken): Promise<Endpoint> {
    const { token: line } = token ?? (await tenant.token())
    const { privateKey } = generateKeyPairSync('ed25519')
    const machineFingerprint = randomBytes(32).toString('hex')
    const answer = await this.ask(routes.enrol, {
      body: { token: line.text(), publicKey: publicKeyOf(privateKey), machineFingerprint, name, machine },
    })
    assert.equal(answer.status, 201, answer.text)
    const { endpoint, endpointName } = JSON.parse(answer.text) as { endpoint: string; endpointName: string }
    return new Endpoint(tenant.repository, asId(endpoint), endpointName, privateKey, machineFingerprint)
  }

  /** Asks the first server, or the one that is named. */
  async ask(route: Route, asked: Asked = {}, address = this.address): Promise<PlainAnswer> {
    const target = pathOf(route, asked.params, asked.query)
    const body = bodyOf(asked.body)
    const authorization = asked.by === undefined ? undefined : await asked.by.authorization(route.method, target, body)
    return await sendPlain(address, {
      method: route.method,
      target,
      ...(body === undefined ? {} : { body }),
      headers: {
        [protocolHeader]: String(protocolVersion),
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': contentTypeOf(route) }),
        ...asked.headers,
      },
    })
  }

  /** The points of both tenants: what has become visible. */
  async points(): Promise<string[]> {
    return [...(await this.one.points()), ...(await this.other.points())]
  }

  /** The servers have not ended, and answer. */
  async requireAlive(): Promise<void> {
    for (const { run, address } of this.servers) {
      assert.equal(run.child.exitCode, null, run.messages)
      const answer = await sendPlain(address, { method: 'GET', target: routes.health.path })
      assert.equal(answer.status, 200)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleet.stop()
    await this.store.close()
    await until(async () => ((await this.place.processes()).length === 0 ? true : undefined))
    await this.place[Symbol.asyncDispose]()
    await this.redis.stop()
  }
}

export const machine = { hostName: 'host', system: 'system', architecture: 'x64' }

export interface Asked {
  readonly by?: Pick<Endpoint, 'authorization'>
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

function bodyOf(body: unknown): Uint8Array | undefined {
  if (body === undefined || body instanceof Uint8Array) return body
  return Buffer.from(JSON.stringify(body), 'utf8')
}

function contentTypeOf({ body }: Route): string {
  return body === 'segment' ? 'application/octet-stream' : 'application/json'
}

/** What a tenant's operator can do. */
export class Tenant {
  readonly repository: Repository
  readonly registry: Registry

  constructor(repository: Repository) {
    this.repository = repository
    this.registry = new Registry(repository)
  }

  async token(wanted: Partial<NewEnrolmentToken> = {}): Promise<CreatedEnrolmentToken> {
    return await createEnrolmentToken(this.registry, {
      lifeMs: 3600_000,
      usesMax: 1,
      endpoint: null,
      note: '',
      ...wanted,
    })
  }

  async points(): Promise<string[]> {
    const entries = await Array.fromAsync(listPoints(this.repository))
    assert.ok(!entries.some(isUnreadable))
    return entries.filter(isReadable).map(({ manifest }) => manifest.point)
  }

  /** One that was good until a moment ago. */
  async expiredToken(): Promise<CreatedEnrolmentToken> {
    const created = await this.token()
    const { document } = created
    const expiresAt = new Date(Date.now() - 60_000).toISOString()
    await this.registry.tokens.append(asId(document.token), 1, { ...document, expiresAt })
    return created
  }
}

/** An endpoint that keeps to nothing: it signs whatever it is told to. */
export class Endpoint implements RequestSigner {
  readonly repository: RequestSigner['repository']
  readonly tenant: RequestSigner['tenant']
  readonly endpoint: EndpointId
  readonly name: string
  readonly privateKey: KeyObject
  readonly machineFingerprint: string
  readonly #repository: Repository

  constructor(
    repository: Repository,
    endpoint: EndpointId,
    name: string,
    privateKey: KeyObject,
    machineFingerprint: string,
  ) {
    this.#repository = repository
    this.repository = repository.ingestKeys.repositoryId
    this.tenant = repository.tenant
    this.endpoint = endpoint
    this.name = name
    this.privateKey = privateKey
    this.machineFingerprint = machineFingerprint
  }

  async authorization(method: string, target: string, body: Uint8Array = new Uint8Array()): Promise<string> {
    const request = { method, target, bodyDigest: digestOfBody(body) }
    return `Strata ${await signRequest(this, request, systemClock.nowMs(), systemRandomBytes)}`
  }

  setNamed(name = this.name): SetId {
    return this.#repository.setIdOf(name)
  }
}
