import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock, type Clock } from '@strata/shared/clock.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { chainPrefix } from '@strata/shared/format/names.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import { chainPlaceOf, isReadable, listPoints, pointId, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger, withGone } from '@strata/shared/repository/retention/ledger.ts'
import { aloneWithGone } from '@strata/shared/repository/retention/pins.ts'
import { retiredTags } from '@strata/shared/repository/retention/retired.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { copyTenant, type CopiedSet } from '@strata/workers/maintain/copies/copy-tenant.ts'
import { pruneSet } from '@strata/workers/maintain/retention/prune-set.ts'
import { synthesise } from '@strata/workers/maintain/synthetic-full/synthesise.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { Dead, dyingAt, pausedAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { makePoint, diskOf, makeRepository } from '../fixtures/make-point.ts'
import { flipByte, storedPoint } from '../fixtures/stored-places.ts'
import { MovedClock } from '@strata/shared/testing/moved-clock.ts'
import { assertWhole, emptyDisks, Machine, makeMachine, pointsOf } from './machine.ts'

/** Copies in a second store, with whatever can die, go, come or be damaged meanwhile. */
const dayMs = 24 * 3600_000
const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())

interface CopyChanges {
  readonly source?: ObjectStore
  readonly keeping?: Policy
  readonly clock?: Clock
  readonly warnings?: string[]
}

async function copyTo(target: ObjectStore, machine: Machine, changes: CopyChanges = {}): Promise<CopiedSet> {
  const { owner } = machine
  const { source = owner.store, keeping, clock = systemClock, warnings } = changes
  const copying = copyTenant({
    source: new Repository(source, owner.repository.ingestKeys, owner.random),
    target,
    sets: undefined,
    keeping: keeping === undefined ? undefined : { policy: keeping, version: 1 },
    clock,
    hostName: 'test',
    onWarning: ({ code }) => warnings?.push(code) ?? assert.fail(code),
  })
  const sets = await Array.fromAsync(copying)
  assert.equal(sets.length, 1)
  return sets[0] ?? assert.fail()
}

function keeping(retention: object): Policy {
  const document = {
    strata: 'policy',
    version: 1,
    schedule: { every: '1d' },
    retention: { undoWindow: '1d', ...retention },
  }
  return readPolicy(document).policy
}

/** The machine with the copy as its only store: nothing of the source is within reach. */
function alone({ owner, disks }: Machine, store: ObjectStore): Machine {
  return new Machine(
    { ...owner, store, repository: new Repository(store, owner.repository.ingestKeys, owner.random) },
    disks,
  )
}

/** The newest point of the copy is the machine as it is; every other that is there is whole as well, with its history. */
async function assertCopyWhole(machine: Machine, target: ObjectStore, clock: Clock = systemClock): Promise<void> {
  const copy = alone(machine, target)
  await assertWhole(pool, copy, await copy.newest())
  await assertVisibleWhole(machine, target, clock)
}

async function assertVisibleWhole(machine: Machine, target: ObjectStore, clock: Clock = systemClock): Promise<void> {
  const { repository, privateKey } = alone(machine, target).owner
  const { history, damage } = await verifyPoints({ repository, privateKey, points: 'all', pool, clock })
  assert.deepEqual([history, damage], [[], []])
}

async function goneIn({ owner }: Machine, store: ObjectStore): Promise<number[]> {
  const repository = new Repository(store, owner.repository.ingestKeys, owner.random)
  const set = repository.setIdOf('machine')
  const { state } = await new RetentionLedger(repository).read(set)
  const points = (await Array.fromAsync(listPoints(repository, set))).filter(isReadable)
  return points.map(({ sequence }) => sequence).filter((sequence) => isGone(state, sequence))
}

async function numbersIn(machine: Machine, store: ObjectStore): Promise<number[]> {
  return (await pointsOf(alone(machine, store).owner.repository)).map(({ sequence }) => sequence)
}

const memory = (clock: Clock = systemClock): MemoryStore => new MemoryStore({ clock })

