import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { zeroDigest } from '@strata/shared/format/digest.ts'
import { manifestDigest } from '@strata/shared/format/manifest.ts'
import { manifestName, pointsPrefix, sessionEndName, sessionName } from '@strata/shared/format/names.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import { testDigest } from '@strata/shared/testing/test-map.ts'
import { makeTestRepository, seededRandom, type TestRepository } from '@strata/shared/testing/test-repository.ts'
import { testDataKey, TestSession, testBlockBytes } from '../testing/test-session.ts'
import type { CommitResult } from './commit-session.ts'

const a = new Map([
  [2, 'two'],
  [9, 'nine'],
])

/** A session of one disk with two segments, ready to be committed. */
async function fullSession(test: TestRepository, number = 1, sequenceAtOpen = 0): Promise<TestSession> {
  const session = await new TestSession({ repository: test.repository, number, sequenceAtOpen }).open()
  await session.pack(0, [{ block: 2, content: 'two' }], { worker: `one of ${session.id}` })
  const rest = [
    { block: 3, content: 'zero' },
    { block: 9, content: 'nine' },
  ]
  await session.pack(1, rest, { worker: `another of ${session.id}` })
  await session.end(2, [a])
  return session
}

async function points(test: TestRepository, session: TestSession): Promise<string[]> {
  return (await Array.fromAsync(test.store.list(pointsPrefix(session.place)))).map(({ name }) => name)
}

async function pointOf(test: TestRepository, session: TestSession, { manifest }: CommitResult): Promise<Point> {
  return readPoint(test.repository, session.place.set, manifest.sequence)
}

async function assertReads(
  test: TestRepository,
  point: Point,
  disk: number,
  contents: ReadonlyMap<number, string>,
): Promise<void> {
  const map = await PointMap.open(test.repository, point)
  const [page] = await Array.fromAsync(map.pages(disk, [0]))
  assert.ok(page)
  for (let block = 0; block < page.entryCount; block += 1) {
    const content = contents.get(block)
    assert.ok(
      equalBytes(page.digest(block), content === undefined ? zeroDigest : testDigest(content)),
      `block ${String(block)}`,
    )
  }
}

test('a session becomes a point: manifest, map, statistics', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  const result = await session.commit()
  const { manifest } = result
  assert.deepEqual(
    [manifest.point, manifest.sequence, manifest.kind, manifest.base, manifest.previous, manifest.createdAt],
    [session.id, 1, 'full', null, null, '2026-01-01T00:00:00.000Z'],
  )
  assert.equal(manifest.disks[0]?.contentRoot, session.contentRoot(0, a))
  assert.equal(result.manifestDigest, manifestDigest(await test.store.get(manifestName(session.place, 1))))
  const stored = await Array.fromAsync(test.store.list(`tenants/${test.repository.tenant}/chains/`))
  assert.equal(
    manifest.statistics.storedBytes,
    stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  const point = await pointOf(test, session, result)
  assert.deepEqual(point.manifest, manifest)
  await assertReads(test, point, 0, a)
  assert.deepEqual(await keysOf(test, point), keysOfWorkers(session))
})

async function keysOf(test: TestRepository, point: Point): Promise<readonly WrappedDataKey[]> {
  return (await PointMap.open(test.repository, point)).root.keys
}

/** Those of `fullSession`. */
function keysOfWorkers({ id }: TestSession): WrappedDataKey[] {
  return [testDataKey(`one of ${id}`), testDataKey(`another of ${id}`)]
}

test('a point has the data keys of its base, and then those of its own packs', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const session = await new TestSession({ repository: test.repository, number: 2, base }).open()
  await session.pack(0, [{ block: 1, content: 'one' }], { worker: 'a third' })
  await session.pack(1, [{ block: 2, content: 'two' }], { worker: `another of ${full.id}` })
  await session.end(2, [new Map([...a, [1, 'one']])])
  const point = await pointOf(test, session, await session.commit())
  assert.deepEqual(await keysOf(test, point), [...keysOfWorkers(full), testDataKey('a third')])
})

