import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { UsageMeter } from '@strata/shared/usage/usage-meter.ts'
import { tenantChainsPrefix } from '@strata/shared/format/names.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import { appendPolicy } from '@strata/shared/repository/registry/policies.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { MovedClock } from '@strata/shared/testing/moved-clock.ts'
import { seededRandom } from '@strata/shared/testing/test-repository.ts'
import type { SetId, TenantId } from '@strata/shared/types.ts'
import { ChainKeeper } from '@strata/workers/maintain/chains/chain-keeper.ts'
import { chainToEnd, keepSet, type KeptSet } from '@strata/workers/maintain/chains/keep-set.ts'
import { liveRecordBytes } from '@strata/workers/maintain/chains/live-bytes.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { makeRepository } from '../fixtures/make-point.ts'
import { storedPoint } from '../fixtures/stored-places.ts'
import { assertWhole, emptyDisks, Machine, makeMachine, pointsOf } from './machine.ts'

/** What a policy says of chains, done without anybody asking for it. */
const dayMs = 24 * 3600_000
/** Points of the fixtures are made in the first hours of 2026. */
const beginMs = Date.UTC(2026, 0, 2)

interface Scene {
  readonly machine: Machine
  readonly clock: MovedClock
  readonly set: SetId
}

async function makeScene(): Promise<Scene> {
  const clock = new MovedClock(beginMs)
  const machine = new Machine(await makeRepository({ store: new MemoryStore({ clock }) }), emptyDisks(40))
  machine.write(0, ...Array.from({ length: 20 }, (_, block) => block))
  await machine.backUp('full')
  machine.write(0, 20)
  await machine.backUp()
  return { machine, clock, set: machine.owner.repository.setIdOf('machine') }
}

function policyOf(members: object): Policy {
  return readPolicy({ strata: 'policy', version: 1, schedule: { every: '1d' }, ...members }).policy
}

function keep({ machine, clock, set }: Scene, policy: Policy): Promise<KeptSet> {
  return keepSet({ repository: machine.owner.repository, set, policy, policyVersion: 1, clock })
}

const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())

test('a chain of the length that the policy wants ends, and goes when its points are kept no more', async () => {
  const scene = await makeScene()
  const { machine } = scene
  const policy = policyOf({ chain: { maxPoints: 3 }, retention: { last: 1, undoWindow: '1d' } })
  assert.equal((await keep(scene, policy)).synthesised, undefined)
  machine.write(0, 21)
  await machine.backUp()
  const kept = await keep(scene, policy)
  assert.equal(kept.synthesised, 'length')
  assert.deepEqual(kept.pruning.plan.waiting.length + kept.pruning.plan.mark.length, 3)
  assert.equal((await keep(scene, policy)).synthesised, undefined)
  await assertWhole(pool, machine, await machine.newest())
})

test('a chain ends when it is old, by the time of its full', async () => {
  const scene = await makeScene()
  const policy = policyOf({ chain: { maxAge: '30d' } })
  scene.clock.pass(29 * dayMs)
  assert.equal((await keep(scene, policy)).synthesised, undefined)
  scene.clock.pass(2 * dayMs)
  assert.equal((await keep(scene, policy)).synthesised, 'age')
})

test('a chain ends when too much of it is dead: what no point needs that is there', async () => {
  const scene = await makeScene()
  const { machine, set, clock } = scene
  const policy = policyOf({ chain: { deadShare: 30 }, retention: { last: 1, undoWindow: '1d' } })
  for (let round = 0; round < 3; round += 1) {
    machine.write(0, 0, 1, 2, 3, 4)
    await machine.backUp()
  }
  const about = { repository: machine.owner.repository, set, policy, policyVersion: 1, clock }
  // As long as every point is there, each record is needed by one.
  assert.equal(await chainToEnd(about), undefined)
  await keep(scene, policy)
  clock.pass(dayMs)
  assert.equal((await keep(scene, policy)).synthesised, undefined)
  // Now only the last one is left: 16 of 36 records are dead.
  assert.equal((await keep(scene, policy)).synthesised, 'dead share')
  await assertWhole(pool, machine, await machine.newest())
})