/** A full of three packs and two increments: so little that a copy of it has a few dozen requests. */
const small = await (async (): Promise<Machine> => {
  const machine = new Machine(await makeRepository(), emptyDisks(40))
  machine.write(0, 0, 1, 2, 3, 4)
  machine.write(1, 0)
  await machine.backUp('full')
  machine.write(0, 3, 10)
  await machine.backUp()
  machine.write(0, 3)
  await machine.backUp()
  return machine
})()

test('a copy is the same repository: every point of it restores with nothing of the source', async () => {
  const machine = await makeMachine()
  const target = memory()
  const copied = await copyTo(target, machine)
  assert.deepEqual([copied.points.length, copied.skippedObjects, copied.damage], [3, 0, []])
  let bytes = 0
  for await (const { name, sizeBytes } of machine.owner.store.list('')) {
    assert.deepEqual(await target.get(name), await machine.owner.store.get(name), name)
    if (name.includes('/chains/')) bytes += sizeBytes
  }
  assert.equal(copied.bytes, bytes)
  await assertCopyWhole(machine, target)
})

test('what is there is not sent again; what came since is', async () => {
  const machine = await makeMachine()
  const target = memory()
  await copyTo(target, machine)
  const again = await copyTo(target, machine)
  assert.deepEqual([again.points.length, again.objects, again.bytes], [0, 0, 0])
  machine.write(0, 7)
  const next = await machine.backUp()
  const set = next.set
  await synthesise({ repository: machine.owner.repository, set, clock: systemClock, wholePackBytesMin: 1 })
  const more = await copyTo(target, machine)
  assert.deepEqual(
    more.points.map(({ sequence }) => sequence),
    [4, 5],
  )
  // One pack and one page pack of the increment, and all of the synthetic full.
  assert.ok(more.objects >= 4 && more.skippedObjects === 0)
  await assertCopyWhole(machine, target)
})

test('a run that dies at any request of either store is gone on with; nothing half is ever visible', async () => {
  for (const side of ['source', 'target'] as const) {
    for (const moment of ['before', 'after'] as const) {
      let skipped = 0
      for (let number = 1; ; number += 1) {
        const machine = await small.copied()
        const target = memory()
        const death = dyingAt(number, moment)
        const stepped = (store: ObjectStore, of: string): ObjectStore =>
          of === side ? steppedStore(store, death.around) : store
        const source = stepped(machine.owner.store, 'source')
        // At the very end, when only a pin is left to be deleted, a death is no failure of the copy.
        await copyTo(stepped(target, 'target'), machine, { source, warnings: [] }).catch(deathOf)
        if ((await numbersIn(machine, target)).length > 0 && number % 5 === 0) await assertVisibleWhole(machine, target)
        skipped += (await copyTo(target, machine)).skippedObjects
        assert.deepEqual(await numbersIn(machine, target), [1, 2, 3], `${side}, ${moment} request ${String(number)}`)
        if (number % 5 === 0) await assertCopyWhole(machine, target)
        if (!death.reached()) break
      }
      assert.ok(side === 'source' || skipped > 4, `${String(skipped)} objects that were not sent again`)
    }
  }
})

/** What may happen in the source at any moment of a copy. */
const others: Readonly<Record<string, (machine: Machine, clock: MovedClock) => Promise<void>>> = {
  'a backup': async (machine) => {
    machine.write(0, 5, 34)
    await machine.backUp()
  },
  'a synthetic full': async ({ owner }, clock) => {
    const { repository } = owner
    await synthesise({ repository, set: repository.setIdOf('machine'), clock, wholePackBytesMin: 1 })
  },
  'a prune': async ({ owner }, clock) => {
    const { repository } = owner
    const policy = keeping({ last: 1 })
    const options = { repository, set: repository.setIdOf('machine'), policy, policyVersion: 1, clock, dryRun: false }
    await pruneSet(options)
  },
}

