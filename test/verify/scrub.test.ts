import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { systemClock } from '@strata/shared/clock.ts'
import { numbersIn } from '@strata/shared/format/number-ranges.ts'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { chainPrefix, packName } from '@strata/shared/format/names.ts'
import { blockBytesMin, pageEntriesMax } from '@strata/shared/limits.ts'
import { chainPlaceOf, pointId, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { ScrubLedger } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { retiredTagKey, retiredTagValue } from '@strata/shared/repository/retention/retired.ts'
import { asId, type ChainId } from '@strata/shared/types.ts'
import { collectChain } from '@strata/workers/maintain/retention/collect-chain.ts'
import { PiecePool } from '@strata/workers/maintain/scrub/piece-pool.ts'
import { scrubSet, type SetScrub } from '@strata/workers/maintain/scrub/scrub-set.ts'
import { synthesise } from '@strata/workers/maintain/synthetic-full/synthesise.ts'
import { noteDeep } from '@strata/workers/maintain/verify/note-deep.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { dyingAt, steppedStore } from '@strata/workers/testing/stepped-store.ts'
import { diskOf, makePoint, makeRepository, seededRandom, type TestRepository } from '../fixtures/make-point.ts'
import { flipByte, storedPoint, swap, truncate, type StoredPoint } from '../fixtures/stored-places.ts'

/**
 * A chain of a full, two incrementals and a differential over three pages. Each test breaks one thing, and a scrub, which
 * has no private key, must name exactly the blocks and points that it hits.
 */
const blockBytes = blockBytesMin
const blocks = 2 * pageEntriesMax + 12

interface Made {
  readonly point: Point
  readonly stored: StoredPoint
}

interface Chain extends TestRepository {
  readonly all: readonly [Made, Made, Made, Made]
  readonly nowMs: { value: number }
}

const startMs = Date.UTC(2026, 5, 1)
const dayMs = 24 * 3600_000

async function build(): Promise<Omit<Chain, 'nowMs'>> {
  const owner = await makeRepository()
  const random = seededRandom('scrubbed disk')
  const bytes = Buffer.alloc(blocks * blockBytes)
  const write = (...numbers: number[]): void => {
    for (const number of numbers) bytes.set(random(blockBytes), number * blockBytes)
  }
  const make = async (base: Made | undefined, kind: 'full' | 'incremental' | 'differential'): Promise<Made> => {
    const disks = [diskOf('system', bytes, blockBytes)]
    const on = base === undefined ? {} : { base: base.point }
    const point = await makePoint(owner, { disks, kind, packBlockBytes: 4 * blockBytes, ...on })
    return { point, stored: await storedPoint(owner.repository, point) }
  }
  write(0, 1, 2, 3, 4, 5, 6, 7, 1024, 1025, 1026, 1027, 2048, blocks - 1)
  const full = await make(undefined, 'full')
  write(1, 9, 1026)
  const second = await make(full, 'incremental')
  write(2, 2048)
  const third = await make(second, 'incremental')
  write(3)
  return { ...owner, all: [full, second, third, await make(full, 'differential')] }
}

const original = await build()
const pool = new PiecePool()
after(() => pool[Symbol.asyncDispose]())

async function makeChain(): Promise<Chain> {
  const nowMs = { value: startMs }
  const store = new MemoryStore({ clock: { ...systemClock, nowMs: () => nowMs.value } })
  for await (const { name } of original.store.list('')) await store.put(name, [await original.store.get(name)])
  const repository = new Repository(store, original.repository.ingestKeys, original.random)
  return { ...original, store, repository, nowMs }
}

async function scrub({ repository }: Chain, bytesMax?: number): Promise<SetScrub> {
  const set = repository.setIdOf('machine')
  const result = await scrubSet({ repository, set, everyDays: 30, pool, bytesMax })
  assert.ok(result)
  return result
}

/** What is damaged: for each block the numbers of the points that are hit. */
function hitBlocks(damage: readonly ScrubDamage[]): Record<number, number[]> {
  const found: Record<number, number[]> = {}
  for (const { hits } of damage) {
    for (const { block, blocks: count, points } of hits) {
      for (let at = block; at < block + count; at += 1) found[at] = [...(found[at] ?? []), ...numbersIn(points)]
    }
  }
  return found
}

/** Which points need a range of an object for which blocks, as the fixture knows. */
function needing({ all }: Chain, object: string, from = 0, to = Infinity): Record<number, number[]> {
  const found: Record<number, number[]> = {}
  for (const { point, stored } of all) {
    for (const [block, place] of stored.records) {
      if (place.object !== object || place.offset >= to || place.offset + place.length <= from) continue
      found[block] = [...(found[block] ?? []), point.sequence]
    }
  }
  return found
}

function recordOf({ stored }: Made, block: number): { object: string; offset: number; length: number } {
  return stored.records.get(block) ?? assert.fail()
}

test('what is whole is read once in its time, and all of it', async () => {
  const chain = await makeChain()
  const objects = (await Array.fromAsync(chain.store.list(''))).filter(({ name }) => name.includes('/chains/'))
  const first = await scrub(chain)
  assert.deepEqual([first.damage, first.history], [[], []])
  assert.equal(first.checkedObjects, objects.length)
  assert.equal(
    first.checkedBytes,
    objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  assert.equal((await scrub(chain)).checkedObjects, 0)
  let checked = 0
  for (let day = 1; day <= 27; day += 1) {
    chain.nowMs.value = startMs + day * dayMs
    const { checkedObjects, isLate } = await scrub(chain)
    assert.equal(isLate, false)
    checked += checkedObjects
  }
  assert.equal(checked, objects.length)
})

const damages: readonly {
  what: string
  damage: (chain: Chain) => Promise<Record<number, number[]>>
}[] = [
  {
    what: 'a flipped bit in a record that all points need',
    damage: async (chain) => {
      const { object, offset, length } = recordOf(chain.all[0], 5)
      await flipByte(chain.store, object, offset + length - 1)
      return { 5: [1, 2, 3, 4] }
    },
  },
  {
    what: 'a flipped bit in a record that two points need',
    damage: async (chain) => {
      const { object, offset } = recordOf(chain.all[0], 2)
      await flipByte(chain.store, object, offset + 70)
      return { 2: [1, 2] }
    },
  },
  {
    what: 'a pack that was cut',
    damage: async (chain) => {
      const { object, offset } = recordOf(chain.all[0], 6)
      await truncate(chain.store, object, offset + 10)
      // Its end is gone: without a key nobody can tell what is still right.
      return needing(chain, object)
    },
  },
  {
    what: 'a pack that is gone',
    damage: async (chain) => {
      const { object } = recordOf(chain.all[0], 1027)
      await chain.store.delete(object)
      return needing(chain, object)
    },
  },
  {
    what: 'two packs that were swapped',
    damage: async (chain) => {
      const [a, b] = [recordOf(chain.all[0], 0), recordOf(chain.all[0], 1024)]
      await swap(chain.store, a.object, b.object)
      return { ...needing(chain, a.object), ...needing(chain, b.object) }
    },
  },
  {
    what: 'an older pack in the place of a newer one',
    damage: async (chain) => {
      const [old, newer] = [recordOf(chain.all[0], 2), recordOf(chain.all[3], 3)]
      await chain.store.put(newer.object, [await chain.store.get(old.object)])
      // All else that was in it the incrementals have as well.
      return { 3: [4] }
    },
  },
  {
    what: 'a flipped bit in a page',
    damage: async (chain) => {
      const page = chain.all[0].stored.pages.get(0) ?? assert.fail()
      await flipByte(chain.store, page.object, page.offset + 100)
      return Object.fromEntries(Array.from({ length: pageEntriesMax }, (_, block) => [block, [1]]))
    },
  },
  {
    what: 'a root that is damaged',
    damage: async (chain) => {
      const { object, offset } = chain.all[2].stored.root
      await flipByte(chain.store, object, offset + 60)
      return Object.fromEntries(Array.from({ length: blocks }, (_, block) => [block, [3]]))
    },
  },
]

for (const { what, damage } of damages) {
  test(`found without the private key: ${what}`, async () => {
    const chain = await makeChain()
    const expected = await damage(chain)
    const found = await scrub(chain)
    assert.deepEqual(hitBlocks(found.damage), expected)
    // It stays known, and is looked at again although nothing is due.
    const again = await scrub(chain)
    assert.deepEqual(again.damage, found.damage)
    assert.deepEqual(again.ended, [])
  })
}

test('what is missing is found although nothing of it is due', async () => {
  const chain = await makeChain()
  await scrub(chain)
  const { object } = recordOf(chain.all[0], 2)
  await chain.store.delete(object)
  chain.nowMs.value += dayMs
  assert.deepEqual(hitBlocks((await scrub(chain)).damage), needing(chain, object))
})

test('what was copied whole is new in its chain, and read with the next run', async () => {
  const chain = await makeChain()
  const { repository, store } = chain
  const set = repository.setIdOf('machine')
  await scrub(chain)
  chain.nowMs.value += 3600_000
  assert.equal((await scrub(chain)).checkedObjects, 0)
  const { point } = await synthesise({ repository, set, clock: systemClock, wholePackBytesMin: 1 })
  const prefix = chainPrefix(chainPlaceOf(repository, point))
  const names = (await Array.fromAsync(store.list(prefix))).map(({ name }) => name)
  const copied = names.filter((name) => !name.includes(pointId(point)))
  assert.notEqual(copied.length, 0)
  const [hit = ''] = copied
  await flipByte(store, hit, 100)
  const found = await scrub(chain)
  assert.equal(found.checkedObjects, names.length)
  assert.deepEqual(
    found.damage.map(({ object }) => prefix + object),
    [hit],
  )
  // What is not new is read when its time has come: all once in a round.
  await flipByte(store, hit, 100)
  const read = { objects: 0 }
  for (let day = 0; day < 30; day += 1) {
    chain.nowMs.value += dayMs
    read.objects += (await scrub(chain)).checkedObjects
  }
  assert.ok(read.objects >= names.length, String(read.objects))
})

test('damage that is right again has ended', async () => {
  const chain = await makeChain()
  const { object, offset } = recordOf(chain.all[0], 5)
  await flipByte(chain.store, object, offset + 70)
  assert.equal((await scrub(chain)).damage.length, 1)
  await flipByte(chain.store, object, offset + 70)
  const { damage, ended } = await scrub(chain)
  assert.deepEqual(damage, [])
  assert.deepEqual(
    ended.map(({ how }) => how),
    ['restored'],
  )
})

test('a record that another point has stored once more stands for the damaged one', async () => {
  const chain = await makeChain()
  // The differential had to store again what the incrementals have.
  const { object, offset } = recordOf(chain.all[1], 9)
  assert.notEqual(recordOf(chain.all[3], 9).object, object)
  await flipByte(chain.store, object, offset + 70)
  const { damage, ended } = await scrub(chain)
  assert.deepEqual(hitBlocks(damage), {})
  assert.deepEqual(
    ended.map(({ how, points }) => [how, [...numbersIn(points)]]),
    [['healed', [2, 3]]],
  )
  await assertIntact(chain)
  // The bytes are as bad as before, and nobody needs them any more.
  chain.nowMs.value += 28 * dayMs
  assert.deepEqual((await scrub(chain)).damage, [])
  // What stands for them is needed now.
  const to = recordOf(chain.all[3], 9)
  await flipByte(chain.store, to.object, to.offset + 70)
  chain.nowMs.value += 28 * dayMs
  assert.deepEqual(hitBlocks((await scrub(chain)).damage), { 9: [2, 3, 4] })
})

/** With the private key: everything opens, and every block has its digest. */
async function assertIntact({ repository, privateKey }: Chain): Promise<void> {
  const { state, damage } = await verifyPoints({ repository, privateKey, points: 'all', clock: systemClock })
  assert.deepEqual([state, damage], ['intact', []])
}

test('whatever dies, the next run goes on, and all is found', async () => {
  for (const moment of ['before', 'after'] as const) {
    for (let number = 1; ; number += 1) {
      const chain = await makeChain()
      const { object, offset } = recordOf(chain.all[0], 5)
      await flipByte(chain.store, object, offset + 70)
      const { around, reached } = dyingAt(number, moment)
      const mortal = new Repository(steppedStore(chain.store, around), chain.repository.ingestKeys, chain.random)
      await scrub({ ...chain, repository: mortal }).catch((error: unknown) => {
        if (!reached()) throw error
      })
      const { damage } = await scrub(chain)
      assert.deepEqual(hitBlocks(damage), { 5: [1, 2, 3, 4] })
      if (!reached()) break
    }
  }
})

test('two at the same time find the same, and note it once', async () => {
  const chain = await makeChain()
  const { object, offset } = recordOf(chain.all[0], 5)
  await flipByte(chain.store, object, offset + 70)
  const found = await Promise.all([scrub(chain), scrub(chain)])
  for (const { damage } of found) assert.deepEqual(hitBlocks(damage), { 5: [1, 2, 3, 4] })
  const state = await new ScrubLedger(chain.repository).read(chain.repository.setIdOf('machine'))
  assert.equal(state?.damage.length, 1)
})

test('a small budget is a part of the work, and the next run goes on', async () => {
  const chain = await makeChain()
  const { checkedObjects: all } = await scrub(await makeChain())
  let checked = 0
  for (let run = 0; run < all; run += 1) {
    const { checkedObjects, dueBytes } = await scrub(chain, 1)
    assert.equal(checkedObjects, 1)
    assert.equal(dueBytes === 0, run === all - 1)
    checked += checkedObjects
  }
  assert.equal(checked, all)
  assert.equal((await scrub(chain, 1)).checkedObjects, 0)
})

test('packs of a session that is under way are nobody’s yet', async () => {
  const chain = await makeChain()
  const { place, pack } = strangePack(chain)
  await chain.store.put(packName(place, 'data', pack), [new Uint8Array(100)])
  const { damage, checkedObjects } = await scrub(chain)
  assert.deepEqual(damage, [])
  assert.equal(checkedObjects, (await scrub(await makeChain())).checkedObjects)
})

function strangePack({ repository, all }: Chain) {
  const { set, manifest } = all[0].point
  const place = { ...repository.placeOf(set), chain: asId<never>(manifest.chain) }
  return { place, pack: { session: asId<never>('f'.repeat(32)), number: 0, attempt: '0'.repeat(16) } }
}

test('what only the private key can see is noted by a deep verification, and healed like all else', async () => {
  const chain = await makeChain()
  await scrub(chain)
  // The scrub has read it a moment ago, and does not read it again.
  const record = recordOf(chain.all[0], 5)
  await flipByte(chain.store, record.object, record.offset + 70)
  const deep = async (): Promise<void> => {
    const { repository, privateKey } = chain
    await noteDeep(
      repository,
      await verifyPoints({ repository, privateKey, points: 'all', clock: systemClock }),
      'host',
    )
  }
  await deep()
  const ledger = new ScrubLedger(chain.repository)
  const set = chain.repository.setIdOf('machine')
  const known = await ledger.read(set)
  assert.deepEqual(hitBlocks(known?.damage ?? []), { 5: [1, 2, 3, 4] })
  assert.deepEqual(
    known?.deep.map(({ by, state, points }) => [by, state, points]),
    [['host', 'damaged', [[1, 4]]]],
  )
  // A scrub does not forget it, whatever the hashes say.
  await flipByte(chain.store, record.object, record.offset + 70)
  assert.deepEqual(hitBlocks((await scrub(chain)).damage), { 5: [1, 2, 3, 4] })
  await deep()
  assert.deepEqual((await ledger.read(set))?.damage, [])
})

test('what stands for a damaged record is kept as long as a point needs it', async () => {
  const chain = await makeChain()
  const { repository, store, all } = chain
  const [damaged, other] = [recordOf(all[1], 9), recordOf(all[3], 9)]
  await flipByte(store, damaged.object, damaged.offset + 70)
  await scrub(chain)
  const place = { ...repository.placeOf(all[0].point.set), chain: asId<ChainId>(all[0].point.manifest.chain) }
  const retiredAfter = async (there: readonly Made[]): Promise<boolean> => {
    const sessions = new Set<string>(all.map(({ point }) => point.manifest.point))
    const points = there.map(({ point }) => point)
    await collectChain(repository, { place, there: points, sessions, goneBytes: 2 ** 40 }, { tag: true })
    return (await store.tags(other.object))[retiredTagKey] === retiredTagValue
  }
  // The differential has gone, which had stored it; the incrementals need it by way of their repair.
  assert.equal(await retiredAfter(all.slice(0, 3)), false)
  assert.equal(await retiredAfter(all.slice(0, 1)), true)
})
