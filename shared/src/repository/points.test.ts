import assert from 'node:assert/strict'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { encodeDocument } from '../format/document.ts'
import { manifestDigest, manifestType, type Manifest } from '../format/manifest.ts'
import { manifestName } from '../format/names.ts'
import { voidType, type Void } from '../format/void.ts'
import { storeRequestsInFlightMax } from '../limits.ts'
import { openDirectoryStore } from '../store/directory.ts'
import { storeWith } from '../testing/store-with.ts'
import { makeTestRepository } from '../testing/test-repository.ts'
import { findPoint } from './find-point.ts'
import {
  baseOf,
  fullOf,
  isReadable,
  isUnreadable,
  isVoid,
  latestPoint,
  latestSequence,
  listPoints,
  readPoint,
  type Point,
} from './points.ts'
import { Repository } from './repository.ts'

const setName = 'machine'

function pointIdOf(sequence: number): string {
  return sequence.toString(16).padStart(2, '0').repeat(16)
}

async function publish(repository: Repository, sequence: number, base?: Point): Promise<Point> {
  const set = repository.setIdOf(setName)
  const manifest: Manifest = {
    strata: 'manifest',
    version: 1,
    point: pointIdOf(sequence),
    setName,
    chain: 'c'.repeat(32),
    sequence,
    kind: base === undefined ? 'full' : 'incremental',
    base: base === undefined ? null : baseOf(base),
    full: base === undefined ? null : (base.manifest.full ?? baseOf(base)),
    previous: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    capturedAt: '2026-01-01T00:00:00.000Z',
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    disks: [{ name: 'disk', sizeBytes: 1, blockBytes: 65_536, identity: {}, contentRoot: '0'.repeat(64) }],
    root: { session: pointIdOf(sequence), number: 0, attempt: '0'.repeat(16), offset: 0, length: 1 },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings: [],
  }
  const name = manifestName(repository.placeOf(set), sequence)
  const bytes = encodeDocument(manifestType, name, manifest, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
  return readPoint(repository, set, sequence)
}

function sessionOf(sequence: number): string {
  return `${String(sequence).padStart(16, '0')}${'f'.repeat(16)}`
}

async function publishVoid(repository: Repository, sequence: number): Promise<void> {
  const given: Void = {
    strata: 'void',
    version: 1,
    session: sessionOf(sequence),
    sequence,
    previous: null,
    createdAt: '2026-01-01T00:00:00.000Z',
  }
  const name = manifestName(repository.placeOf(repository.setIdOf(setName)), sequence)
  const bytes = encodeDocument(voidType, name, given, repository.indexKeys, repository.nonce())
  await repository.store.put(name, [bytes], { ifAbsent: true })
}

/** What a listing tells of each point: its number, or the code that says why it cannot be read. */
async function listed(repository: Repository): Promise<(number | string)[]> {
  const entries = await Array.fromAsync(listPoints(repository))
  return entries.map((entry) => (isUnreadable(entry) ? entry.error.code : entry.sequence))
}

test('a point is found by id, by the beginning of its id, and by its set', async () => {
  const { repository } = makeTestRepository()
  const full = await publish(repository, 1)
  const second = await publish(repository, 2, full)
  assert.deepEqual(await findPoint(repository, pointIdOf(1)), full)
  assert.deepEqual(await findPoint(repository, pointIdOf(2).slice(0, 6)), second)
  assert.deepEqual(await findPoint(repository, `latest:${setName}`), second)
  await assert.rejects(findPoint(repository, 'f'.repeat(32)), { code: 'E_POINT_UNKNOWN' })
  await assert.rejects(findPoint(repository, 'latest:another'), { code: 'E_SET_UNKNOWN' })
  await assert.rejects(findPoint(repository, 'no id'), { code: 'E_POINT_UNKNOWN' })
})

test('a point whose manifest cannot be read is not said to be missing', async () => {
  const { repository, store } = makeTestRepository()
  const full = await publish(repository, 1)
  await publish(repository, 2, full)
  const name = manifestName(repository.placeOf(repository.setIdOf(setName)), 2)
  const whole = await store.get(name)
  const changed = (at: number, value: number): Uint8Array => Uint8Array.from(whole).with(at, value)
  const damage = [
    [changed(whole.length - 1, (whole.at(-1) ?? 0) ^ 1), 'E_SEAL_BROKEN'],
    [changed(6, 2), 'E_FORMAT_NEWER'],
    [changed(0, 0), 'E_FORMAT_DAMAGED'],
  ] as const
  for (const [bytes, code] of damage) {
    await store.put(name, [bytes])
    await assert.rejects(findPoint(repository, pointIdOf(2)), (error) => {
      assert.ok(hasCode(error, code))
      assert.match(error.message, /1 cannot be read/)
      return true
    })
    // Others are in nobody's way.
    assert.deepEqual(await findPoint(repository, pointIdOf(1)), full)
  }
})

test('the full of a chain is one request away, however long the chain is', async () => {
  const { repository, requests } = makeTestRepository()
  const full = await publish(repository, 1)
  let last = full
  for (let sequence = 2; sequence <= 20; sequence += 1) last = await publish(repository, sequence, last)
  requests.length = 0
  assert.deepEqual(await fullOf(repository, last), full)
  assert.equal(requests.length, 1)
  assert.deepEqual(await fullOf(repository, full), full)
})

test('a full that was replaced is noticed', async () => {
  const { repository, store } = makeTestRepository()
  const full = await publish(repository, 1)
  const second = await publish(repository, 2, full)
  await store.delete(manifestName(repository.placeOf(full.set), 1))
  await publish(repository, 1)
  await assert.rejects(fullOf(repository, second), { code: 'E_HISTORY_BROKEN' })
})

test('the newest number of a set, from the beginning or from a number that is known', async () => {
  const { repository } = makeTestRepository()
  const set = repository.setIdOf(setName)
  assert.equal(await latestSequence(repository, set), 0)
  assert.equal(await latestPoint(repository, set), undefined)
  for (const sequence of [1, 2, 3]) await publish(repository, sequence)
  for (const after of [0, 1, 3]) assert.equal(await latestSequence(repository, set, after), 3)
  assert.equal((await latestPoint(repository, set))?.sequence, 3)
})

test('voids are listed, and are no points', async () => {
  const { repository, store } = makeTestRepository()
  const set = repository.setIdOf(setName)
  await publishVoid(repository, 1)
  assert.equal(await latestPoint(repository, set), undefined)
  assert.equal(await latestSequence(repository, set), 1)
  await assert.rejects(findPoint(repository, `latest:${setName}`), { code: 'E_SET_UNKNOWN' })
  const full = await publish(repository, 2)
  for (const sequence of [3, 4]) await publishVoid(repository, sequence)
  const entries = await Array.fromAsync(listPoints(repository))
  assert.deepEqual(
    entries.map((entry) => [entry.sequence, isVoid(entry), isReadable(entry), isUnreadable(entry)]),
    [
      [1, true, false, false],
      [2, false, true, false],
      [3, true, false, false],
      [4, true, false, false],
    ],
  )
  const [first] = entries
  assert.ok(first !== undefined && isVoid(first))
  assert.equal(first.digest, manifestDigest(await store.get(manifestName(repository.placeOf(set), 1))))
  assert.equal(first.void.session, sessionOf(1))
  assert.deepEqual(await latestPoint(repository, set), full)
  assert.deepEqual(await latestPoint(repository, set, 3), full)
  assert.deepEqual(await findPoint(repository, `latest:${setName}`), full)
  await assert.rejects(findPoint(repository, sessionOf(3)), { code: 'E_POINT_UNKNOWN' })
  await assert.rejects(readPoint(repository, set, 3), { code: 'E_FORMAT_KIND' })
})

test('the newest point behind a thousand voids is found with many requests at a time', async () => {
  const { repository, requests } = makeTestRepository()
  const full = await publish(repository, 1)
  for (let sequence = 2; sequence <= 1001; sequence += 1) await publishVoid(repository, sequence)
  let [inFlight, inFlightMost] = [0, 0]
  const store = storeWith(repository.store, {
    get: async (name, part) => {
      inFlight += 1
      inFlightMost = Math.max(inFlightMost, inFlight)
      await nextTurn()
      inFlight -= 1
      return await repository.store.get(name, part)
    },
  })
  requests.length = 0
  const seen = new Repository(store, repository.ingestKeys, systemRandomBytes)
  assert.deepEqual(await latestPoint(seen, full.set), full)
  assert.equal(requests.filter(({ kind }) => kind === 'get').length, 1001)
  assert.equal(inFlightMost, storeRequestsInFlightMax)
})

test('where the newest number is a point, nothing else is read', async () => {
  const { repository, requests } = makeTestRepository()
  const full = await publish(repository, 1)
  await publishVoid(repository, 2)
  const last = await publish(repository, 3, full)
  requests.length = 0
  assert.deepEqual(await latestPoint(repository, full.set, 3), last)
  assert.equal(requests.length, 1)
})

test('a number behind voids that cannot be read hides no point before it', async () => {
  const { repository, store } = makeTestRepository()
  const full = await publish(repository, 1)
  await publish(repository, 2, full)
  await publishVoid(repository, 3)
  const name = manifestName(repository.placeOf(full.set), 2)
  const whole = await store.get(name)
  await store.put(name, [whole.with(-1, (whole.at(-1) ?? 0) ^ 1)])
  await assert.rejects(latestPoint(repository, full.set), { code: 'E_SEAL_BROKEN' })
  await store.delete(name)
  await assert.rejects(latestPoint(repository, full.set), { code: 'E_OBJECT_MISSING' })
})

test('a void under the number of another is damaged', async () => {
  const { repository, store } = makeTestRepository()
  const set = repository.setIdOf(setName)
  const name = manifestName(repository.placeOf(set), 2)
  const given = { session: sessionOf(1), sequence: 1, previous: null, createdAt: '2026-01-01T00:00:00.000Z' }
  const document: Void = { strata: 'void', version: 1, ...given }
  await store.put(name, [encodeDocument(voidType, name, document, repository.indexKeys, repository.nonce())])
  assert.deepEqual(await listed(repository), ['E_FORMAT_DAMAGED'])
})

test('a manifest in an archive class is one unreadable point, and hides no other', async () => {
  const { repository, store } = makeTestRepository()
  for (const sequence of [1, 2, 3]) await publish(repository, sequence)
  const get = store.get.bind(store)
  const archived = manifestName(repository.placeOf(repository.setIdOf(setName)), 2)
  store.get = async (name, ...others) => {
    if (name === archived) throw new StrataError('E_OBJECT_ARCHIVED', name)
    return await get(name, ...others)
  }
  assert.deepEqual(await listed(repository), [1, 'E_OBJECT_ARCHIVED', 3])
})

test('a terabyte in the place of a manifest is one unreadable point, and costs no memory', async (t) => {
  const made = makeTestRepository()
  for (const sequence of [1, 2, 3]) await publish(made.repository, sequence)
  const directory = await mkdtemp(join(tmpdir(), 'strata-points-'))
  t.after(() => rm(directory, { recursive: true }))
  const store = await openDirectoryStore(directory, { clock: systemClock, randomBytes: systemRandomBytes })
  for await (const { name } of made.store.list('')) await store.put(name, [await made.store.get(name)])
  const repository = new Repository(store, made.repository.ingestKeys, systemRandomBytes)
  const large = manifestName(repository.placeOf(repository.setIdOf(setName)), 2)
  await truncate(join(directory, large), 3 * 1024 ** 4)
  assert.deepEqual(await listed(repository), [1, 'E_FORMAT_DAMAGED', 3])
})
