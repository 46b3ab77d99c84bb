import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasCode, toStrataError } from '@strata/shared/errors.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { manifestName, sessionName } from '@strata/shared/format/names.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { pinLifeMs, retiredLifeMs } from '@strata/shared/limits.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import { baseOf, pointId, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import {
  isGone,
  RetentionLedger,
  withHold,
  withSetHold,
  withoutHold,
} from '@strata/shared/repository/retention/ledger.ts'
import { requireThere, withPin } from '@strata/shared/repository/retention/pins.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { expireRetired } from '@strata/workers/maintain/retention/expire-retired.ts'
import { pruneSet, type SetPruning } from '@strata/workers/maintain/retention/prune-set.ts'
import { undoMarks } from '@strata/workers/maintain/retention/undo.ts'
import { synthesise, type Synthesis } from '@strata/workers/maintain/synthetic-full/synthesise.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { Dead, dyingAt, pausedAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { makeRepository } from '../fixtures/make-point.ts'
import { restoreTo } from '../fixtures/restore.ts'
import { flipByte } from '../fixtures/stored-places.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'
import { assertWhole, emptyDisks, Machine, pointsOf } from './machine.ts'
import { MovedClock } from '@strata/shared/testing/moved-clock.ts'

/** Points that go, with whatever may be under way at the same moment. */
const dayMs = 24 * 3600_000

interface Scene {
  readonly machine: Machine
  readonly clock: MovedClock
  readonly set: SetId
  /** By number. */
  readonly points: readonly Point[]
}

const lastTwo = policyOf({ last: 2 })

function policyOf(retention: object): Policy {
  const document = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    retention: { undoWindow: '1d', ...retention },
  }
  return readPolicy(document).policy
}

/** A full and four increments. The full has much that lives, and one pack in which nothing does after the third. */
async function buildTemplate(): Promise<Machine> {
  const store = new MemoryStore({ clock: new MovedClock() })
  const machine = new Machine(await makeRepository({ store }), emptyDisks(40))
  machine.write(0, ...Array.from({ length: 24 }, (_, block) => block), 39)
  machine.write(1, 0, 1, 2, 3, 4, 5, 6, 7)
  await machine.backUp('full')
  machine.write(0, 0, 1, 2, 3, 30, 31)
  await machine.backUp()
  machine.write(0, 30, 31, 32)
  await machine.backUp()
  machine.write(1, 0, 19)
  await machine.backUp()
  machine.write(0, 33)
  await machine.backUp()
  return machine
}

const template = await buildTemplate()
const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())

async function makeScene(): Promise<Scene> {
  const clock = new MovedClock()
  const machine = await template.copied(clock)
  const { repository } = machine.owner
  return { machine, clock, set: repository.setIdOf('machine'), points: await pointsOf(repository) }
}

interface PruneChanges {
  readonly store?: ObjectStore
  readonly policy?: Policy
  readonly dryRun?: boolean
}

function prune({ machine, clock, set }: Scene, changes: PruneChanges = {}): Promise<SetPruning> {
  const { store = machine.owner.store, policy = lastTwo, dryRun = false } = changes
  const repository = repositoryOn(machine, store)
  return pruneSet({ repository, set, policy, policyVersion: 1, clock, dryRun })
}

function repositoryOn({ owner }: Machine, store: ObjectStore): Repository {
  return new Repository(store, owner.repository.ingestKeys, owner.random)
}

/** From the first mark to the last object that is deleted. */
async function pruneWholly(scene: Scene, changes: PruneChanges = {}): Promise<SetPruning> {
  await prune(scene, changes)
  scene.clock.pass(dayMs)
  const second = await prune(scene, changes)
  scene.clock.pass(retiredLifeMs)
  await expire(scene)
  return second
}

/** What the rule of a bucket does; the store in memory tells of tags, but has no rules. */
async function expire({ machine, clock }: Scene): Promise<void> {
  await expireRetired(machine.owner.store, clock)
}