for (const [what, act] of Object.entries(others)) {
  test(`${what} in the source, at any moment of a copy: what is visible is whole, and the next run has all`, async () => {
    for (let number = 1; ; number += 1) {
      const clock = new MovedClock()
      const machine = await small.copied(clock)
      // Of a prune before, two points are on their way out.
      await others['a prune']?.(machine, clock)
      clock.pass(dayMs / 2)
      const target = memory(clock)
      const pause = pausedAt(number, () => act(machine, clock))
      await copyTo(target, machine, { source: steppedStore(machine.owner.store, pause.around), clock })
      if (number % 4 === 0) await assertVisibleWhole(machine, target, clock)
      await copyTo(target, machine, { clock })
      if (number % 4 === 0) await assertCopyWhole(machine, target, clock)
      if (!pause.reached()) break
    }
  })
}

test('two copies at once do no harm', async () => {
  const machine = await makeMachine()
  const target = memory()
  await Promise.all([copyTo(target, machine), copyTo(target, machine)])
  assert.deepEqual(await numbersIn(machine, target), [1, 2, 3])
  await assertCopyWhole(machine, target)
})

test('a damaged pack is named and not copied, nor are points that need it; all others are', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const second = (await pointsOf(repository))[1] ?? assert.fail()
  const { records } = await storedPoint(repository, second)
  // Written by the second point, and overwritten by the third.
  const { object, offset } = records.get(3) ?? assert.fail()
  machine.write(0, 2, 3, 40)
  await machine.backUp()
  await flipByte(store, object, offset + 60)
  const target = memory()
  const copied = await copyTo(target, machine)
  const [damage, more] = copied.damage
  assert.deepEqual([damage?.object, damage?.code, more], [object, 'E_FORMAT_DAMAGED', undefined])
  const third = (await pointsOf(repository))[2] ?? assert.fail()
  assert.deepEqual(damage?.points, [pointId(second), pointId(third)])
  assert.equal(await target.head(object), undefined)
  assert.deepEqual(await goneIn(machine, target), [2, 3])
  await assertCopyWhole(machine, target)
  // What was left out stays so, and is no reason to fail for ever.
  const again = await copyTo(target, machine)
  assert.deepEqual([again.damage, again.objects], [[], 0])
})

test('what hits the newest point keeps it waiting, not gone: once it is mended, it comes', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const { records } = await storedPoint(repository, await machine.newest())
  const { object, offset } = records.get(3) ?? assert.fail()
  const whole = await store.get(object)
  await flipByte(store, object, offset + 60)
  const target = memory()
  for (let run = 0; run < 2; run += 1) {
    const copied = await copyTo(target, machine)
    assert.equal(copied.damage[0]?.object, object)
    assert.deepEqual([await numbersIn(machine, target), await goneIn(machine, target)], [[1, 2], []])
    await assertVisibleWhole(machine, target)
  }
  await store.put(object, [whole])
  const mended = await copyTo(target, machine)
  assert.deepEqual([mended.points.length, mended.objects], [1, 1])
  await assertCopyWhole(machine, target)
})

test('a pack that is missing, swapped, cut or no pack at all is damage; so is a map that cannot be read', async () => {
  const breaks: Record<string, (store: ObjectStore, name: string, other: string) => Promise<void>> = {
    E_OBJECT_MISSING: (store, name) => store.delete(name),
    E_SEAL_BROKEN: async (store, name, other) => {
      await store.put(name, [await store.get(other)])
    },
    E_FORMAT_DAMAGED: async (store, name) => {
      await store.put(name, [(await store.get(name)).subarray(0, 100)])
    },
  }
  for (const [code, act] of Object.entries(breaks)) {
    const machine = await makeMachine()
    const { repository, store } = machine.owner
    const newest = await machine.newest()
    const { records } = await storedPoint(repository, newest)
    await act(store, records.get(3)?.object ?? assert.fail(), records.get(0)?.object ?? assert.fail())
    const target = memory()
    assert.equal((await copyTo(target, machine)).damage[0]?.code, code)
    assert.deepEqual(await numbersIn(machine, target), [1, 2])
  }
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const { root } = await storedPoint(repository, await machine.newest())
  await flipByte(store, root.object, root.offset + 60)
  const target = memory()
  assert.equal((await copyTo(target, machine)).damage[0]?.code, 'E_SEAL_BROKEN')
  await assertVisibleWhole(machine, target)
})