test('a pack whose data key has the id of one of its base does not become part of a point', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const session = await new TestSession({ repository: test.repository, number: 2, base }).open()
  await session.pack(0, [{ block: 1, content: 'one' }], { worker: `one of ${full.id}`, wrap: 'another key' })
  await session.end(1, [new Map([...a, [1, 'one']])])
  await assert.rejects(session.commit(), { code: 'E_SEGMENTS_MISSING' })
  assert.equal((await points(test, session)).length, 1)
})

test('a manifest that was published is found again, and nothing more is written', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  const first = await session.commit()
  const later = await fullSession(test, 2, 1)
  await later.commit()
  const before = test.requests.length
  assert.deepEqual(await session.commit(), first)
  const kinds = test.requests.slice(before).map(({ kind }) => kind)
  assert.ok(!kinds.includes('put'))
  // Whoever published it may have died before it was durable: `head` answers for that (see ObjectStore).
  assert.ok(kinds.includes('head'))
  assert.equal((await points(test, session)).length, 2)
})

test('two commits of one session at the same time make one point', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  const [first, second] = await Promise.all([session.commit(), session.commit()])
  assert.deepEqual(first, second)
  assert.equal((await points(test, session)).length, 1)
})

test('an answer that was lost on its way does not make a second point', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  const name = manifestName(session.place, 1)
  const losing = withPut(test.store, async (put, wanted) => {
    await put()
    // As the retry decorator does after a lost answer: the same put once more.
    if (wanted === name) await put()
  })
  const result = await session.commit(new Repository(losing, test.repository.ingestKeys, seededRandom('other')))
  assert.equal(result.manifest.sequence, 1)
  assert.deepEqual(await points(test, session), [name])
  assert.deepEqual((await pointOf(test, session, result)).digest, result.manifestDigest)
})

test('a number that another session takes in the last moment is passed over', async () => {
  const test = makeTestRepository()
  const slow = await fullSession(test, 1)
  const quick = await fullSession(test, 2)
  let overtaken = false
  const racing = withPut(test.store, async (put, name) => {
    if (name === manifestName(slow.place, 1) && !overtaken) {
      overtaken = true
      await quick.commit()
    }
    await put()
  })
  const { manifest } = await slow.commit(new Repository(racing, test.repository.ingestKeys, seededRandom('other')))
  const first = await readPoint(test.repository, slow.place.set, 1)
  assert.equal(first.manifest.point, quick.id)
  assert.deepEqual([manifest.sequence, manifest.previous, manifest.point], [2, first.digest, slow.id])
})

test('two sessions on one base make two points, each of its own and neither a mixture', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const ofBase = { repository: test.repository, base }
  const one = await new TestSession({ ...ofBase, number: 2 }).open()
  const other = await new TestSession({ ...ofBase, number: 3 }).open()
  await one.pack(0, [{ block: 2, content: 'changed by one' }])
  await other.pack(0, [{ block: 9, content: 'changed by other' }])
  const afterOne = new Map([...a, [2, 'changed by one']])
  const afterOther = new Map([...a, [9, 'changed by other']])
  await one.end(1, [afterOne])
  await other.end(1, [afterOther])
  const results = await Promise.all([one.commit(), other.commit()])
  const made = await Promise.all([pointOf(test, one, results[0]), pointOf(test, other, results[1])])
  await assertReads(test, made[0], 0, afterOne)
  await assertReads(test, made[1], 0, afterOther)
  assert.deepEqual(made.map(({ sequence }) => sequence).sort(), [2, 3])
  const [second, third] = made.toSorted((x, y) => x.sequence - y.sequence)
  assert.equal(second?.manifest.previous, base.digest)
  assert.equal(third?.manifest.previous, second.digest)
  for (const { manifest } of made) assert.equal(manifest.base?.manifestDigest, base.digest)
})

test('a session in which nothing changed shares the root of its base', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const session = await new TestSession({ repository: test.repository, number: 2, base }).open()
  await session.end(0, [a])
  const { manifest } = await session.commit()
  assert.deepEqual(manifest.root, base.manifest.root)
  assert.equal(manifest.statistics.storedBytes, 0)
  assert.equal(manifest.sequence, 2)
})