const numbersOf = (points: readonly { sequence: number }[]): number[] => points.map(({ sequence }) => sequence)

async function goneIn({ machine, set, points }: Scene): Promise<number[]> {
  const { state } = await new RetentionLedger(machine.owner.repository).read(set)
  return numbersOf(points).filter((sequence) => isGone(state, sequence))
}

async function objectsIn({ machine }: Scene): Promise<Map<string, number>> {
  const objects = new Map<string, number>()
  for await (const { name, sizeBytes } of machine.owner.store.list('')) {
    if (name.includes('/chains/')) objects.set(name, sizeBytes)
  }
  return objects
}

/** Every point that is not gone is intact, to the last block. */
async function assertIntact(scene: Scene): Promise<void> {
  const { machine, clock } = scene
  const { repository, privateKey } = machine.owner
  const { damage, points, history } = await verifyPoints({ repository, privateKey, points: 'all', pool, clock })
  assert.deepEqual([damage, history], [[], []])
  const gone = await goneIn(scene)
  const there = (await pointsOf(repository)).filter(({ sequence }) => !gone.includes(sequence))
  const checked = new Set(points.map(({ sequence }) => sequence))
  // Those that are about to go are not read any more.
  assert.ok(there.some(({ sequence }) => checked.has(sequence)))
}

test('a point is marked, then gone, then what only it needs is deleted; what stays is whole', async () => {
  const scene = await makeScene()
  const { machine, clock, points } = scene
  const before = await objectsIn(scene)
  const first = await prune(scene)
  assert.deepEqual([numbersOf(first.plan.mark), first.plan.gone, first.objects], [[1, 2, 3], [], 0])
  assert.deepEqual(await objectsIn(scene), before)
  await assertIntact(scene)

  clock.pass(dayMs - 1)
  const second = await prune(scene)
  assert.deepEqual(
    second.plan.waiting.map(({ point }) => point.sequence),
    [1, 2, 3],
  )
  assert.deepEqual(await goneIn(scene), [])

  clock.pass(1)
  const third = await prune(scene)
  assert.deepEqual([numbersOf(third.plan.gone), third.plan.mark, third.problems], [[1, 2, 3], [], []])
  assert.deepEqual(await goneIn(scene), [1, 2, 3])
  assert.ok(third.objects > 0)
  assert.equal((await objectsIn(scene)).size, before.size)
  await expire(scene)
  assert.equal((await objectsIn(scene)).size, before.size)

  clock.pass(retiredLifeMs)
  await expire(scene)
  const left = await objectsIn(scene)
  const deleted = [...before].filter(([name]) => !left.has(name))
  assert.equal(deleted.length, third.objects)
  assert.equal(
    deleted.reduce((sum, [, bytes]) => sum + bytes, 0),
    third.bytes,
  )
  // The pack of blocks 0 to 3 of the full, and that of 30 and 31 of the second point, among others.
  assert.ok(deleted.some(([name]) => name.includes(`/${pointId(points[0] ?? assert.fail())}/data-`)))
  assert.ok(deleted.some(([name]) => name.includes(`/${pointId(points[1] ?? assert.fail())}/data-`)))
  await assertIntact(scene)
  await assertWhole(pool, machine, await machine.newest())
  const again = await prune(scene)
  assert.deepEqual([again.plan.mark, again.plan.gone, again.objects], [[], [], 0])
})

test('who reads a point that is gone, or nearly, is refused by name; before that it can be read', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  const { repository } = machine.owner
  await prune(scene)
  await requireThere(repository, set, [1])
  clock.pass(dayMs - pinLifeMs + 1)
  await assert.rejects(requireThere(repository, set, [4, 1]), {
    code: 'E_POINT_RETIRED',
    message: /number 1 .* from 2026/,
  })
  clock.pass(pinLifeMs)
  await prune(scene)
  await assert.rejects(requireThere(repository, set, [2]), { code: 'E_POINT_RETIRED', message: /number 2 .* is gone/ })
  await requireThere(repository, set, [4, 5])
})