test('another repository, and a copy that somebody backs up into, are refused before anything is written', async () => {
  const machine = await makeMachine()
  const foreign = await makeRepository({ seed: 'foreign' })
  const before = await Array.fromAsync(foreign.store.list(''))
  await assert.rejects(copyTo(foreign.store, machine), { code: 'E_COPY_DIFFERS', message: /another repository/ })
  assert.deepEqual(await Array.fromAsync(foreign.store.list('')), before)

  const target = memory()
  await copyTo(target, machine)
  const copy = alone(machine, target)
  copy.write(0, 9)
  await copy.backUp()
  await assert.rejects(copyTo(target, machine), { code: 'E_COPY_DIFFERS', message: /number 4 of a set, which/ })
  machine.write(0, 8)
  await machine.backUp()
  await assert.rejects(copyTo(target, machine), { code: 'E_COPY_DIFFERS', message: /number 4 of a set is another/ })

  const other = memory()
  await copyTo(other, machine)
  const bytes = machine.disks[0] ?? assert.fail()
  await makePoint(alone(machine, other).owner, { disks: [diskOf('system', bytes, 65536)], setName: 'another' })
  await assert.rejects(copyTo(other, machine), { code: 'E_COPY_DIFFERS', message: /has a set/ })
})

test('the store itself is refused, whatever name it has', async () => {
  const machine = await makeMachine()
  const { store } = machine.owner
  const before = await Array.fromAsync(store.list(''))
  const renamed = storeWith(store, { description: 's3://another-name' })
  await assert.rejects(copyTo(renamed, machine), { code: 'E_COPY_SAME_STORE', message: /another-name/ })
  assert.deepEqual(await Array.fromAsync(store.list('')), before)
})

