import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { chainPrefix, tenantSessionsPrefix } from '@strata/shared/format/names.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { chainPlaceOf, pointId, type Point } from '@strata/shared/repository/points.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { addRepairs, objectInChain } from '@strata/shared/repository/repairs.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { synthesise, type Synthesis } from '@strata/workers/maintain/synthetic-full/synthesise.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { Dead, dyingAt, pausedAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { makeRepository, type TestRepository } from '../fixtures/make-point.ts'
import { flipByte, storedPoint, type StoredRange } from '../fixtures/stored-places.ts'
import { assertWhole, Machine, makeMachine, pointsOf } from './machine.ts'

/** Synthetic fulls of real points, with whatever can die, be quicker, or be damaged meanwhile. */
function synth(
  machine: Machine,
  store: ObjectStore = machine.owner.store,
  wholePackBytesMin: number = wholes.none,
): Promise<Synthesis> {
  const repository = new Repository(store, machine.owner.repository.ingestKeys, machine.owner.random)
  return synthesise({ repository, set: repository.setIdOf('machine'), clock: systemClock, wholePackBytesMin })
}

/** Which packs are copied whole: all here are small. */
const wholes = { none: Infinity, all: 1 } as const

const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())

async function sessionsLeft({ store, repository }: TestRepository): Promise<string[]> {
  return (await Array.fromAsync(store.list(tenantSessionsPrefix(repository.tenant)))).map(({ name }) => name)
}

test('a synthetic full is the newest point once more, in a chain that needs no other', async () => {
  const machine = await makeMachine()
  const source = await machine.newest()
  const { point, made, passes, serverSideBytes, workerBytes } = await synth(machine)
  assert.deepEqual([made, passes], [true, 1])
  const { kind, base, full, copyOf, chain, disks, capturedAt, statistics, sequence } = point.manifest
  assert.deepEqual([kind, base, full, sequence], ['full', null, null, 4])
  assert.notEqual(chain, source.manifest.chain)
  assert.deepEqual([disks, capturedAt], [source.manifest.disks, source.manifest.capturedAt])
  assert.deepEqual(copyOf, {
    point: pointId(source),
    sequence: 3,
    manifestDigest: source.digest,
    createdAt: source.manifest.createdAt,
  })
  assert.equal(statistics.storedBytes, serverSideBytes + workerBytes)
  assert.deepEqual(await sessionsLeft(machine.owner), [])
  await assertWhole(pool, machine, point)
})

test('it has each record that lives, none that is dead, and the keys of those records only', async () => {
  const machine = await makeMachine()
  machine.zero(0, 40, 2, 3, 1024)
  machine.zero(1, 0, 19)
  machine.write(0, 30)
  await machine.backUp()
  const { point, serverSideBytes } = await synth(machine)
  const { repository } = machine.owner
  const stored = await Promise.all([storedPoint(repository, point, 0), storedPoint(repository, point, 1)])
  const liveBytes = stored.flatMap(({ records }) => [...records.values()]).reduce((sum, { length }) => sum + length, 0)
  assert.equal(serverSideBytes, liveBytes)
  // Of the four sessions that made points, the records of the second and the third are all dead.
  const map = await PointMap.open(repository, point)
  assert.equal(map.root.keys.length, 2)
  await assertWhole(pool, machine, point)
})

test('what is backed up next builds on it, and the next one copies it', async () => {
  const machine = await makeMachine()
  const first = await synth(machine)
  machine.write(0, 5, 100)
  machine.zero(1, 1)
  const next = await machine.backUp()
  assert.equal(next.manifest.chain, first.point.manifest.chain)
  await assertWhole(pool, machine, next)
  const second = await synth(machine)
  assert.equal(second.point.manifest.copyOf?.point, pointId(next))
  assert.equal(second.point.manifest.copyOf.createdAt, next.manifest.createdAt)
  await assertWhole(pool, machine, second.point)
})