test('after a synthetic full the old chain goes whole, and every later point restores', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  const { repository } = machine.owner
  await synthesise({ repository, set, clock })
  machine.write(0, 7)
  await machine.backUp()
  const old = scene.points[0]?.manifest.chain ?? assert.fail()
  const second = await pruneWholly(scene)
  assert.deepEqual(numbersOf(second.plan.gone), [1, 2, 3, 4, 5])
  assert.deepEqual(
    [...(await objectsIn(scene)).keys()].filter((name) => name.includes(`/${old}/`)),
    [],
  )
  await assertIntact(scene)
  await assertWhole(pool, machine, await machine.newest())
})

test('a chain into which packs were copied whole goes whole as well', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  const { repository } = machine.owner
  const copyWhole = (): Promise<Synthesis> => synthesise({ repository, set, clock, wholePackBytesMin: 1 })
  const first = await copyWhole()
  const { chain } = first.point.manifest
  const sessions = new Set([...(await objectsIn(scene)).keys()].filter((name) => name.includes(chain)).map(sessionOf))
  assert.ok(sessions.size > 1, 'packs lie there under the sessions that wrote them')
  machine.write(0, 7)
  await machine.backUp()
  await copyWhole()
  machine.write(0, 8)
  await machine.backUp()
  await pruneWholly(scene)
  const chains = new Set([...(await objectsIn(scene)).keys()].map((name) => name.split('/')[4]))
  assert.deepEqual(chains, new Set([(await machine.newest()).manifest.chain]))
  await assertWhole(pool, machine, await machine.newest())
})

test('of a pack that was copied whole nothing stays when no point of its chain needs it', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  const { repository } = machine.owner
  const { point } = await synthesise({ repository, set, clock, wholePackBytesMin: 1 })
  machine.write(0, ...Array.from({ length: 40 }, (_, block) => block))
  machine.write(1, ...Array.from({ length: 20 }, (_, block) => block))
  await machine.backUp()
  machine.write(0, 1)
  await machine.backUp()
  await pruneWholly(scene)
  const left = [...(await objectsIn(scene)).keys()].filter((name) => name.includes('/data-'))
  const made = new Set<string>(
    (await pointsOf(repository)).filter(({ sequence }) => sequence > point.sequence).map(pointId),
  )
  assert.deepEqual(
    left.filter((name) => !made.has(sessionOf(name))),
    [],
  )
  await assertWhole(pool, machine, await machine.newest())
})

/** Which session an object lies under. */
function sessionOf(name: string): string {
  return name.split('/')[5] ?? ''
}

test('a dry run changes nothing, and says how much will go', async () => {
  const scene = await makeScene()
  const { store } = scene.machine.owner
  const before = await Array.fromAsync(store.list(''))
  const dry = await prune(scene, { dryRun: true })
  assert.deepEqual(await Array.fromAsync(store.list('')), before)
  assert.deepEqual(numbersOf(dry.plan.mark), [1, 2, 3])
  const objects = await objectsIn(scene)
  await pruneWholly(scene)
  const left = await objectsIn(scene)
  const deleted = [...objects].filter(([name]) => !left.has(name))
  assert.deepEqual([dry.objects, dry.bytes], [deleted.length, deleted.reduce((sum, [, bytes]) => sum + bytes, 0)])
  const done = await prune(scene, { dryRun: true })
  assert.deepEqual([done.objects, done.plan.mark], [0, []])
})

test('undo takes marks back, and the next prune makes them anew with the whole window before them', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  await prune(scene)
  clock.pass(dayMs)
  assert.deepEqual(await undoMarks(machine.owner.repository, set), [1, 2, 3])
  assert.deepEqual(await undoMarks(machine.owner.repository, set), [])
  const next = await prune(scene)
  assert.deepEqual([numbersOf(next.plan.mark), next.plan.gone], [[1, 2, 3], []])
  clock.pass(dayMs)
  await prune(scene)
  // What is gone stays gone.
  assert.deepEqual(await undoMarks(machine.owner.repository, set), [])
  assert.deepEqual(await goneIn(scene), [1, 2, 3])
})

