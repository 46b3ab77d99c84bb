import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packName, type PackReference } from '../format/names.ts'
import type { Place } from '../format/page.ts'
import { pageEntriesMax } from '../limits.ts'
import { recordChange, testChain, testSession, writeTestPoint, type TestPoint } from '../testing/test-map.ts'
import { makeTestRepository, type TestRepository } from '../testing/test-repository.ts'
import { PointMap } from './point-map.ts'
import type { Point } from './points.ts'
import { openRepository, Repository } from './repository.ts'

const blockBytes = 65_536
const sizeBytes = 3 * pageEntriesMax * blockBytes
const everyPage = [0, 1, 2]

/** Two points of one disk: the second changes one block of page 0 and one of page 2. */
async function twoPoints(): Promise<{ test: TestRepository; first: TestPoint; second: TestPoint }> {
  const test = makeTestRepository()
  const change = (number: number, page: number): ReturnType<typeof recordChange> =>
    recordChange(page * pageEntriesMax + 5, `point ${String(number)}`, testSession(number))
  const changesOfFirst = everyPage.map((page) => change(1, page))
  const first = await writeTestPoint(test.repository, 1, null, [{ sizeBytes, blockBytes, changes: changesOfFirst }])
  const second = await writeTestPoint(test.repository, 2, first.map, [
    { sizeBytes, blockBytes, changes: [change(2, 0), change(2, 2)] },
  ])
  return { test, first, second }
}

function nameOf(test: TestRepository, pack: PackReference): string {
  return packName(testChain(test.repository), 'map', pack)
}

async function replace(test: TestRepository, place: Place, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const name = nameOf(test, place.pack)
  const bytes = await test.store.get(name)
  const changed = change(bytes.subarray(place.offset, place.offset + place.length))
  bytes.set(changed, place.offset)
  await test.store.put(name, [bytes])
}

async function readPages(test: TestRepository, point: Point): Promise<number> {
  const map = await PointMap.open(test.repository, point)
  return (await Array.fromAsync(map.pages(0, everyPage))).length
}

async function placeOfPage(map: PointMap, number: number): Promise<Place> {
  const place = (await map.node(0, 0)).place(number)
  assert.ok(place)
  return place
}

test('point 365 of a chain costs what point 1 costs, to open and to read a page of: nothing walks the chain', async () => {
  const test = makeTestRepository()
  const full = everyPage.map((page) => recordChange(page * pageEntriesMax + 5, 'full', testSession(1)))
  const first = await writeTestPoint(test.repository, 1, null, [{ sizeBytes, blockBytes, changes: full }])
  let last = first
  for (let number = 2; number <= 365; number += 1) {
    // Now in one page, now in another, as a machine does that is in use.
    const block = (number % everyPage.length) * pageEntriesMax + 5
    const changes = [recordChange(block, `point ${String(number)}`, testSession(number))]
    last = await writeTestPoint(test.repository, number, last.map, [{ sizeBytes, blockBytes, changes }])
  }
  const cost = async ({ point }: TestPoint): Promise<{ requests: number; bytes: number }> => {
    const before = test.requests.length
    const map = await PointMap.open(test.repository, point)
    await Array.fromAsync(map.pages(0, [1]))
    const requests = test.requests.slice(before)
    return { requests: requests.length, bytes: requests.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0) }
  }
  assert.equal((await cost(first)).requests, 3)
  const [atFirst, atLast] = [await cost(first), await cost(last)]
  assert.equal(atLast.requests, atFirst.requests)
  // The last point's node refers to one more session for each page.
  assert.ok(atLast.bytes <= atFirst.bytes + 1000, `${String(atLast.bytes)} and ${String(atFirst.bytes)} bytes`)
})

test('a map is opened with one request, and neighbouring pages are read with one more', async () => {
  const { test, second } = await twoPoints()
  const before = test.requests.length
  const map = await PointMap.open(test.repository, second.point)
  assert.equal(test.requests.length - before, 1)
  assert.equal((await Array.fromAsync(map.pages(0, everyPage))).length, 3)
  // One for the node, one for pages 0 and 2 in the pack of the second session, one for page 1 in that of the first.
  assert.equal(test.requests.length - before, 4)
  await Array.fromAsync(map.pages(0, [1]))
  assert.equal(test.requests.length - before, 5, 'the node is kept')
})

test('pages of zeros cost no request', async () => {
  const test = makeTestRepository()
  const { point } = await writeTestPoint(test.repository, 1, null, [{ sizeBytes, blockBytes, changes: [] }])
  const map = await PointMap.open(test.repository, point)
  const before = test.requests.length
  const pages = await Array.fromAsync(map.pages(0, everyPage))
  assert.equal(test.requests.length, before)
  assert.deepEqual(
    pages.map(({ entryCount, number }) => [number, entryCount]),
    everyPage.map((page) => [page, pageEntriesMax]),
  )
})

