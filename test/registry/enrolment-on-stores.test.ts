import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { enrol, type EnrolmentRequest } from '@strata/shared/repository/registry/enrol.ts'
import { createEnrolmentToken } from '@strata/shared/repository/registry/enrolment-tokens.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { isUsable } from '@strata/shared/repository/registry/versioned.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { makeTestRepository } from '@strata/shared/testing/test-repository.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'

/** What the registry promises rests on create-if-absent: so on real stores, by way of several gateways at once. */
const gatewayCount = 4

interface Place {
  readonly open: (tenant: string) => Promise<ObjectStore>
  readonly stop: () => Promise<void>
}

async function onDirectory(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-registry-'))
  return {
    open: (tenant) => openAt(pathToFileURL(join(directory, tenant)).href, {}),
    stop: () => rm(directory, { recursive: true }),
  }
}

async function onServer(server: StoreServer): Promise<Place> {
  await server.createBucket('bucket')
  return {
    open: (tenant) => openAt(server.storeUrl('bucket', tenant), server.env),
    stop: () => server.stop(),
  }
}

async function openAt(url: string, env: Readonly<Record<string, string>>): Promise<ObjectStore> {
  return await openStore(url, { env, clock: systemClock, randomBytes: systemRandomBytes, create: true })
}

function request(token: EnrolmentToken, machine: number, more: Partial<EnrolmentRequest> = {}): EnrolmentRequest {
  const identity = machine.toString(16).padStart(64, '0')
  return {
    token,
    publicKey: identity,
    machineFingerprint: identity,
    name: `web${String(machine)}`,
    machine: { hostName: 'host', system: 'Linux', architecture: 'x64' },
    ...more,
  }
}

function describeEnrolment(start: () => Promise<Place>): void {
  let place: Place
  before(async () => {
    place = await start()
  })
  after(() => place.stop())

  /** The same tenant at several gateways, each with a store of its own. */
  async function withGateways(tenant: string, work: (gateways: readonly Registry[]) => Promise<void>): Promise<void> {
    const { ingestKeys } = makeTestRepository(tenant).repository
    const stores = await Promise.all(Array.from({ length: gatewayCount }, () => place.open(tenant)))
    try {
      await work(stores.map((store) => new Registry(new Repository(store, ingestKeys, systemRandomBytes))))
    } finally {
      for (const store of stores) await store.close()
    }
  }

  const wanted = { lifeMs: 3600_000, usesMax: 5, endpoint: null, note: '' }
  const gatewayOf = (gateways: readonly Registry[], n: number): Registry => {
    const gateway = gateways[n % gatewayCount]
    assert.ok(gateway !== undefined)
    return gateway
  }

  test('as many machines become endpoints at once as the token is good for', async () => {
    await withGateways('uses', async (gateways) => {
      const registry = gatewayOf(gateways, 0)
      const { token } = await createEnrolmentToken(registry, wanted)
      const tried = await Promise.allSettled(
        Array.from({ length: 12 }, (_, n) => enrol(gatewayOf(gateways, n), request(token, n))),
      )
      assert.equal(tried.filter(({ status }) => status === 'fulfilled').length, 5)
      for (const one of tried) if (one.status === 'rejected') assert.ok(hasCode(one.reason, 'E_ENROLMENT_USED_UP'))
      const endpoints = (await Array.fromAsync(registry.endpoints.list())).filter(isUsable)
      assert.equal(endpoints.filter(({ document }) => document.state === 'active').length, 5)
      assert.equal(await registry.uses.newestVersion(token.id), 5)
    })
  })

  test('one machine that comes several times at once is one endpoint', async () => {
    await withGateways('machine', async (gateways) => {
      const registry = gatewayOf(gateways, 0)
      const { token } = await createEnrolmentToken(registry, wanted)
      const same = { machineFingerprint: 'f'.repeat(64) }
      const tried = await Promise.allSettled(
        Array.from({ length: 4 }, (_, n) => enrol(gatewayOf(gateways, n), request(token, n, same))),
      )
      assert.equal(tried.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const one of tried) {
        if (one.status === 'rejected') assert.ok(hasCode(one.reason, 'E_ENDPOINT_DUPLICATE', 'E_ENDPOINT_REVOKED'))
      }
    })
  })

  test('one enrolment that comes several times at once is one use', async () => {
    await withGateways('repeat', async (gateways) => {
      const registry = gatewayOf(gateways, 0)
      const { token } = await createEnrolmentToken(registry, wanted)
      const made = await Promise.all(gateways.map((gateway) => enrol(gateway, request(token, 1))))
      assert.equal(new Set(made.map(({ id }) => id)).size, 1)
      assert.equal(await registry.uses.newestVersion(token.id), 1)
    })
  })
}

describe('enrolments on a directory', () => {
  describeEnrolment(onDirectory)
})

describeWith(cephRgwRequirement, 'enrolments on Ceph RGW', () => {
  describeEnrolment(async () => await onServer(await startCephRgw()))
})

describe('enrolments on Azurite', () => {
  describeEnrolment(async () => await onServer(await startAzurite()))
})