test('where the newest point is a full already, nothing is made', async () => {
  const machine = await makeMachine()
  const first = await synth(machine)
  const again = await synth(machine)
  assert.deepEqual([again.made, again.serverSideBytes, again.workerBytes], [false, 0, 0])
  assert.equal(pointId(again.point), pointId(first.point))
  assert.equal((await pointsOf(machine.owner.repository)).length, 4)
  const empty = await makeRepository({ seed: 'empty' })
  await assert.rejects(synth(new Machine(empty)), { code: 'E_SET_UNKNOWN' })
})

test('a store that copies nothing, or says so only when it is asked: everything passes through the worker', async () => {
  const machine = await makeMachine()
  const refuse = (): Promise<never> => Promise.reject(new StrataError('E_STORE_NO_COPY', 'not here'))
  for (const methods of [{ copying: undefined }, { compose: refuse }]) {
    machine.write(0, 77)
    await machine.backUp()
    const { point, serverSideBytes, workerBytes } = await synth(machine, storeWith(machine.owner.store, methods))
    assert.equal(serverSideBytes, 0)
    assert.equal(workerBytes, point.manifest.statistics.storedBytes)
    await assertWhole(pool, machine, point)
  }
})

/** Whether packs are copied whole, for tests of both. */
const ways = Object.entries(wholes).map(([which, bytesMin]) => [`${which} copied whole`, bytesMin] as const)

for (const [way, bytesMin] of ways)
  test(`a run that dies at any request, before or after it, is gone on with by the next one: ${way}`, async () => {
    let requests = 0
    let saved = 0
    const whole = (await synth(await makeMachine(), undefined, bytesMin)).serverSideBytes
    for (const moment of ['before', 'after'] as const) {
      for (let number = 1; ; number += 1) {
        const machine = await makeMachine()
        const death = dyingAt(number, moment)
        const ended = await synth(machine, steppedStore(machine.owner.store, death.around), bytesMin).catch(deathOf)
        assert.equal(ended instanceof Dead, death.reached())
        const { point, serverSideBytes } = await synth(machine, undefined, bytesMin)
        if (serverSideBytes < whole) saved += 1
        const points = await pointsOf(machine.owner.repository)
        assert.equal(points.length, 4, `${moment} request ${String(number)}`)
        assert.deepEqual((await sessionsLeft(machine.owner)).length <= 1, true)
        if (number % 7 === 0) await assertWhole(pool, machine, point)
        requests = number
        if (!death.reached()) break
      }
    }
    assert.ok(requests > 20, `${String(requests)} requests`)
    assert.ok(saved > 4, `${String(saved)} runs that copied less than the first one`)
  })

for (const [way, bytesMin] of ways)
  test(`a backup that is quicker, at any request: the copy is of the newest point, or lies before it: ${way}`, async () => {
    let passes = 0
    for (let number = 1; ; number += 1) {
      const machine = await makeMachine()
      const pause = pausedAt(number, async () => {
        machine.write(0, 1, 50, 1026)
        machine.zero(0, 4)
        machine.write(1, 2)
        await machine.backUp()
      })
      const made = await synth(machine, steppedStore(machine.owner.store, pause.around), bytesMin)
      passes = Math.max(passes, made.passes)
      const newest = await machine.newest()
      if (pointId(newest) === pointId(made.point)) {
        const points = await pointsOf(machine.owner.repository)
        assert.equal(made.point.manifest.copyOf?.sequence, made.point.sequence - 1)
        assert.equal(points.length, pause.reached() ? 5 : 4)
      }
      await assertWhole(pool, machine, newest)
      if (!pause.reached()) break
    }
    assert.equal(passes, 2)
  })

for (const [way, bytesMin] of ways)
  test(`a full of the endpoint in the middle of it: there is nothing left to do, and nothing left behind: ${way}`, async () => {
    const machine = await makeMachine()
    const { store } = machine.owner
    const source = await machine.newest()
    let copies: number | undefined
    const overtaken = storeWith(store, {
      put: async (name, parts, options) => {
        if (name.endsWith('/end') && copies === undefined) {
          copies = (await copiedWhole(machine.owner, source)).length
          await machine.backUp('full')
        }
        await store.put(name, parts, options)
      },
    })
    const { made, point } = await synth(machine, overtaken, bytesMin)
    assert.equal((copies ?? 0) > 0, bytesMin === wholes.all)
    assert.equal(made, false)
    assert.equal(point.manifest.copyOf, undefined)
    const points = await pointsOf(machine.owner.repository)
    assert.equal(points.length, 4)
    assert.deepEqual(await chainsOf(machine.owner), new Set(points.map(({ manifest }) => manifest.chain)))
    assert.deepEqual(
      (await sessionsLeft(machine.owner)).filter((name) => !name.endsWith('/over')),
      [],
    )
  })

