import assert from 'node:assert/strict'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { encodeDocument } from '../format/document.ts'
import { manifestType, type Manifest } from '../format/manifest.ts'
import { manifestName } from '../format/names.ts'
import { openDirectoryStore } from '../store/directory.ts'
import { makeTestRepository } from '../testing/test-repository.ts'
import {
  baseOf,
  findPoint,
  fullOf,
  isUnreadable,
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
