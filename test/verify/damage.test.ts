import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { after, test } from 'node:test'
import { systemClock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { boxKinds, sealBox } from '@strata/shared/format/box.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { manifestType } from '@strata/shared/format/manifest.ts'
import { manifestName, packName, rootContext } from '@strata/shared/format/names.ts'
import { recordHeaderBytes } from '@strata/shared/format/record.ts'
import { encodeRoot } from '@strata/shared/format/root.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { nonceBytes, tagBytes } from '@strata/shared/format/xaes.ts'
import { blockBytesMin, damagedPlacesMax, pageEntriesMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { chainPlaceOf, pointId, readPoint, type Point } from '@strata/shared/repository/points.ts'
import { readRepositoryDocument, Repository } from '@strata/shared/repository/repository.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { PointDamagedError } from '@strata/workers/deliver/restore/restore-errors.ts'
import {
  verifyPoints,
  type PointVerification,
  type VerifyResult,
} from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import {
  addTenant,
  diskOf,
  makePoint,
  makeRepository,
  seededRandom,
  type TestRepository,
} from '../fixtures/make-point.ts'
import { fileHolds } from '../fixtures/file-holds.ts'
import { restoreTo } from '../fixtures/restore.ts'
import {
  flipByte,
  overwriteRange,
  storedPoint,
  swap,
  truncate,
  type StoredPoint,
  type StoredRange,
} from '../fixtures/stored-places.ts'
import { temporaryDirectory } from '../fixtures/temporary.ts'

/**
 * A chain of four points over a disk of three pages: a full, two incrementals and a differential. Each test breaks one
 * thing, and verify must name exactly the points and blocks that it hits, and restore bring back exactly the rest.
 */
const blockBytes = blockBytesMin
const blocks = 2 * pageEntriesMax + 12
const recordsPerPack = 4

interface MadePoint {
  readonly point: Point
  readonly bytes: Buffer
  readonly stored: StoredPoint
}

interface Chain extends TestRepository {
  readonly full: MadePoint
  readonly second: MadePoint
  readonly third: MadePoint
  readonly differential: MadePoint
  readonly all: readonly MadePoint[]
}

async function buildChain(owner: TestRepository): Promise<Chain> {
  const random = seededRandom('disk')
  const bytes = Buffer.alloc((blocks - 1) * blockBytes + 1234)
  const write = (...numbers: number[]): void => {
    for (const number of numbers) {
      const part = bytes.subarray(number * blockBytes, (number + 1) * blockBytes)
      part.fill(random(1000), 0, part.length / 2)
      part.set(random(part.length / 2), Math.floor(part.length / 2))
    }
  }
  const make = async (
    base: MadePoint | undefined,
    kind: 'full' | 'incremental' | 'differential',
  ): Promise<MadePoint> => {
    const disks = [diskOf('system', bytes, blockBytes)]
    const packBlockBytes = recordsPerPack * blockBytes
    const point = await makePoint(owner, {
      disks,
      kind,
      packBlockBytes,
      ...(base === undefined ? {} : { base: base.point }),
    })
    return { point, bytes: Buffer.from(bytes), stored: await storedPoint(owner.repository, point) }
  }
  write(0, 1, 2, 3, 4, 5, 6, 7, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031, 2048, blocks - 1)
  const full = await make(undefined, 'full')
  write(1, 9, 1026)
  const second = await make(full, 'incremental')
  write(2, 2048)
  const third = await make(second, 'incremental')
  write(3)
  const differential = await make(full, 'differential')
  return { ...owner, full, second, third, differential, all: [full, second, third, differential] }
}

const pool = new ReadPool()
after(() => pool[Symbol.asyncDispose]())

/** Built once: every test breaks a copy. */
const original = await buildChain(await makeRepository())

async function makeChain(): Promise<Chain> {
  const store = await copyOf(original.store)
  return { ...original, store, repository: new Repository(store, original.repository.ingestKeys, original.random) }
}

async function copyOf(store: ObjectStore): Promise<ObjectStore> {
  const copy = new MemoryStore({ clock: systemClock })
  for await (const { name } of store.list('')) await copy.put(name, [await store.get(name)])
  return copy
}

function verifyAll({ repository, privateKey }: Chain): Promise<VerifyResult> {
  return verifyPoints({ repository, privateKey, points: 'all', pool, clock: systemClock })
}

/** Blocks that a verification says are lost. */
function lostBlocks({ damage }: PointVerification): number[] {
  return damage.ranges.flatMap(({ block, blocks: count }) => Array.from({ length: count }, (_, i) => block + i))
}

/** Blocks of a point whose records lie, with any byte, in a range of an object. */
function blocksIn({ stored }: MadePoint, object: string, from = 0, to = Infinity): number[] {
  const found: number[] = []
  for (const [block, place] of stored.records) {
    if (place.object === object && place.offset < to && place.offset + place.length > from) found.push(block)
  }
  return found.sort((a, b) => a - b)
}

function pageBlocks(page: number): number[] {
  const first = page * pageEntriesMax
  return Array.from({ length: Math.min(pageEntriesMax, blocks - first) }, (_, i) => first + i)
}

const allBlocks = Array.from({ length: blocks }, (_, block) => block)

/** What verify and restore must say: for each point of the chain the blocks that are lost. */
async function assertLost(
  chain: Chain,
  expected: (made: MadePoint) => number[],
  codes: readonly string[],
): Promise<VerifyResult> {
  const result = await verifyAll(chain)
  assert.equal(result.state, 'damaged')
  assert.deepEqual(result.history, [])
  assert.equal(result.points.length, chain.all.length)
  for (const [index, made] of chain.all.entries()) {
    const lost = expected(made)
    const found = result.points[index]
    assert.ok(found)
    assert.deepEqual(lostBlocks(found), lost, `blocks of point ${String(index + 1)}`)
    assert.equal(found.damage.blocks, lost.length)
    assert.equal(found.state, lost.length === 0 ? 'intact' : 'damaged')
    for (const { code, disk } of found.damage.ranges) {
      assert.ok(codes.includes(code), `${code} is none of ${codes.join(', ')}`)
      assert.equal(disk, 'system')
    }
  }
  // Restoring all of them takes long: one that is hit, and one that is not.
  const hit = chain.all.find((made) => expected(made).length > 0)
  const spared = chain.all.find((made) => expected(made).length === 0)
  for (const made of [hit, spared]) if (made !== undefined) await assertRestores(chain, made, expected(made))
  // The list of all damage names for each range the points that it hits.
  for (const made of chain.all) {
    const id = pointId(made.point)
    const listed = result.damage
      .filter(({ points }) => points.includes(id))
      .reduce((sum, range) => sum + range.blocks, 0)
    assert.equal(listed, expected(made).length)
  }
  return result
}

async function assertRestores(chain: Chain, { point, bytes }: MadePoint, lost: readonly number[]): Promise<void> {
  await using directory = await temporaryDirectory()
  const path = directory.file('disk.img')
  if (lost.length === blocks) {
    await assert.rejects(restoreTo(chain, point, path, { allowDamaged: true, pool }))
    return
  }
  if (lost.length > 0) {
    await assert.rejects(restoreTo(chain, point, path, { pool }), PointDamagedError)
    // Nothing at all where the damage came before the first block.
    assert.ok((await readdir(directory.path)).every((name) => name === 'disk.img.strata-incomplete'))
  }
  const result = await restoreTo(chain, point, path, { allowDamaged: lost.length > 0, pool })
  assert.equal(result.damage.blocks, lost.length)
  const lostSet = new Set(lost)
  assert.ok(await fileHolds(path, bytes, (offset) => lostSet.has(offset / blockBytes)), 'everything else comes back')
}

function recordOf({ stored }: MadePoint, block: number): StoredRange {
  const record = stored.records.get(block)
  assert.ok(record, `block ${String(block)} has a record`)
  return record
}

function pageOf({ stored }: MadePoint, page: number): StoredRange {
  const range = stored.pages.get(page)
  assert.ok(range, `page ${String(page)} is stored`)
  return range
}

test('a chain without damage is intact, and what points share is read once', async () => {
  const chain = await makeChain()
  const result = await verifyAll(chain)
  assert.equal(result.state, 'intact')
  assert.deepEqual(
    result.points.map(({ state, sequence, blocksChecked }) => ({ state, sequence, blocksChecked })),
    [
      { state: 'intact', sequence: 1, blocksChecked: 18 },
      { state: 'intact', sequence: 2, blocksChecked: 3 },
      { state: 'intact', sequence: 3, blocksChecked: 2 },
      // All that differs from the full: what the incrementals changed had to be stored again.
      { state: 'intact', sequence: 4, blocksChecked: 6 },
    ],
  )
  assert.equal(result.blocksChecked, 29)
  assert.deepEqual([result.damage, result.otherPoints, result.history], [[], [], []])
  for (const made of chain.all) await assertRestores(chain, made, [])
})

const recordPlaces: readonly { what: string; at: (record: StoredRange) => number; codes: readonly string[] }[] = [
  { what: 'version', at: () => 0, codes: ['E_FORMAT_DAMAGED'] },
  { what: 'codec', at: () => 1, codes: ['E_FORMAT_DAMAGED', 'E_SEAL_BROKEN'] },
  { what: 'reserved bytes', at: () => 3, codes: ['E_FORMAT_DAMAGED'] },
  { what: 'plain length', at: () => 5, codes: ['E_FORMAT_DAMAGED'] },
  { what: 'key id', at: () => 8, codes: ['E_SEAL_BROKEN'] },
  { what: "nonce's salt", at: () => recordHeaderBytes - nonceBytes, codes: ['E_SEAL_BROKEN'] },
  { what: "nonce's counter", at: () => recordHeaderBytes - 1, codes: ['E_SEAL_BROKEN'] },
  { what: 'first sealed byte', at: () => recordHeaderBytes, codes: ['E_SEAL_BROKEN'] },
  { what: 'middle', at: ({ length }) => Math.floor(length / 2), codes: ['E_SEAL_BROKEN'] },
  { what: 'tag', at: ({ length }) => length - tagBytes, codes: ['E_SEAL_BROKEN'] },
  { what: 'last byte', at: ({ length }) => length - 1, codes: ['E_SEAL_BROKEN'] },
]

for (const { what, at, codes } of recordPlaces) {
  test(`a flipped bit in a record: ${what}`, async () => {
    const chain = await makeChain()
    const record = recordOf(chain.full, 5)
    await flipByte(chain.store, record.object, record.offset + at(record))
    const result = await assertLost(chain, () => [5], codes)
    const [damage] = result.damage
    assert.equal(damage?.pack, record.object)
    assert.equal(damage.packOffsetBytes, record.offset)
    assert.equal(damage.offsetBytes, 5 * blockBytes)
    assert.deepEqual(
      damage.points,
      chain.all.map(({ point }) => pointId(point)),
    )
  })
}

test('a record that only some points need hits only those', async () => {
  const chain = await makeChain()
  const old = recordOf(chain.full, 2)
  await flipByte(chain.store, old.object, old.offset + 60)
  await assertLost(chain, (made) => (made === chain.full || made === chain.second ? [2] : []), ['E_SEAL_BROKEN'])
})

test('damage found in one point is told of all points that need the same bytes, asked for or not', async () => {
  const chain = await makeChain()
  const record = recordOf(chain.second, 9)
  await flipByte(chain.store, record.object, record.offset + 60)
  const { repository, privateKey } = chain
  const result = await verifyPoints({ repository, privateKey, points: [chain.second.point], pool, clock: systemClock })
  assert.deepEqual(
    result.points.map(({ sequence, state }) => [sequence, state]),
    [[2, 'damaged']],
  )
  assert.equal(result.points[0]?.blocksChecked, chain.second.stored.records.size - 1)
  assert.deepEqual(
    result.otherPoints.map(({ sequence }) => sequence),
    [3],
  )
  assert.deepEqual(
    result.damage.map(({ points }) => points),
    [[pointId(chain.second.point), pointId(chain.third.point)]],
  )
})

test('a point that has no part in the damage is intact when it is verified alone', async () => {
  const chain = await makeChain()
  const record = recordOf(chain.second, 9)
  await flipByte(chain.store, record.object, record.offset + 60)
  const { repository, privateKey } = chain
  const result = await verifyPoints({
    repository,
    privateKey,
    points: [chain.differential.point],
    pool,
    clock: systemClock,
  })
  assert.equal(result.state, 'intact')
})

test('a pack that is cut loses what lay behind the cut', async () => {
  const chain = await makeChain()
  const cutRecord = recordOf(chain.full, 6)
  await truncate(chain.store, cutRecord.object, cutRecord.offset + 10)
  const lost = (made: MadePoint): number[] => blocksIn(made, cutRecord.object, cutRecord.offset + 10)
  assert.deepEqual(lost(chain.full), [6, 7])
  await assertLost(chain, lost, ['E_OBJECT_TRUNCATED'])
})

test('a pack that grew in front loses everything, one that grew at its end nothing', async () => {
  const chain = await makeChain()
  const { object } = recordOf(chain.full, 0)
  const bytes = await chain.store.get(object)
  await chain.store.put(object, [bytes, Buffer.alloc(100)])
  assert.equal((await verifyAll(chain)).state, 'intact')
  await chain.store.put(object, [Buffer.alloc(1), bytes])
  await assertLost(chain, (made) => blocksIn(made, object), ['E_FORMAT_DAMAGED', 'E_FORMAT_NEWER', 'E_SEAL_BROKEN'])
})

test('a missing pack loses its blocks and no others', async () => {
  const chain = await makeChain()
  const { object } = recordOf(chain.full, 1027)
  await chain.store.delete(object)
  const result = await assertLost(chain, (made) => blocksIn(made, object), ['E_OBJECT_MISSING'])
  // Four neighbours in the full are one range; the incrementals replaced one in the middle.
  assert.equal(result.points[0]?.damage.ranges.length, 1)
  assert.equal(result.points[1]?.damage.ranges.length, 2)
})

test('an empty pack loses its blocks', async () => {
  const chain = await makeChain()
  const { object } = recordOf(chain.full, 0)
  await truncate(chain.store, object, 0)
  await assertLost(chain, (made) => blocksIn(made, object), ['E_OBJECT_TRUNCATED'])
})

test('a bad sector under a pack loses the one record that lies on it', async () => {
  const chain = await makeChain()
  const bad = recordOf(chain.full, 1028)
  let failed = 0
  const failing = storeWith(chain.store, {
    get: (object, part) => {
      const { offset, length } = part !== undefined && 'length' in part ? part : { offset: 0, length: Infinity }
      const badByte = bad.offset + 9
      if (object !== bad.object || offset > badByte || offset + length <= badByte) return chain.store.get(object, part)
      failed += 1
      return Promise.reject(new StrataError('E_STORE_IO', `reading ${object} failed: EIO`))
    },
  })
  const repository = new Repository(failing, chain.repository.ingestKeys, chain.random)
  await assertLost({ ...chain, repository }, () => [1028], ['E_STORE_IO'])
  assert.ok(failed > 0)
})

test('a pack in an archive class loses its blocks, and is asked for once a read and not in ever smaller parts', async () => {
  const chain = await makeChain()
  const { object } = recordOf(chain.full, 1027)
  let asked = 0
  const archived = storeWith(chain.store, {
    get: (name, part) => {
      if (name !== object) return chain.store.get(name, part)
      asked += 1
      return Promise.reject(
        new StrataError('E_OBJECT_ARCHIVED', `reading ${name} failed: HTTP 403, InvalidObjectState`),
      )
    },
  })
  const repository = new Repository(archived, chain.repository.ingestKeys, chain.random)
  const result = await assertLost({ ...chain, repository }, (made) => blocksIn(made, object), ['E_OBJECT_ARCHIVED'])
  assert.equal(result.points[0]?.damage.ranges.length, 1)
  asked = 0
  await verifyAll({ ...chain, repository })
  assert.equal(asked, 1)
})

test('two packs that changed places lose the blocks of both', async () => {
  const chain = await makeChain()
  const [a, b] = [recordOf(chain.full, 0).object, recordOf(chain.full, 1024).object]
  await swap(chain.store, a, b)
  const lost = (made: MadePoint): number[] => [...blocksIn(made, a), ...blocksIn(made, b)].sort((x, y) => x - y)
  await assertLost(chain, lost, ['E_SEAL_BROKEN', 'E_FORMAT_DAMAGED', 'E_OBJECT_TRUNCATED'])
})

test('two records of equal length that changed places are lost, both', async () => {
  const chain = await makeChain()
  const [a, b] = [recordOf(chain.full, 4), recordOf(chain.full, 5)]
  assert.equal(a.length, b.length, 'the test needs records of one length')
  const bytes = [await chain.store.get(a.object, a), await chain.store.get(b.object, b)]
  const object = Buffer.from(await chain.store.get(a.object))
  object.set(bytes[1] ?? [], a.offset)
  object.set(bytes[0] ?? [], b.offset)
  await chain.store.put(a.object, [object])
  await assertLost(chain, () => [4, 5], ['E_SEAL_BROKEN'])
})

for (const { what, at, codes } of [
  { what: 'magic', at: () => 0, codes: ['E_FORMAT_DAMAGED'] },
  { what: 'version', at: () => 6, codes: ['E_FORMAT_DAMAGED', 'E_FORMAT_NEWER'] },
  { what: 'kind', at: () => 7, codes: ['E_FORMAT_KIND'] },
  { what: 'key generation', at: () => 8, codes: ['E_SEAL_BROKEN'] },
  { what: 'nonce', at: () => 20, codes: ['E_SEAL_BROKEN'] },
  { what: 'sealed bytes', at: () => 1000, codes: ['E_SEAL_BROKEN'] },
  { what: 'last byte', at: ({ length }: StoredRange) => length - 1, codes: ['E_SEAL_BROKEN'] },
]) {
  test(`a flipped bit in a page loses the page: ${what}`, async () => {
    const chain = await makeChain()
    const page = pageOf(chain.full, 1)
    await flipByte(chain.store, page.object, page.offset + at(page))
    const needs = (made: MadePoint): boolean => made.stored.pages.get(1)?.object === page.object
    assert.deepEqual(chain.all.map(needs), [true, false, false, false])
    await assertLost(chain, (made) => (needs(made) ? pageBlocks(1) : []), codes)
  })
}

test('a page that points share is lost for all of them', async () => {
  const chain = await makeChain()
  const page = pageOf(chain.second, 1)
  await flipByte(chain.store, page.object, page.offset + 500)
  const shares = (made: MadePoint): boolean => made === chain.second || made === chain.third
  await assertLost(chain, (made) => (shares(made) ? pageBlocks(1) : []), ['E_SEAL_BROKEN'])
})

test('a flipped bit in a node loses what the node covers', async () => {
  const chain = await makeChain()
  const node = chain.second.stored.nodes.get(0)
  assert.ok(node)
  await flipByte(chain.store, node.object, node.offset + 300)
  const result = await verifyAll(chain)
  assert.deepEqual(
    result.points.map(({ state }) => state),
    ['intact', 'damaged', 'intact', 'intact'],
  )
  assert.equal(result.points[1]?.damage.blocks, blocks)
  for (const made of [chain.full, chain.third, chain.differential]) await assertRestores(chain, made, [])
})

test('a flipped bit in a root loses the point, and no other', async () => {
  const chain = await makeChain()
  const { root } = chain.third.stored
  await flipByte(chain.store, root.object, root.offset + root.length - 1)
  await assertLost(chain, (made) => (made === chain.third ? allBlocks : []), ['E_SEAL_BROKEN'])
})

test('a missing page pack loses what was written into it, and no more', async () => {
  const chain = await makeChain()
  const { root } = chain.second.stored
  await chain.store.delete(root.object)
  // The third point's own root and nodes are elsewhere; it shares the second's page 1.
  const lost = (made: MadePoint): number[] => {
    if (made === chain.second) return allBlocks
    return made === chain.third ? pageBlocks(1) : []
  }
  await assertLost(chain, lost, ['E_OBJECT_MISSING'])
})

test('two pages of equal length that changed places are both lost', async () => {
  const chain = await makeChain()
  const [first, second] = [pageOf(chain.full, 0), pageOf(chain.full, 1)]
  assert.equal(first.length, second.length, 'the test needs pages of one length')
  const bytes = await chain.store.get(first.object, first)
  await overwriteRange(chain.store, second, first)
  const object = Buffer.from(await chain.store.get(second.object))
  object.set(bytes, second.offset)
  await chain.store.put(second.object, [object])
  await assertLost(chain, (made) => (made === chain.full ? [...pageBlocks(0), ...pageBlocks(1)] : []), [
    'E_SEAL_BROKEN',
  ])
})

test("an older page that is played back in a newer one's place is noticed", async () => {
  const chain = await makeChain()
  const [older, newer] = [pageOf(chain.second, 0), pageOf(chain.differential, 0)]
  assert.equal(older.length, newer.length, 'the test needs pages of one length')
  await overwriteRange(chain.store, older, newer)
  await assertLost(chain, (made) => (made === chain.differential ? pageBlocks(0) : []), ['E_DIGEST_MISMATCH'])
})

test("an older root that is played back in a newer one's place is noticed", async () => {
  const chain = await makeChain()
  const older = chain.second.stored.root
  const newer = chain.differential.stored.root
  assert.equal(older.length, newer.length, 'the test needs roots of one length')
  await overwriteRange(chain.store, older, newer)
  await assertLost(chain, (made) => (made === chain.differential ? allBlocks : []), ['E_SEAL_BROKEN'])
})

const keyChanges: readonly { what: string; change: (keys: readonly WrappedDataKey[]) => WrappedDataKey[] }[] = [
  { what: 'has another key in the place of one', change: ([key, ...others]) => [altered(key), ...others] },
  { what: 'lacks a key', change: ([, ...others]) => others },
  { what: 'has a second key of the same id', change: (keys) => [...keys, altered(keys[0])] },
]

function altered(key: WrappedDataKey | undefined): WrappedDataKey {
  assert.ok(key)
  return { ...key, sealed: key.sealed.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) }
}

for (const { what, change } of keyChanges) {
  test(`a point whose root ${what} is not intact, though all it shares is`, async () => {
    const chain = await makeChain()
    const { point, stored } = await changeRoot(chain, chain.second, change)
    // Sealed by the full's session, whose key it is.
    const lost = blocksOfSession(chain.second, chain.full)
    const { points } = await verifyAll(chain)
    assert.equal(points[0]?.state, 'intact')
    assert.deepEqual(points[1] === undefined ? [] : lostBlocks(points[1]), lost)
    await assertRestores(chain, { point, stored, bytes: chain.second.bytes }, lost)
  })
}

for (const { what, change } of keyChanges.slice(0, 2)) {
  test(`of points that share records, one whose root ${what} takes no other with it`, async () => {
    const chain = await makeChain()
    // The first of the chain to be read: what it cannot open, the others can.
    await changeRoot(chain, chain.full, change)
    const { points } = await verifyAll(chain)
    assert.equal(points[0]?.state, 'damaged')
    assert.deepEqual(
      points.slice(1).map(({ damage }) => damage.blocks),
      [0, 0, 0],
    )
    // What is damaged for everybody is found all the same.
    const { object, offset } = recordOf(chain.full, 1028)
    await flipByte(chain.store, object, offset + 60)
    const again = await verifyAll(chain)
    assert.deepEqual(
      again.points.slice(1).map((point) => lostBlocks(point)),
      [[1028], [1028], [1028]],
    )
  })
}

/** Blocks whose records lie in packs that another point's session wrote. */
function blocksOfSession({ stored }: MadePoint, { point }: MadePoint): number[] {
  const records = [...stored.records].filter(([, { object }]) => object.includes(pointId(point)))
  return records.map(([block]) => block).sort((a, b) => a - b)
}

/** Gives a point a root with other keys, sealed as its writer would, and a manifest that names it. */
async function changeRoot(
  { repository, store }: Chain,
  made: MadePoint,
  change: (keys: readonly WrappedDataKey[]) => WrappedDataKey[],
): Promise<{ point: Point; stored: StoredPoint }> {
  const { set, sequence, manifest } = made.point
  const place = chainPlaceOf(repository, made.point)
  const { root } = await PointMap.open(repository, made.point)
  const plain = encodeRoot({ ...root, keys: change(root.keys) })
  const context = rootContext({ ...place, session: pointId(made.point) })
  const box = sealBox(boxKinds.root, context, plain, repository.indexKeys, repository.nonce())
  const pack = { session: pointId(made.point), number: 9, attempt: '00000000000000aa' }
  await store.put(packName(place, 'map', pack), [box])
  const name = manifestName(place, sequence)
  const changed = { ...manifest, root: { ...pack, offset: 0, length: box.length } }
  await store.put(name, [encodeDocument(manifestType, name, changed, repository.indexKeys, repository.nonce())])
  const point = await readPoint(repository, set, sequence)
  return { point, stored: await storedPoint(repository, point) }
}

test("another tenant's pack, page pack and manifest in the place of ours are noticed", async () => {
  const chain = await makeChain()
  const { repository: id } = await readRepositoryDocument(chain.store)
  const foreign = await buildChain(await addTenant(chain.store, id, seededRandom('foreign')))
  const ours = recordOf(chain.full, 0).object
  await chain.store.put(ours, [await chain.store.get(recordOf(foreign.full, 0).object)])
  await assertLost(chain, (made) => blocksIn(made, ours), ['E_SEAL_BROKEN'])

  const untouched = await makeChain()
  const foreignPages = await foreign.store.get(pageOf(foreign.full, 0).object)
  await untouched.store.put(pageOf(untouched.full, 0).object, [foreignPages])
  const result = await verifyAll(untouched)
  assert.equal(result.points[0]?.damage.blocks, blocks)

  const name = (owner: Chain, sequence: number): string =>
    manifestName(owner.repository.placeOf(owner.full.point.set), sequence)
  await chain.store.put(name(chain, 4), [await chain.store.get(name(foreign, 4))])
  const { history } = await verifyAll(chain)
  assert.deepEqual(
    history.map(({ sequence, code }) => [sequence, code]),
    [[4, 'E_SEAL_BROKEN']],
  )
})

function manifestOf(chain: Chain, sequence: number): string {
  return manifestName(chain.repository.placeOf(chain.full.point.set), sequence)
}

test('a flipped bit in a manifest is named, and so are the points built on it', async () => {
  const chain = await makeChain()
  await flipByte(chain.store, manifestOf(chain, 2), 100)
  const result = await verifyAll(chain)
  assert.equal(result.state, 'damaged')
  assert.deepEqual(
    result.history.map(({ sequence, code }) => [sequence, code]),
    [
      [2, 'E_SEAL_BROKEN'],
      [3, 'E_HISTORY_BROKEN'],
    ],
  )
  assert.deepEqual(
    result.points.map(({ sequence, state }) => [sequence, state]),
    [
      [1, 'intact'],
      [3, 'intact'],
      [4, 'intact'],
    ],
  )
  await assert.rejects(readPoint(chain.repository, chain.full.point.set, 2), { code: 'E_SEAL_BROKEN' })
})

test('two manifests that changed places are both named', async () => {
  const chain = await makeChain()
  await swap(chain.store, manifestOf(chain, 3), manifestOf(chain, 4))
  const result = await verifyAll(chain)
  assert.deepEqual(
    result.history.map(({ sequence, code }) => [sequence, code]),
    [
      [3, 'E_SEAL_BROKEN'],
      [4, 'E_SEAL_BROKEN'],
    ],
  )
})

test('a missing manifest breaks the history', async () => {
  const chain = await makeChain()
  await chain.store.delete(manifestOf(chain, 2))
  const result = await verifyPoints({ ...chain, points: [chain.differential.point], pool, clock: systemClock })
  assert.equal(result.state, 'damaged')
  assert.deepEqual(
    result.points.map(({ state }) => state),
    ['intact'],
  )
  assert.deepEqual(
    result.history.map(({ sequence, code, point }) => [sequence, code, point]),
    [
      [2, 'E_HISTORY_BROKEN', null],
      [3, 'E_HISTORY_BROKEN', pointId(chain.third.point)],
    ],
  )
})

test('a manifest that was replaced by another valid one breaks the history', async () => {
  const chain = await makeChain()
  const { repository, second } = chain
  const name = manifestOf(chain, 2)
  const manifest = { ...second.point.manifest, createdAt: '2020-01-01T00:00:00.000Z' }
  await chain.store.put(name, [encodeDocument(manifestType, name, manifest, repository.indexKeys, repository.nonce())])
  const result = await verifyAll(chain)
  assert.deepEqual(
    result.history.map(({ sequence, code }) => [sequence, code]),
    [
      [3, 'E_HISTORY_BROKEN'],
      [3, 'E_HISTORY_BROKEN'],
    ],
  )
})

test('where more is damaged than can be kept in mind, what points share is read again', async () => {
  const repository = await makeRepository()
  const count = damagedPlacesMax + 100
  const disk = (changed: number) => ({
    name: 'system',
    sizeBytes: count * blockBytes,
    blockBytes,
    read: (block: number) => Buffer.alloc(blockBytes, `${block < changed ? 'new' : 'old'} ${String(block)} `),
  })
  const full = await makePoint(repository, { disks: [disk(0)] })
  const second = await makePoint(repository, { disks: [disk(10)], base: full })
  for (const object of new Set(
    [...(await storedPoint(repository.repository, full)).records.values()].map((r) => r.object),
  ))
    await repository.store.delete(object)
  const result = await verifyPoints({ ...repository, points: [full, second], pool, clock: systemClock })
  assert.equal(result.damageTruncated, true)
  assert.deepEqual(
    result.points.map(({ damage, blocksChecked }) => [damage.blocks, blocksChecked]),
    [
      [count, 0],
      [count - 10, 10],
    ],
  )
})

test('more damage than a list holds is counted all the same', async () => {
  const repository = await makeRepository()
  const random = seededRandom('many')
  const bytes = Buffer.alloc(600 * blockBytes)
  for (let block = 0; block < 600; block += 1) bytes.set(random(100), block * blockBytes)
  const point = await makePoint(repository, { disks: [diskOf('system', bytes, blockBytes)] })
  const stored = await storedPoint(repository.repository, point)
  const objects = new Map<string, Buffer>()
  for (const [block, { object, offset }] of stored.records) {
    const pack = objects.get(object) ?? Buffer.from(await repository.store.get(object))
    if (block % 2 === 0) pack.writeUInt8(pack.readUInt8(offset + 50) ^ 1, offset + 50)
    objects.set(object, pack)
  }
  for (const [object, pack] of objects) await repository.store.put(object, [pack])
  const result = await verifyPoints({ ...repository, points: 'all', pool, clock: systemClock })
  assert.equal(result.points[0]?.damage.blocks, 300)
  assert.equal(result.points[0].damage.truncated, true)
  assert.equal(result.damage.length, 300)
  assert.equal(result.damageTruncated, false)
})