for (const [way, bytesMin] of ways)
  test(`${way}: two runs at the same time make one point, or two that are both whole`, async () => {
    const machine = await makeMachine()
    const results = await Promise.all([0, 1].map(() => synth(machine, undefined, bytesMin)))
    const points = await pointsOf(machine.owner.repository)
    const made = new Set(results.map(({ point }) => pointId(point)))
    assert.equal(points.length, 3 + made.size)
    for (const { point } of results) {
      assert.equal(point.manifest.kind, 'full')
      const { privateKey, repository } = machine.owner
      const { damage } = await verifyPoints({ repository, privateKey, points: [point], pool, clock: systemClock })
      assert.deepEqual(damage, [])
    }
  })

test('what is damaged in the old chain is named where it passes through, and no point is made of what is missing', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const { records } = await storedPoint(repository, await machine.newest())
  const place = records.get(5) ?? assert.fail()
  await flipByte(store, place.object, place.offset + 60)
  const through = storeWith(store, { copying: undefined })
  await assert.rejects(synth(machine, through), { code: 'E_FORMAT_DAMAGED', message: /the record of block 5/ })
  await store.delete(place.object)
  await assert.rejects(synth(machine), { code: 'E_OBJECT_MISSING' })
  assert.equal((await pointsOf(repository)).length, 3)
})

test('an interruption ends it between two packs, and the next run goes on', async () => {
  const machine = await makeMachine()
  const { repository } = machine.owner
  const interrupted = AbortSignal.abort(new StrataError('E_INTERRUPTED', 'enough'))
  const options = { repository, set: repository.setIdOf('machine'), clock: systemClock }
  await assert.rejects(synthesise({ ...options, signal: interrupted }), { code: 'E_INTERRUPTED' })
  const { point, serverSideBytes } = await synthesise(options)
  assert.ok(serverSideBytes < (await synth(await makeMachine())).serverSideBytes)
  await assertWhole(pool, machine, point)
})

/** Names of packs in the chain of a synthetic full that were copied whole: they are under the sessions of the old one. */
async function copiedWhole({ store }: TestRepository, source: Point): Promise<string[]> {
  const names = (await Array.fromAsync(store.list('tenants/'))).map(({ name }) => name)
  const packs = names.filter((name) => name.includes('/chains/') && name.includes('/data-'))
  const isOld = (name: string): boolean => name.split('/')[4] === source.manifest.chain
  const sessions = new Set(packs.filter(isOld).map((name) => name.split('/')[5]))
  return packs.filter((name) => !isOld(name) && sessions.has(name.split('/')[5]))
}

test('a pack of which nearly all lives is copied whole, and its records stay where they are in it', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const source = await machine.newest()
  const { point, serverSideBytes, workerBytes } = await synth(machine, undefined, wholes.all)
  assert.equal(point.manifest.statistics.storedBytes, serverSideBytes + workerBytes)
  const [before, after] = await Promise.all([storedPoint(repository, source), storedPoint(repository, point)])
  const copies = await copiedWhole(machine.owner, source)
  const stayed = [...after.records].filter(([, { object }]) => copies.includes(object))
  for (const [block, { object, offset }] of stayed) {
    const old = before.records.get(block) ?? assert.fail()
    assert.deepEqual([object, offset], [old.object.replace(source.manifest.chain, point.manifest.chain), old.offset])
    assert.deepEqual(await store.get(object), await store.get(old.object))
  }
  // Of the other packs of the full a block has changed, and of the second point's.
  assert.deepEqual(
    stayed.map(([block]) => block).filter((block) => block < 1000),
    [3, 4, 5, 6, 7],
  )
  await assertWhole(pool, machine, point)
})

