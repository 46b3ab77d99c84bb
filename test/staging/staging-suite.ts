import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import { clockSkewWarnMs } from '@strata/shared/limits.ts'
import type { StagingArea } from '@strata/shared/staging/staging-area.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { bytesOf } from '../conformance/store-helpers.ts'
import { impatientClock } from '../fixtures/impatient-clock.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { contentOf, grantLifeMs, sendPlain, shiftedClock, startStaging, type StagingServer } from './staging-server.ts'

/** The guarantees of StagingArea as tests, which hold on every server. */

/** What a suite works with; filled in before its first test. */
export interface StagingPlace {
  staging: StagingServer
  area: StagingArea
  /** The same place as a store, for whoever has its credentials. */
  store: ObjectStore
}

/** In what the servers differ where nothing relies on it. */
export interface StagingTraits {
  /** What an agent makes of the answer to a second upload: Azurite does not tell it from another refusal. */
  readonly second: 'present' | 'refused'
  /** RGW does not mind a signature of the future. */
  readonly early: 'done' | 'refused'
}

export function describeStaging(start: () => Promise<StoreServer>, { second, early }: StagingTraits): StagingPlace {
  const place = {} as StagingPlace

  before(async () => {
    const staging = await startStaging(await start())
    const options = { env: staging.server.env, clock: impatientClock(), randomBytes: systemRandomBytes }
    Object.assign(place, { staging, area: await staging.open(), store: await openStore(staging.url, options) })
  })

  after(async () => {
    await place.area.close()
    await place.store.close()
    await place.staging.stop()
  })

  test('what is uploaded with a grant is whole, can be read, listed and deleted', async () => {
    const { staging, area } = place
    for (const size of [1, 100_000, 9 * 1024 ** 2 + 1]) {
      const [name, bytes] = [staging.newName(), bytesOf(size)]
      assert.equal(await area.check(name, contentOf(bytes)), undefined)
      const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
      assert.deepEqual(await staging.upload(grant, bytes), { kind: 'done' })
      assert.equal(await area.check(name, contentOf(bytes)), 'whole')
      assert.ok(Buffer.from(bytes).equals(await area.get(name, { bytesMax: size })))
      const sessionPrefix = name.slice(0, name.lastIndexOf('/') + 1)
      assert.deepEqual(await namesOf(area, sessionPrefix), [name])
      await area.delete(name)
      await area.delete(name)
      assert.equal(await area.check(name, contentOf(bytes)), undefined)
    }
  })

  test('a grant costs no request, and says when it ends', async () => {
    const { staging } = place
    let requests = 0
    const area = await staging.open({ onRequest: () => (requests += 1) })
    const earliestMs = systemClock.nowMs() + grantLifeMs
    const { expiresAtMs } = await area.grant(staging.newName(), contentOf(bytesOf(10)), grantLifeMs)
    assert.equal(requests, 0)
    assert.ok(expiresAtMs > earliestMs - 1000 && expiresAtMs <= systemClock.nowMs() + grantLifeMs)
    await area.close()
  })

  test('grants for what is no staged segment, or for ever, are our own mistakes', async () => {
    const { staging, area } = place
    const [name, content, bug] = [staging.newName(), contentOf(bytesOf(10)), { code: 'E_BUG' }]
    for (const other of ['repository', `${name}/x`, '../x', '']) {
      await assert.rejects(area.grant(other, content, grantLifeMs), bug)
    }
    for (const lifeMs of [0, -1, NaN, 3_600_001]) await assert.rejects(area.grant(name, content, lifeMs), bug)
    for (const bytes of [0, -1, 0.5]) await assert.rejects(area.grant(name, { ...content, bytes }, grantLifeMs), bug)
    await assert.rejects(area.grant(name, { ...content, sha256: new Uint8Array(31) }, grantLifeMs), bug)
  })

  test('a second upload with the same grant is refused and changes nothing', async () => {
    const { staging, area } = place
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    assert.deepEqual(await staging.upload(grant, bytes), { kind: 'done' })
    assert.equal((await staging.upload(grant, bytes)).kind, second)
    // Where the length is the same, only that it was created once protects what is there.
    assert.equal((await staging.upload(grant, bytesOf(1000))).kind, second)
    assert.deepEqual(await area.get(name), bytes)
    // So is one with another grant for the same name.
    const other = bytesOf(900)
    const later = await area.grant(name, contentOf(other), grantLifeMs)
    assert.equal((await staging.upload(later, other)).kind, second)
    assert.deepEqual(await area.get(name), bytes)
  })

  test('of many uploads with one grant at the same time exactly one is done', async () => {
    const { staging, area } = place
    const name = staging.newName()
    const contents = Array.from({ length: 8 }, () => bytesOf(5000))
    const [first = bytesOf(5000)] = contents
    const grant = await area.grant(name, contentOf(first), grantLifeMs)
    const uploads = await Promise.allSettled(contents.map(async (bytes) => await staging.upload(grant, bytes)))
    const kinds = uploads.map((upload) => {
      if (upload.status === 'fulfilled') return upload.value.kind
      // Azurite may close the connection of one that it refuses.
      assert.ok(hasCode(upload.reason, 'E_STORE_UNREACHABLE'), String(upload.reason))
      return 'unknown'
    })
    assert.equal(kinds.filter((kind) => kind === 'done').length, 1, kinds.join())
    assert.deepEqual(await area.get(name), contents[kinds.indexOf('done')])
  })

  test('a grant that has expired is refused, and so is one that has not begun', async () => {
    const { staging } = place
    const bytes = bytesOf(1000)
    const shifts = [
      [-grantLifeMs - 2000, 'refused'],
      [clockSkewWarnMs + 3600_000, early],
    ] as const
    for (const [byMs, expected] of shifts) {
      const area = await staging.open({ clock: shiftedClock(byMs) })
      const name = staging.newName()
      const outcome = await staging.upload(await area.grant(name, contentOf(bytes), grantLifeMs), bytes)
      assert.equal(outcome.kind, expected)
      assert.equal(await area.check(name, contentOf(bytes)), expected === 'done' ? 'whole' : undefined)
      await area.close()
    }
  })

  test('a grant is good although the clock of whoever gave it is wrong by what nobody is warned of', async () => {
    const { staging } = place
    for (const byMs of [2000 - grantLifeMs, clockSkewWarnMs - 2000]) {
      const area = await staging.open({ clock: shiftedClock(byMs) })
      const bytes = bytesOf(100)
      const grant = await area.grant(staging.newName(), contentOf(bytes), grantLifeMs + 60_000)
      assert.deepEqual(await staging.upload(grant, bytes), { kind: 'done' })
      await area.close()
    }
  })

  test('a grant for one object does not read, list, delete or change it, nor write another', async () => {
    const { staging, area } = place
    const [name, other, bytes] = [staging.newName(), staging.newName(), bytesOf(1000)]
    const grant = await area.grant(name, contentOf(bytes), grantLifeMs)
    const url = new URL(grant.url)
    const elsewhere = (path: string): string => url.origin + path + url.search
    const root = url.pathname.slice(0, url.pathname.indexOf('/staging') + '/staging'.length)
    const { headers } = grant
    const attempts = {
      get: { url: grant.url, method: 'GET' },
      'get with its headers': { url: grant.url, method: 'GET', headers },
      head: { url: grant.url, method: 'HEAD' },
      delete: { url: grant.url, method: 'DELETE' },
      post: { url: grant.url, method: 'POST', headers, body: bytes },
      list: {
        url: `${url.origin}${root}?list-type=2&restype=container&comp=list&${url.search.slice(1)}`,
        method: 'GET',
      },
      'write another': { url: elsewhere(url.pathname.slice(0, -name.length) + other), headers, body: bytes },
      'write a longer name': { url: elsewhere(`${url.pathname}0`), headers, body: bytes },
      'write above the prefix': { url: elsewhere(`${root}/${other}`), headers, body: bytes },
      'without its query': { url: url.origin + url.pathname, headers, body: bytes },
    }
    const tryAll = async (): Promise<void> => {
      for (const [what, attempt] of Object.entries(attempts)) {
        const { status } = await sendPlain(attempt)
        // 400: there is no such request. Not 404, which would say whether an object is there.
        assert.ok([400, 401, 403].includes(status), `${what}: ${String(status)}`)
      }
    }
    await tryAll()
    assert.equal(await area.check(name, contentOf(bytes)), undefined)
    assert.deepEqual(await staging.upload(grant, bytes), { kind: 'done' })
    await tryAll()
    assert.deepEqual(await area.get(name), bytes)
    assert.equal(await area.check(other, contentOf(bytes)), undefined)
  })

  test('an object of another length is not what was granted', async () => {
    const { staging, area, store } = place
    const [name, bytes] = [staging.newName(), bytesOf(1000)]
    await store.put(name, [bytes.subarray(1)])
    assert.equal(await area.check(name, contentOf(bytes)), 'different')
    assert.equal(await area.check(name, contentOf(bytes.subarray(1))), 'whole')
  })

  test('nothing but staged segments is deleted there', async () => {
    const { area, store } = place
    const name = `tenants/${'1'.repeat(32)}/keys/00000001`
    await store.put(name, [bytesOf(10)])
    await assert.rejects(area.delete(name), { code: 'E_BUG' })
    assert.equal((await store.head(name))?.sizeBytes, 10)
  })

  test('it passes the probe for create-if-absent, which leaves nothing behind', async () => {
    const { area } = place
    await area.probe()
    assert.deepEqual(await namesOf(area, 'probes/'), [])
  })

  test('its clock is that of the store', async () => {
    const { staging } = place
    const area = await staging.open({ clock: shiftedClock(-600_000) })
    assert.ok(Math.abs((await area.now()) - systemClock.nowMs()) < 60_000)
    await area.close()
  })

  return place
}

async function namesOf(area: StagingArea, prefix: string): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of area.list(prefix)) names.push(name)
  return names
}