test('a disk that grew within its chain keeps its blocks', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const session = await new TestSession({ repository: test.repository, number: 2, base, diskBlocks: [2000] }).open()
  const grown = new Map([...a, [9, 'nine at its new length'], [1999, 'the end']])
  await session.pack(0, [
    { block: 9, content: 'nine at its new length' },
    { block: 1999, content: 'the end' },
  ])
  await session.end(1, [grown])
  const result = await session.commit()
  assert.equal(result.manifest.disks[0]?.sizeBytes, 2000 * testBlockBytes - 1)
  await assertReads(test, await pointOf(test, session, result), 0, grown)
})

// ── nothing visible that should not be ─────────────────────────────────────────────────────────────────────────────

async function assertRefused(test: TestRepository, session: TestSession, code: string): Promise<void> {
  await assert.rejects(session.commit(), { code })
  assert.deepEqual(await points(test, session), [], 'a point is visible that should not be')
}

test('a map that is not what the agent read is not published', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  await session.end(2, [new Map([...a, [5, 'lost on the way']])])
  await assertRefused(test, session, 'E_CONTENT_ROOT')
  await session.end(2, [a])
  assert.equal((await session.commit()).manifest.sequence, 1)
})

test('fewer or more content roots than disks are not published', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  await session.end(2, [a, a])
  await assertRefused(test, session, 'E_CONTENT_ROOT')
})

test('missing segments are counted and named', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test)
  await session.end(5, [a])
  await assert.rejects(session.commit(), (error) => {
    assert.ok(hasCode(error, 'E_SEGMENTS_MISSING'))
    assert.match(error.message, /3 of 5 segments .* 2, 3, 4/)
    assert.deepEqual(error.details, { segments: [2, 3, 4] })
    return true
  })
  assert.deepEqual(await points(test, session), [])
})

test('a session without one of its documents is unknown', async () => {
  for (const nameOf of [sessionName, sessionEndName]) {
    const test = makeTestRepository()
    const session = await fullSession(test)
    await test.store.delete(nameOf(session.place, session.id))
    await assertRefused(test, session, 'E_SESSION_UNKNOWN')
  }
})

test('documents of another session in the place of its own do not open', async () => {
  const test = makeTestRepository()
  const session = await fullSession(test, 1)
  const other = await fullSession(test, 2)
  const foreign = await test.store.get(sessionEndName(other.place, other.id))
  await test.store.put(sessionEndName(session.place, session.id), [foreign])
  await assertRefused(test, session, 'E_SEAL_BROKEN')
})

test('a base that was replaced is noticed', async () => {
  const test = makeTestRepository()
  const full = await fullSession(test, 1)
  const base = await pointOf(test, full, await full.commit())
  const session = await new TestSession({ repository: test.repository, number: 2, base }).open()
  await session.end(0, [a])
  const impostor = await fullSession(test, 3)
  await test.store.delete(manifestName(full.place, 1))
  await impostor.commit()
  await assert.rejects(session.commit(), { code: 'E_HISTORY_BROKEN' })
  assert.equal((await points(test, session)).length, 1)
})

test('warnings of both documents come together, each once', async () => {
  const test = makeTestRepository()
  const grew = { code: 'W_DISK_GREW', message: 'it grew' }
  const session = await new TestSession({ repository: test.repository, number: 1, warnings: [grew] }).open()
  await session.end(0, [new Map()], { warnings: [grew, { code: 'W_OTHER', message: 'it grew' }] })
  const { manifest } = await session.commit()
  assert.deepEqual(manifest.warnings, [grew, { code: 'W_OTHER', message: 'it grew' }])
})

/** A store whose puts go through `onPut`. */
function withPut(store: ObjectStore, onPut: (put: () => Promise<void>, name: string) => Promise<void>): ObjectStore {
  return storeWith(store, { put: (name, parts, options) => onPut(() => store.put(name, parts, options), name) })
}
