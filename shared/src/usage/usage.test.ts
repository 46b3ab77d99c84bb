import assert from 'node:assert/strict'
import { test } from 'node:test'
import { manifestName, packName, usageName, usagePlaceOf, usagePrefix } from '../format/names.ts'
import type { UsageDocument } from '../format/usage.ts'
import { Repository } from '../repository/repository.ts'
import { storeWith } from '../testing/store-with.ts'
import { makeTestRepository, seededRandom, type TestRepository } from '../testing/test-repository.ts'
import { MovedClock } from '../testing/moved-clock.ts'
import { asId, type ChainId, type SetId, type TenantId } from '../types.ts'
import { readUsage, saveUsage } from './usage-ledger.ts'
import { UsageMeter } from './usage-meter.ts'

const hourMs = 3600_000
const set = asId<SetId>('5'.repeat(32))

interface Scene extends TestRepository {
  readonly clock: MovedClock
  readonly meter: UsageMeter
  readonly read: (from?: string, to?: string) => Promise<UsageDocument[]>
}

/** It is 22:00 on June 1st. */
function makeScene(): Scene {
  const clock = new MovedClock(Date.UTC(2026, 5, 1, 22))
  const scene = makeTestRepository('usage', { clock })
  const onWarning = (): never => assert.fail('no warning')
  return {
    ...scene,
    clock,
    meter: new UsageMeter(clock, seededRandom('meter')),
    read: (from = '2026-01-01', to = '2026-12-31') => Array.fromAsync(readUsage(scene.repository, from, to, onWarning)),
  }
}

const nothing = { bytesSent: 0, bytesReceived: 0 }

test('what is asked is counted for the set that it is about, by day', async () => {
  const { repository, meter, clock, read } = makeScene()
  const { tenant } = repository
  const place = { tenant, set, chain: asId<ChainId>('6'.repeat(32)) }
  const pack = packName(place, 'data', { session: asId('7'.repeat(32)), number: 0, attempt: '8'.repeat(16) })
  meter.onRequest({ kind: 'put', name: pack, bytesSent: 1000, bytesReceived: 0 })
  meter.onRequest({ kind: 'put', name: manifestName(place, 1), bytesSent: 10, bytesReceived: 0 })
  meter.onRequest({ kind: 'list', name: `tenants/${tenant}/points/`, ...nothing })
  meter.onRequest({ kind: 'get', name: 'repository', bytesSent: 0, bytesReceived: 5 })
  meter.onRequest({ kind: 'head', name: '', ...nothing })
  meter.onRequest({ kind: 'put', name: `${tenant}/${set}/${'9'.repeat(32)}/00000000-a`, ...nothing, bytesSent: 7 })
  clock.pass(3 * hourMs)
  meter.onRequest({ kind: 'get', name: pack, bytesSent: 0, bytesReceived: 1000 })
  await saveUsage(repository, meter, 'a test')
  const [first, second, ...more] = (await read()).toSorted((a, b) => (a.day < b.day ? -1 : 1))
  assert.deepEqual(more, [])
  assert.equal(first?.day, '2026-06-01')
  assert.deepEqual(first.sets, [
    { set, requests: { put: 3 }, bytesSent: 1017, bytesReceived: 0 },
    { set: null, requests: { list: 1 }, bytesSent: 0, bytesReceived: 0 },
  ])
  assert.deepEqual(second?.sets, [{ set, requests: { get: 1 }, bytesSent: 0, bytesReceived: 1000 }])
})

test('a day is written again in the same place as it goes on, and not when nothing has come', async () => {
  const { repository, store, requests, clock, read } = makeScene()
  const meter = new UsageMeter(clock, seededRandom('meter'))
  const puts = (): number => requests.filter(({ kind }) => kind === 'put').length
  const ask = (): void => {
    meter.onRequest({ kind: 'get', name: `tenants/${repository.tenant}/points/${set}/x`, ...nothing })
  }
  ask()
  await saveUsage(repository, meter, 'a test')
  // Its own requests are counted, and are no reason to write again.
  meter.onRequest({ kind: 'put', name: usageName(repository.tenant, '2026-06-01', meter.process, 0), ...nothing })
  await saveUsage(repository, meter, 'a test')
  assert.equal(puts(), 1)
  ask()
  await saveUsage(repository, meter, 'a test')
  assert.equal(puts(), 2)
  assert.deepEqual(
    (await read()).map(({ sets }) => sets.map(({ requests: asked }) => asked)),
    [[{ get: 2 }, { put: 1 }]],
  )
  clock.pass(24 * hourMs)
  ask()
  await saveUsage(repository, meter, 'a test')
  assert.deepEqual(await Array.fromAsync(store.list(usagePrefix(repository.tenant))).then((all) => all.length), 2)
})

test('what could not be written is written the next time', async () => {
  const { repository, meter, read } = makeScene()
  meter.onRequest({ kind: 'get', name: `tenants/${repository.tenant}/points/${set}/x`, ...nothing })
  const away = storeWith(repository.store, { put: () => Promise.reject(new Error('away')) })
  const elsewhere = new Repository(away, repository.ingestKeys, seededRandom('elsewhere'))
  await assert.rejects(saveUsage(elsewhere, meter, 'a test'), /away/)
  await saveUsage(repository, meter, 'a test')
  assert.equal((await read()).length, 1)
})

test('only the days that are asked for are read, and what is damaged is told', async () => {
  const { repository, store, meter, clock, read } = makeScene()
  for (let day = 0; day < 4; day += 1) {
    meter.onRequest({ kind: 'get', name: `tenants/${repository.tenant}/points/${set}/x`, ...nothing })
    clock.pass(24 * hourMs)
  }
  await saveUsage(repository, meter, 'a test')
  const days = (await read('2026-06-02', '2026-06-03')).map(({ day }) => day)
  assert.deepEqual(days.toSorted(), ['2026-06-02', '2026-06-03'])
  const moved = usageName(repository.tenant, '2026-06-02', meter.process, 0)
  await store.put(moved, [await store.get(usageName(repository.tenant, '2026-06-03', meter.process, 0))])
  const warnings: string[] = []
  const left = await Array.fromAsync(
    readUsage(repository, '2026-06-02', '2026-06-03', ({ code }) => {
      warnings.push(code)
    }),
  )
  assert.deepEqual([left.length, warnings], [1, ['W_USAGE_UNREADABLE']])
})

test('names of usage documents are read back, and others are not', () => {
  const tenant = asId<TenantId>('1'.repeat(32))
  const place = { day: '2026-06-02', process: '2'.repeat(32), part: 3 }
  const name = usageName(tenant, place.day, place.process, place.part)
  assert.deepEqual(usagePlaceOf(tenant, name), place)
  for (const other of [`${name}0`, name.replace('0003', '3'), name.replace('06', '13'), `${name}/x`]) {
    assert.equal(usagePlaceOf(tenant, other), undefined, other)
  }
})