test('a missing right is named, with the store that it is missing in', async () => {
  const machine = await makeMachine()
  const denied = (): Promise<never> => Promise.reject(new StrataError('E_STORE_DENIED', 'HTTP 403'))
  const readOnly = storeWith(memory(), { put: denied })
  await assert.rejects(copyTo(readOnly, machine), {
    code: 'E_STORE_DENIED',
    message: /^the copy does not allow writing objects \(S3: s3:PutObject/,
  })
  const unreadable = storeWith(machine.owner.store, { get: denied })
  await assert.rejects(copyTo(memory(), machine, { source: unreadable }), {
    message: /^the source does not allow reading/,
  })
  // A source that may only be read is enough; a prune of it would not wait.
  const warnings: string[] = []
  const target = memory()
  const sealed = storeWith(machine.owner.store, { put: denied, delete: denied })
  await copyTo(target, machine, { source: sealed, warnings })
  assert.deepEqual(warnings, ['W_NOT_PINNED'])
  await assertCopyWhole(machine, target)
})

test('a copy that keeps less: what it does not keep is not copied, and shows as gone', async () => {
  const clock = new MovedClock()
  const machine = await (await makeMachine()).copied(clock)
  for (const block of [20, 21]) {
    machine.write(0, block)
    await machine.backUp()
  }
  const target = memory(clock)
  const copied = await copyTo(target, machine, { keeping: keeping({ last: 2 }), clock })
  assert.deepEqual(
    copied.points.map(({ sequence }) => sequence),
    [4, 5],
  )
  assert.deepEqual(
    [await numbersIn(machine, target), await goneIn(machine, target)],
    [
      [1, 2, 3, 4, 5],
      [1, 2, 3],
    ],
  )
  await assertCopyWhole(machine, target, clock)
  // What comes later replaces them there, in the same steps as everywhere.
  machine.write(0, 22)
  await machine.backUp()
  const next = await copyTo(target, machine, { keeping: keeping({ last: 2 }), clock })
  assert.deepEqual([next.points.length, next.pruning?.plan.mark.map(({ sequence }) => sequence)], [1, [4]])
  clock.pass(dayMs)
  const later = await copyTo(target, machine, { keeping: keeping({ last: 2 }), clock })
  assert.deepEqual(
    later.pruning?.plan.gone.map(({ sequence }) => sequence),
    [4],
  )
  assert.deepEqual(await goneIn(machine, target), [1, 2, 3, 4])
  assert.deepEqual(await goneIn(machine, machine.owner.store), [])
  await assertCopyWhole(machine, target, clock)
})

test('a copy that keeps only the newest has the one before while that is damaged', async () => {
  const clock = new MovedClock()
  const machine = await (await makeMachine()).copied(clock)
  const { repository, store } = machine.owner
  const { records } = await storedPoint(repository, await machine.newest())
  const { object, offset } = records.get(3) ?? assert.fail()
  const whole = await store.get(object)
  await flipByte(store, object, offset + 60)
  const target = memory(clock)
  const keeps = keeping({ last: 1 })
  const copied = await copyTo(target, machine, { keeping: keeps, clock })
  assert.deepEqual([copied.points.length, copied.damage.length], [1, 1])
  assert.deepEqual([await numbersIn(machine, target), await goneIn(machine, target)], [[1, 2], [1]])
  await assertVisibleWhole(machine, target, clock)
  await store.put(object, [whole])
  await copyTo(target, machine, { keeping: keeps, clock })
  assert.deepEqual([await numbersIn(machine, target), await goneIn(machine, target)], [[1, 2, 3], [1]])
  await assertCopyWhole(machine, target, clock)
})

test('a copy that keeps more: what is gone in the source is still there', async () => {
  const clock = new MovedClock()
  const machine = await (await makeMachine()).copied(clock)
  const target = memory(clock)
  const keeps = keeping({ last: 100 })
  await copyTo(target, machine, { keeping: keeps, clock })
  const { repository, store } = machine.owner
  const prune = {
    repository,
    set: repository.setIdOf('machine'),
    policy: keeping({ last: 1 }),
    policyVersion: 1,
    clock,
    dryRun: false,
  }
  await pruneSet(prune)
  clock.pass(dayMs)
  await pruneSet(prune)
  await deleteRetired(store)
  machine.write(0, 30)
  await machine.backUp()
  const next = await copyTo(target, machine, { keeping: keeps, clock })
  assert.deepEqual([next.points.length, await goneIn(machine, target), await goneIn(machine, store)], [1, [], [1, 2]])
  await assertCopyWhole(machine, target, clock)
  // Numbers that went before a copy was first made are in its history, and no more.
  const late = memory(clock)
  await copyTo(late, machine, { keeping: keeps, clock })
  assert.deepEqual(
    [await numbersIn(machine, late), await goneIn(machine, late)],
    [
      [1, 2, 3, 4],
      [1, 2],
    ],
  )
  await assertCopyWhole(machine, late, clock)
})

/** At once, as if a day had passed. */
async function deleteRetired(store: ObjectStore): Promise<void> {
  const list = store.listTagged ?? assert.fail()
  for await (const { name } of list('strata-state', 'retired')) await store.delete(name)
}

interface Differential {
  readonly machine: Machine
  readonly full: Point
  readonly back: () => Promise<Point>
}

/**
 * A full, an increment, and a differential that needs of the full what the increment has replaced.
 * @param isCopied the full is a synthetic one, whose packs were copied whole
 */
async function makeDifferential(clock: MovedClock, isCopied = false): Promise<Differential> {
  const machine = new Machine(await makeRepository({ store: memory(clock) }), emptyDisks(40))
  machine.write(0, 0, 1, 2, 3, 4, 5, 6, 7)
  machine.write(1, 0)
  let full = await machine.backUp('full')
  if (isCopied) {
    machine.write(1, 0)
    const { set } = await machine.backUp()
    full = (await synthesise({ repository: machine.owner.repository, set, clock, wholePackBytesMin: 1 })).point
  }
  const disks = machine.disks.map((bytes) => Buffer.from(bytes))
  machine.write(0, 0, 1, 2, 3)
  await machine.backUp()
  const back = async (): Promise<Point> => {
    for (const [index, bytes] of disks.entries()) machine.disks[index]?.set(bytes)
    machine.write(0, 7)
    return await makePoint(machine.owner, {
      disks: ['system', 'data'].map((name, index) => diskOf(name, machine.disks[index] ?? assert.fail(), 65536)),
      packBlockBytes: 4 * 65536,
      kind: 'differential',
      base: full,
    })
  }
  return { machine, full, back }
}

const fulls = { 'a full': false, 'a synthetic full': true }

for (const [what, isCopied] of Object.entries(fulls)) {
  test(`what a prune of the copy has tagged, or is about to, is written anew when a point needs it again: ${what}`, async () => {
    const clock = new MovedClock()
    const { machine, full, back } = await makeDifferential(clock, isCopied)
    const target = memory(clock)
    await copyTo(target, machine, { keeping: keeping({ last: 9 }), clock })
    const { records } = await storedPoint(machine.owner.repository, full)
    const object = records.get(0)?.object ?? assert.fail()
    assert.equal(!object.includes(pointId(full)), isCopied)
    const repository = new Repository(target, machine.owner.repository.ingestKeys, machine.owner.random)
    const set = repository.setIdOf('machine')
    await new RetentionLedger(repository).change(set, ({ state }) => {
      return { state: withGone(state, [full.sequence]), change: 'gone' }
    })
    await target.setTags(object, retiredTags)
    await back()
    const copied = await copyTo(target, machine, { keeping: keeping({ last: 1 }), clock })
    assert.deepEqual([copied.points.length, await target.tags(object)], [1, {}])
    await deleteRetired(target)
    await assertCopyWhole(machine, target, clock)
  })
}

test('while a prune tags what is dead in the copy, a point that needs it waits, and the other way round', async () => {
  const clock = new MovedClock()
  const { machine, back } = await makeDifferential(clock)
  const target = memory(clock)
  await copyTo(target, machine, { clock })
  const repository = new Repository(target, machine.owner.repository.ingestKeys, machine.owner.random)
  const set = repository.setIdOf('machine')
  await new RetentionLedger(repository).change(set, ({ state }) => ({ state: withGone(state, [1]), change: 'gone' }))
  await back()
  const held = { set, sequences: [1], purpose: 'a prune', clock, onWarning: refuse }
  const refused = aloneWithGone(repository, held, () => copyTo(target, machine, { clock }))
  await assert.rejects(refused, { code: 'E_COPY_INCOMPLETE', message: /number 3 has to wait/ })
  assert.equal(
    await aloneWithGone(repository, held, () => aloneWithGone(repository, held, () => Promise.resolve(1))),
    undefined,
  )
  await copyTo(target, machine, { clock })
  await assertCopyWhole(machine, target, clock)
})

for (const [what, isCopied] of Object.entries(fulls))
  test(`a prune of the copy at any moment of a copy takes nothing that a point there needs: ${what}`, async () => {
    for (let number = 1; ; number += 1) {
      const clock = new MovedClock()
      const { machine, back } = await makeDifferential(clock, isCopied)
      const target = memory(clock)
      await copyTo(target, machine, { clock })
      await back()
      const repository = new Repository(target, machine.owner.repository.ingestKeys, machine.owner.random)
      const prune = {
        repository,
        set: repository.setIdOf('machine'),
        policy: keeping({ last: 1 }),
        policyVersion: 1,
        clock,
        dryRun: false,
      }
      await pruneSet(prune)
      clock.pass(dayMs)
      const pause = pausedAt(number, async () => {
        await pruneSet(prune)
      })
      await copyTo(steppedStore(target, pause.around), machine, { clock })
      await deleteRetired(target)
      await assertCopyWhole(machine, target, clock)
      if (!pause.reached()) break
    }
  })

test('a copied chain has no object that no point needs', async () => {
  const machine = await makeMachine()
  const { repository, store } = machine.owner
  const stray = `${chainPrefix(chainPlaceOf(repository, await machine.newest()))}${'e'.repeat(32)}/data-00000000-${'0'.repeat(16)}`
  await store.put(stray, [Buffer.from('of a session that died')])
  const target = memory()
  await copyTo(target, machine)
  assert.equal(await target.head(stray), undefined)
})

function refuse({ message }: { readonly message: string }): never {
  assert.fail(message)
}

/** What the death of a process looks like from inside. */
function deathOf(error: unknown): Dead {
  const cause = error instanceof Dead ? error : toStrataError(error).cause
  assert.ok(cause instanceof Dead, String(error))
  return cause
}