test('a policy that keeps more takes marks back by itself', async () => {
  const scene = await makeScene()
  await prune(scene)
  scene.clock.pass(dayMs)
  const more = await prune(scene, { policy: policyOf({ last: 4 }) })
  assert.deepEqual([numbersOf(more.plan.unmark), numbersOf(more.plan.gone)], [[2, 3], [1]])
  await assertIntact(scene)
})

test('what is held stays, also when it was marked; what is gone cannot be held', async () => {
  const scene = await makeScene()
  const { machine, clock, set } = scene
  const ledger = new RetentionLedger(machine.owner.repository)
  const since = '2026-06-01T00:00:00.000Z'
  await prune(scene)
  await ledger.change(set, ({ state }) => ({ state: withHold(state, 2, 'a case', since), change: 'held' }))
  clock.pass(dayMs)
  const next = await prune(scene)
  assert.deepEqual([numbersOf(next.plan.gone), numbersOf(next.plan.mark)], [[1, 3], []])
  await assertIntact(scene)
  const late = ledger.change(set, ({ state }) => ({ state: withHold(state, 3, 'late', since), change: 'held' }))
  await assert.rejects(late, { code: 'E_POINT_RETIRED' })
  await ledger.change(set, ({ state }) => ({ state: withoutHold(state, 2), change: 'held no more' }))
  assert.deepEqual(numbersOf((await prune(scene)).plan.mark), [2])
  await ledger.change(set, ({ state }) => ({ state: withSetHold(state, 'audit', since), change: 'all held' }))
  machine.write(0, 11)
  await machine.backUp()
  clock.pass(dayMs)
  const held = await prune(scene)
  assert.deepEqual([held.plan.mark, held.plan.gone, held.plan.waiting], [[], [], []])
})

test('what somebody reads, builds on or copies waits for them', async () => {
  const scene = await makeScene()
  const { machine, clock, set, points } = scene
  const { repository, store } = machine.owner
  await prune(scene)
  const { session, name } = await openSession(scene, points[2] ?? assert.fail())
  const options = { set, sequences: [1], purpose: 'a restore', clock, onWarning: refuse }
  await withPin(repository, options, async () => {
    // Pins are renewed in life; here the time in between is left out.
    clock.pass(dayMs - 1)
    await withPin(repository, { ...options, sequences: [] }, async () => {
      const early = await prune(scene)
      assert.deepEqual(early.plan.gone, [])
    })
  })
  clock.pass(1)
  const pinnedOne = withPin(repository, { ...options, sequences: [5] }, () => Promise.resolve())
  await pinnedOne
  const due = await prune(scene)
  assert.deepEqual(
    due.plan.pinned.map(({ point, by }) => [point.sequence, by]),
    [[3, 'a backup that is under way']],
  )
  assert.deepEqual(numbersOf(due.plan.gone), [1, 2])
  await store.delete(name)
  const last = await prune(scene)
  assert.deepEqual(numbersOf(last.plan.gone), [3], session)
  await assertIntact(scene)
})

async function openSession({ machine, set }: Scene, base: Point): Promise<{ session: SessionId; name: string }> {
  const { repository, store } = machine.owner
  const session = asId<SessionId>('e'.repeat(32))
  const place = repository.placeOf(set)
  const name = sessionName(place, session)
  const document: Session = {
    strata: 'session',
    version: 1,
    session,
    setName: 'machine',
    kind: 'incremental',
    chain: base.manifest.chain,
    base: baseOf(base),
    sequenceAtOpen: 5,
    disks: base.manifest.disks.map(({ name: disk, sizeBytes, blockBytes, identity }) => {
      return { name: disk, sizeBytes, blockBytes, identity }
    }),
    openedAt: '2026-06-01T00:00:00.000Z',
    expiresAt: '2026-06-15T00:00:00.000Z',
    warnings: [],
  }
  await store.put(name, [encodeDocument(sessionType, name, document, repository.indexKeys, repository.nonce())])
  return { session, name }
}

