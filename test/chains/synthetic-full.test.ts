import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { tenantSessionsPrefix } from '@strata/shared/format/names.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { pointId } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { synthesise, type Synthesis } from '@strata/workers/maintain/synthetic-full/synthesise.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { Dead, dyingAt, pausedAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { makeRepository, type TestRepository } from '../fixtures/make-point.ts'
import { flipByte, storedPoint } from '../fixtures/stored-places.ts'
import { assertWhole, Machine, makeMachine, pointsOf } from './machine.ts'

/** Synthetic fulls of real points, with whatever can die, be quicker, or be damaged meanwhile. */
function synth(machine: Machine, store: ObjectStore = machine.owner.store): Promise<Synthesis> {
  const repository = new Repository(store, machine.owner.repository.ingestKeys, machine.owner.random)
  return synthesise({ repository, set: repository.setIdOf('machine'), clock: systemClock })
}

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

test('a run that dies at any request, before or after it, is gone on with by the next one', async () => {
  let requests = 0
  let saved = 0
  const whole = (await synth(await makeMachine())).serverSideBytes
  for (const moment of ['before', 'after'] as const) {
    for (let number = 1; ; number += 1) {
      const machine = await makeMachine()
      const death = dyingAt(number, moment)
      const ended = await synth(machine, steppedStore(machine.owner.store, death.around)).catch(deathOf)
      assert.equal(ended instanceof Dead, death.reached())
      const { point, serverSideBytes } = await synth(machine)
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

test('a backup that is quicker, at any request: the copy is of the newest point, or lies before it', async () => {
  let passes = 0
  for (let number = 1; ; number += 1) {
    const machine = await makeMachine()
    const pause = pausedAt(number, async () => {
      machine.write(0, 1, 50, 1026)
      machine.zero(0, 4)
      machine.write(1, 2)
      await machine.backUp()
    })
    const made = await synth(machine, steppedStore(machine.owner.store, pause.around))
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

test('a full of the endpoint in the middle of it: there is nothing left to do, and nothing left behind', async () => {
  const machine = await makeMachine()
  const pause = pausedAt(25, async () => {
    await machine.backUp('full')
  })
  const { made, point } = await synth(machine, steppedStore(machine.owner.store, pause.around))
  assert.ok(pause.reached())
  assert.equal(made, false)
  assert.equal(point.manifest.copyOf, undefined)
  assert.equal((await pointsOf(machine.owner.repository)).length, 4)
  assert.deepEqual(
    (await sessionsLeft(machine.owner)).filter((name) => !name.endsWith('/over')),
    [],
  )
})

test('two runs at the same time make one point, or two that are both whole', async () => {
  const machine = await makeMachine()
  const results = await Promise.all([synth(machine), synth(machine)])
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

/** What the death of a process looks like from inside. */
function deathOf(error: unknown): Dead {
  const cause = error instanceof Dead ? error : toStrataError(error).cause
  assert.ok(cause instanceof Dead, String(error))
  return cause
}