test('a flipped bit in the root, a node or a page is found when it is read, and not before', async () => {
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === 60 ? byte ^ 1 : byte))
  const broken = { code: 'E_SEAL_BROKEN' }
  for (const level of ['root', 'node', 'page'] as const) {
    const { test, second } = await twoPoints()
    const places = {
      root: second.written.root,
      node: second.map.disk(0).nodes.place(0),
      page: await placeOfPage(second.map, 2),
    }
    const place = places[level]
    assert.ok(place)
    await replace(test, place, flip)
    await assert.rejects(readPages(test, second.point), broken, level)
    if (level === 'root') continue
    const map = await PointMap.open(test.repository, second.point)
    if (level === 'page') assert.equal((await Array.fromAsync(map.pages(0, [0, 1]))).length, 2)
  }
})

test("an older page in a newer one's place opens, and its digest gives it away", async () => {
  const { first, second } = await twoPoints()
  const node = await second.map.node(0, 0)
  node.setStored(2, node.digest(2), await placeOfPage(first.map, 2))
  await assert.rejects(Array.fromAsync(second.map.pages(0, [2])), { code: 'E_DIGEST_MISMATCH' })
})

test("an older node in a newer one's place opens, and its digest gives it away", async () => {
  const { first, second } = await twoPoints()
  const older = first.map.disk(0).nodes.place(0)
  assert.ok(older)
  const { nodes } = second.map.disk(0)
  nodes.setStored(0, nodes.digest(0), older)
  await assert.rejects(Array.fromAsync(second.map.pages(0, [1])), { code: 'E_DIGEST_MISMATCH' })
})

test('pages that change places do not open', async () => {
  const { second } = await twoPoints()
  const node = await second.map.node(0, 0)
  const zero = await placeOfPage(second.map, 0)
  const two = await placeOfPage(second.map, 2)
  node.setStored(0, node.digest(0), two)
  node.setStored(2, node.digest(2), zero)
  await assert.rejects(Array.fromAsync(second.map.pages(0, [0])), { code: 'E_SEAL_BROKEN' })
})

test('a page pack that is gone or cut is named as such', async () => {
  const { test, first, second } = await twoPoints()
  const { pack } = await placeOfPage(first.map, 1)
  const name = nameOf(test, pack)
  const whole = await test.store.get(name)
  await test.store.put(name, [whole.subarray(0, 100)])
  await assert.rejects(readPages(test, second.point), { code: 'E_OBJECT_TRUNCATED', message: new RegExp(name) })
  await test.store.delete(name)
  await assert.rejects(readPages(test, second.point), { code: 'E_OBJECT_MISSING', message: new RegExp(name) })
  await assert.rejects(PointMap.open(test.repository, first.point), { code: 'E_OBJECT_MISSING' })
})

test("a root that is not the manifest's is refused, member by member", async () => {
  const { test, first, second } = await twoPoints()
  const mismatch = { code: 'E_DIGEST_MISMATCH' }
  const { manifest } = second.point
  const [disk] = manifest.disks
  assert.ok(disk)
  const withDisks = (disks: typeof manifest.disks): Point => ({ ...second.point, manifest: { ...manifest, disks } })
  const refused: readonly Point[] = [
    withDisks([]),
    withDisks([disk, disk]),
    withDisks([{ ...disk, sizeBytes: disk.sizeBytes - 1 }]),
    withDisks([{ ...disk, blockBytes: 2 * blockBytes }]),
    withDisks([{ ...disk, contentRoot: 'ab'.repeat(32) }]),
    { ...second.point, manifest: { ...manifest, root: first.point.manifest.root } },
  ]
  for (const point of refused) await assert.rejects(PointMap.open(test.repository, point), mismatch)
})

test('a root is bound to its chain and to the session that wrote it', async () => {
  const { test, first, second } = await twoPoints()
  const { manifest } = second.point
  const elsewhere = { ...manifest.root, session: first.point.manifest.root.session }
  const own = await test.store.get(nameOf(test, second.written.root.pack))
  await test.store.put(nameOf(test, { ...second.written.root.pack, session: testSession(1) }), [own])
  const moved: Point = { ...second.point, manifest: { ...manifest, root: elsewhere } }
  await assert.rejects(PointMap.open(test.repository, moved), { code: 'E_SEAL_BROKEN' })
})

test('keys of another repository are foreign before anything is opened', async () => {
  const { test } = await twoPoints()
  const document = {
    strata: 'repository',
    version: 1,
    repository: 'f'.repeat(32),
    writeVersion: 1,
    createdAt: '2026-01-01T00:00:00.000Z',
  }
  await assert.rejects(
    openRepository(test.store, test.repository.ingestKeys, () => new Uint8Array(0)),
    {
      code: 'E_REPOSITORY_MISSING',
    },
  )
  await test.store.put('repository', [Buffer.from(JSON.stringify(document))])
  await assert.rejects(
    openRepository(test.store, test.repository.ingestKeys, () => new Uint8Array(0)),
    {
      code: 'E_KEY_FOREIGN',
    },
  )
  const own = { ...document, repository: test.repository.ingestKeys.repositoryId }
  await test.store.put('repository', [Buffer.from(JSON.stringify(own))])
  const opened = await openRepository(test.store, test.repository.ingestKeys, () => new Uint8Array(0))
  assert.ok(opened instanceof Repository)
})