test('a prune that dies at any request is gone on with by the next ones', async () => {
  let requests = 0
  for (const step of ['mark', 'gone'] as const) {
    for (const moment of ['before', 'after'] as const) {
      for (let number = 1; ; number += 1) {
        const scene = await makeScene()
        if (step === 'gone') {
          await prune(scene)
          scene.clock.pass(dayMs)
        }
        const death = dyingAt(number, moment)
        const store = steppedStore(scene.machine.owner.store, death.around)
        const ended = await prune(scene, { store }).catch(deathOf)
        assert.equal(ended instanceof Dead, death.reached())
        await pruneWholly(scene)
        assert.deepEqual(await goneIn(scene), [1, 2, 3], `${step}, ${moment} request ${String(number)}`)
        const whole = await wholeOf()
        assert.deepEqual(new Set((await objectsIn(scene)).keys()), whole)
        requests = Math.max(requests, number)
        if (!death.reached()) break
      }
    }
  }
  assert.ok(requests > 30, `${String(requests)} requests`)
})

/** What is left where nothing went wrong. */
async function wholeOf(): Promise<Set<string>> {
  undisturbed ??= (async () => {
    const scene = await makeScene()
    await pruneWholly(scene)
    await assertIntact(scene)
    return new Set((await objectsIn(scene)).keys())
  })()
  return await undisturbed
}
let undisturbed: Promise<Set<string>> | undefined

/** What may happen at any moment of a prune. Gives what must hold afterwards. */
const others: Readonly<Record<string, (scene: Scene) => Promise<(scene: Scene) => Promise<void>>>> = {
  'another prune': async (scene) => {
    await prune(scene)
    return () => Promise.resolve()
  },
  'an undo': async (scene) => {
    await undoMarks(scene.machine.owner.repository, scene.set)
    return () => Promise.resolve()
  },
  'a hold': async (scene) => {
    const ledger = new RetentionLedger(scene.machine.owner.repository)
    const hold = (sequence: number) =>
      ledger.change(scene.set, ({ state }) => ({
        state: withHold(state, sequence, 'now', '2026-06-01T00:00:00.000Z'),
        change: 'held',
      }))
    const held = await hold(2).then(
      () => true,
      (error: unknown) => {
        assert.ok(hasCode(error, 'E_POINT_RETIRED'), String(error))
        return false
      },
    )
    return async (later) => {
      assert.equal((await goneIn(later)).includes(2), !held)
    }
  },
  'a restore that is let in': async ({ machine, clock, set, points }) => {
    const { repository } = machine.owner
    const options = { set, sequences: [2], purpose: 'a restore', clock, onWarning: refuse }
    const end = Promise.withResolvers<undefined>()
    const isIn = await new Promise<boolean>((resolve, reject) => {
      withPin(repository, options, async () => {
        resolve(true)
        await end.promise
      }).catch((error: unknown) => {
        if (hasCode(error, 'E_POINT_RETIRED')) resolve(false)
        else reject(toStrataError(error))
      })
    })
    return async (later) => {
      await expire(later)
      if (isIn) await assertReadable(later, points[1] ?? assert.fail())
      end.resolve(undefined)
    }
  },
  'a backup': async ({ machine }) => {
    machine.write(0, 5, 34)
    await machine.backUp()
    return async (later) => {
      await assertWhole(pool, later.machine, await later.machine.newest())
    }
  },
  'a synthetic full': async ({ machine, clock, set }) => {
    await synthesise({ repository: machine.owner.repository, set, clock })
    return async (later) => {
      await assertWhole(pool, later.machine, await later.machine.newest())
    }
  },
}

function refuse({ message }: { readonly message: string }): never {
  assert.fail(message)
}

async function assertReadable({ machine, clock }: Scene, point: Point): Promise<void> {
  const { repository, privateKey } = machine.owner
  await using directory = await temporaryDirectory()
  await restoreTo({ ...machine.owner, repository, privateKey }, point, `${directory.path}/disk`, {
    diskName: 'system',
    pool,
    clock,
  })
}