test('the bytes that points need are those of their records, each once', async () => {
  const machine = await makeMachine()
  const { repository } = machine.owner
  const points = await pointsOf(repository)
  const records = new Map<string, number>()
  for (const point of points) {
    for (const disk of point.manifest.disks.keys()) {
      const { records: ofDisk } = await storedPoint(repository, point, disk)
      for (const { object, offset, length } of ofDisk.values()) records.set(`${object} ${String(offset)}`, length)
    }
    const seen = points.slice(0, points.indexOf(point) + 1)
    const bytes = [...records.values()].reduce((sum, length) => sum + length, 0)
    assert.equal(await liveRecordBytes(repository, seen), bytes, `${String(seen.length)} points`)
  }
})

/** Gives what the ledger hears of. */
async function runKeeper({ machine, clock }: Scene, turns: Map<string, number>, notes: string[]): Promise<UsageMeter> {
  const meter = new UsageMeter(clock, seededRandom('meter'))
  const looked = Promise.withResolvers<undefined>()
  const keeper = new ChainKeeper({
    repositories: () => [machine.owner.repository],
    meter,
    takeTurn: (tenant: TenantId, set: SetId) => {
      const key = `${tenant} ${set}`
      const taken = (turns.get(key) ?? 0) > 0
      turns.set(key, 1)
      return Promise.resolve(!taken)
    },
    giveTurnBack: (tenant, set) => {
      turns.delete(`${tenant} ${set}`)
      return Promise.resolve()
    },
    clock: {
      nowMs: clock.nowMs,
      monotonicMs: clock.monotonicMs,
      sleep: (ms, signal) => {
        looked.resolve(undefined)
        return clock.sleep(ms, signal)
      },
    },
    onNote: (note) => notes.push(note),
  })
  await looked.promise
  await keeper.stop()
  return meter
}

test('the keeper does it for each set once in its turn, and leaves a tenant without a policy alone', async () => {
  const scene = await makeScene()
  const { machine } = scene
  const turns = new Map<string, number>()
  const notes: string[] = []
  await runKeeper(scene, turns, notes)
  assert.deepEqual([turns.size, notes], [0, []])
  const body = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    chain: { maxPoints: 2 },
    retention: { last: 1 },
  }
  await appendPolicy(new Registry(machine.owner.repository), body)
  const meter = await runKeeper(scene, turns, notes)
  assert.deepEqual(notes, [
    "set 'machine': a new chain, because of the length of the old one",
    "set 'machine': 2 points begin to go, 0 are gone",
  ])
  assert.equal((await pointsOf(machine.owner.repository)).length, 3)
  const { tenant } = machine.owner.repository
  const stored = meter.unsaved(tenant).map(({ sets }) => sets.get(scene.set)?.stored?.classes)
  const infos = await Array.fromAsync(machine.owner.store.list(tenantChainsPrefix(tenant)))
  const bytes = infos.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  assert.deepEqual(stored, [[{ class: 'standard', objects: infos.length, bytes }]])
  await runKeeper(scene, turns, notes)
  assert.equal(notes.length, 2)
})

test('what could not be done is told, and somebody else may try', async () => {
  const scene = await makeScene()
  const { machine } = scene
  const body = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    chain: { maxPoints: 2 },
    retention: { last: 1 },
  }
  await appendPolicy(new Registry(machine.owner.repository), body)
  const { records } = await storedPoint(machine.owner.repository, await machine.newest())
  await machine.owner.store.delete(records.get(0)?.object ?? assert.fail())
  const turns = new Map<string, number>()
  const notes: string[] = []
  await runKeeper(scene, turns, notes)
  assert.equal(turns.size, 0)
  assert.match(notes.join(), /not now: E_OBJECT_MISSING/)
})