test('what was copied whole is copied whole again, and a pack of which something has died is not', async () => {
  const machine = await makeMachine()
  const first = await synth(machine, undefined, wholes.all)
  machine.write(0, 5)
  const source = await machine.backUp()
  const second = await synth(machine, undefined, wholes.all)
  const { records } = await storedPoint(machine.owner.repository, second.point)
  const copies = await copiedWhole(machine.owner, source)
  assert.ok(copies.includes(records.get(3)?.object ?? ''))
  assert.ok(!copies.includes(records.get(4)?.object ?? ''))
  assert.notEqual(pointId(first.point), pointId(second.point))
  await assertWhole(pool, machine, second.point)
})

test('a commit locks what was copied whole, too', async () => {
  const machine = await makeMachine()
  const { store, repository } = machine.owner
  const policy = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    retention: { last: 2, undoWindow: '1d' },
    chain: { maxAge: '10d' },
    immutability: { mode: 'compliance', days: 5 },
  }
  await appendPolicy(new Registry(repository), policy)
  const locked = new Set<string>()
  const locking = storeWith(store, {
    lockability: () => Promise.resolve({ canLock: true }),
    lockOf: () => Promise.resolve(undefined),
    lock: (name) => {
      locked.add(name)
      return Promise.resolve()
    },
    put: async (name, parts, { ifAbsent } = {}) => {
      await store.put(name, parts, ifAbsent === true ? { ifAbsent } : {})
    },
  })
  const source = await machine.newest()
  const { point } = await synth(machine, locking, wholes.all)
  assert.notEqual(point.manifest.lock, undefined)
  const copies = await copiedWhole(machine.owner, source)
  assert.notEqual(copies.length, 0)
  const chain = chainPrefix(chainPlaceOf(repository, point))
  const objects = (await Array.fromAsync(store.list(chain))).map(({ name }) => name)
  assert.deepEqual(
    objects.filter((name) => !locked.has(name)),
    [],
  )
})

test('a copied pack that is gone before the commit is copied again', async () => {
  const machine = await makeMachine()
  const { store } = machine.owner
  const source = await machine.newest()
  let removed: string | undefined
  const losing = storeWith(store, {
    put: async (name, parts, options) => {
      if (name.endsWith('/end')) {
        removed = (await copiedWhole(machine.owner, source))[0] ?? assert.fail()
        await store.delete(removed)
      }
      await store.put(name, parts, options)
    },
  })
  await assert.rejects(synth(machine, losing, wholes.all), { code: 'E_SEGMENTS_MISSING' })
  const { point } = await synth(machine, undefined, wholes.all)
  assert.ok((await copiedWhole(machine.owner, source)).includes(removed ?? ''))
  await assertWhole(pool, machine, point)
})

test('what a repair stands for is copied in its place, and the new chain needs none', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const source = await machine.newest()
  const { records } = await storedPoint(repository, source)
  const [lost, sound] = [records.get(5) ?? assert.fail(), records.get(6) ?? assert.fail()]
  const place = chainPlaceOf(repository, source)
  const inChain = ({ object, ...range }: StoredRange): StoredRange => ({
    ...range,
    object: objectInChain(place, object),
  })
  await addRepairs(repository, place, [{ from: inChain(lost), to: inChain(sound) }], [])
  const { point } = await synth(machine)
  const copied = (await storedPoint(repository, point)).records
  const bytesOf = async (range: StoredRange): Promise<Uint8Array> => await store.get(range.object, range)
  assert.deepEqual(await bytesOf(copied.get(5) ?? assert.fail()), await bytesOf(sound))
})

/** All chains of which anything is stored. */
async function chainsOf({ store }: TestRepository): Promise<Set<string>> {
  const names = (await Array.fromAsync(store.list('tenants/'))).map(({ name }) => name)
  return new Set(names.filter((name) => name.includes('/chains/')).map((name) => name.split('/')[4] ?? ''))
}

/** What the death of a process looks like from inside. */
function deathOf(error: unknown): Dead {
  const cause = error instanceof Dead ? error : toStrataError(error).cause
  assert.ok(cause instanceof Dead, String(error))
  return cause
}