for (const [what, act] of Object.entries(others)) {
  test(`${what}, at any moment of a prune: nobody loses anything that he was promised`, async () => {
    for (const step of ['mark', 'gone'] as const) {
      for (let number = 1; ; number += 1) {
        const scene = await makeScene()
        if (step === 'gone') {
          await prune(scene)
          scene.clock.pass(dayMs)
        }
        let check: ((scene: Scene) => Promise<void>) | undefined
        const pause = pausedAt(number, async () => {
          check = await act(scene)
        })
        await prune(scene, { store: steppedStore(scene.machine.owner.store, pause.around) })
        scene.clock.pass(retiredLifeMs)
        await expire(scene)
        await check?.(scene)
        await assertIntact(scene)
        if (!pause.reached()) break
      }
    }
  })
}

test('clocks that disagree, or have gone back, let nothing go', async () => {
  const scene = await makeScene()
  const { store } = scene.machine.owner
  const ahead = storeWith(store, { now: async () => (await store.now()) + 10 * dayMs })
  await assert.rejects(prune(scene, { store: ahead }), {
    code: 'E_CLOCK_DISAGREES',
    message: /by the store it is 2026-06-11/,
  })
  await prune(scene)
  scene.clock.pass(-dayMs)
  await assert.rejects(prune(scene), { code: 'E_CLOCK_DISAGREES', message: /yet to come/ })
})

test('a manifest that cannot be read: nothing of the set is deleted, and it is said why', async () => {
  const scene = await makeScene()
  const { repository, store } = scene.machine.owner
  await prune(scene)
  scene.clock.pass(dayMs)
  await flipByte(store, manifestName(repository.placeOf(scene.set), 4), 100)
  const before = await objectsIn(scene)
  const pruned = await prune(scene)
  assert.deepEqual(
    pruned.problems.map(({ code }) => code),
    ['E_SEAL_BROKEN'],
  )
  scene.clock.pass(retiredLifeMs)
  await expire(scene)
  assert.deepEqual(await objectsIn(scene), before)
})

test('a map that cannot be read: its chain stays as it is', async () => {
  const scene = await makeScene()
  const { store } = scene.machine.owner
  await prune(scene)
  scene.clock.pass(dayMs)
  const { number, attempt, session, offset } = scene.points[4]?.manifest.root ?? assert.fail()
  const names = [...(await objectsIn(scene)).keys()]
  const root = names.find(
    (name) => name.includes(session) && name.endsWith(`map-${String(number).padStart(8, '0')}-${attempt}`),
  )
  await flipByte(store, root ?? assert.fail(), offset + 60)
  const pruned = await prune(scene)
  assert.deepEqual([pruned.problems[0]?.code, pruned.objects], ['E_SEAL_BROKEN', 0])
})

test('where little went, the maps are not looked through, and a later prune makes up for it', async () => {
  const scene = await makeScene()
  // Of the increments each has stored less than ten times the maps.
  const keepsFull = policyOf({ last: 2 })
  const { machine, set } = scene
  const ledger = new RetentionLedger(machine.owner.repository)
  await ledger.change(set, ({ state }) => ({
    state: withHold(state, 1, 'the full', '2026-06-01T00:00:00.000Z'),
    change: 'held',
  }))
  const first = await pruneWholly(scene, { policy: keepsFull })
  assert.deepEqual(numbersOf(first.plan.gone), [2, 3])
  await ledger.change(set, ({ state }) => ({ state: withoutHold(state, 1), change: 'held no more' }))
  const second = await pruneWholly(scene, { policy: keepsFull })
  assert.deepEqual(numbersOf(second.plan.gone), [1])
  assert.deepEqual(new Set((await objectsIn(scene)).keys()), await wholeOf())
})

/** What the death of a process looks like from inside. */
function deathOf(error: unknown): Dead {
  const cause = error instanceof Dead ? error : toStrataError(error).cause
  assert.ok(cause instanceof Dead, String(error))
  return cause
}
