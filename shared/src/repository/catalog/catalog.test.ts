import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { catalogName, manifestName } from '../../format/names.ts'
import { encodeDocument } from '../../format/document.ts'
import { manifestDigest, manifestType, type Manifest } from '../../format/manifest.ts'
import { voidType } from '../../format/void.ts'
import { catalogGroups } from '../../limits.ts'
import { makeTestRepository, type TestRepository } from '../../testing/test-repository.ts'
import { asId, type SetId } from '../../types.ts'
import { listPoints, type PointEntry } from '../points.ts'
import type { Repository } from '../repository.ts'
import { coverOf, firstOfGroup, lastOfGroup } from './cover.ts'
import { listCatalogued } from './read-catalog.ts'
import { rebuildCatalog } from './rebuild-catalog.ts'
import { writeSegmentsEndingAt } from './write-catalog.ts'

const sets = ['a', 'b'].map((digit) => asId<SetId>(digit.repeat(32)))
const [first = asId<SetId>(''), second = asId<SetId>('')] = sets

/** Manifests, and a void for every 37th number; nobody looks into what they name. */
async function addNumbers(repository: Repository, set: SetId, from: number, to: number): Promise<void> {
  for (let sequence = from; sequence <= to; sequence += 1) {
    const name = manifestName(repository.placeOf(set), sequence)
    const createdAt = new Date(Date.UTC(2026, 0, 1) + sequence * 3600_000).toISOString()
    const head = { sequence, previous: null, createdAt }
    const nonce = repository.nonce()
    const bytes =
      sequence % 37 === 0
        ? encodeDocument(
            voidType,
            name,
            { strata: 'void', version: 1, session: idOf(sequence), ...head },
            repository.indexKeys,
            nonce,
          )
        : encodeDocument(manifestType, name, manifestOf(head), repository.indexKeys, nonce)
    await repository.store.put(name, [bytes])
  }
}

function idOf(sequence: number): string {
  return manifestDigest(Buffer.from(String(sequence))).slice(0, 32)
}

function manifestOf(
  head: Pick<Manifest, 'sequence' | 'previous' | 'createdAt'>,
  warnings: Manifest['warnings'] = [],
): Manifest {
  return {
    strata: 'manifest',
    version: 1,
    point: idOf(head.sequence),
    setName: 'machine',
    chain: 'c'.repeat(32),
    kind: 'full',
    base: null,
    full: null,
    capturedAt: head.createdAt,
    consistency: 'unchanged',
    machine: { hostName: 'host', system: 'system', architecture: 'x64' },
    disks: [{ name: 'disk', sizeBytes: 1, blockBytes: 65_536, identity: {}, contentRoot: '0'.repeat(64) }],
    root: { session: '1'.repeat(32), number: 0, attempt: '0'.repeat(16), offset: 0, length: 1 },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings,
    ...head,
  }
}

async function all(entries: AsyncIterable<PointEntry>): Promise<PointEntry[]> {
  return await Array.fromAsync(entries)
}

/** What the catalogue gives is what the manifests say. */
async function assertSame({ repository }: TestRepository): Promise<void> {
  assert.deepEqual(await all(listCatalogued(repository)), await all(listPoints(repository)))
  for (const set of sets)
    assert.deepEqual(await all(listCatalogued(repository, set)), await all(listPoints(repository, set)))
}

test('the catalogue tells the same as the manifests, for few requests', async () => {
  const made = makeTestRepository()
  const { repository, requests } = made
  await addNumbers(repository, first, 1, 600)
  await addNumbers(repository, second, 1, 40)
  await assertSame(made)
  const rebuilt = await rebuildCatalog(repository)
  assert.deepEqual(rebuilt, { sets: 2, numbers: 640, written: 37 + 2 + 2 })
  await assertSame(made)
  requests.length = 0
  await all(listCatalogued(repository))
  // Of the first set two of 256 and five of 16 numbers and eight manifests, of the second two of 16 and eight.
  const count = (kind: string): number => requests.filter((request) => request.kind === kind).length
  assert.deepEqual([count('get'), count('list')], [2 + 5 + 8 + 2 + 8, 2])
  assert.deepEqual(await rebuildCatalog(repository), { ...rebuilt, written: 0 })
})

test('whoever makes a number that ends a group writes its segments, from those below', async () => {
  const made = makeTestRepository()
  const { repository, store, requests } = made
  const [size = 0, largeSize = 0] = catalogGroups
  for (let last = size; last <= largeSize; last += size) {
    await addNumbers(repository, first, last - size + 1, last)
    requests.length = 0
    assert.equal(await writeSegmentsEndingAt(repository, first, last), last === largeSize ? 2 : 1)
    assert.ok(requests.length <= size + 2 + size, String(requests.length))
  }
  assert.equal(await writeSegmentsEndingAt(repository, first, largeSize - 1), 0)
  assert.ok((await store.head(catalogName(repository.placeOf(first), 1, largeSize))) !== undefined)
  await assertSame(made)
})

test('a segment that is damaged, gone or of another place is made up for by the manifests', async () => {
  const made = makeTestRepository()
  const { repository, store } = made
  await addNumbers(repository, first, 1, 300)
  await rebuildCatalog(repository)
  const place = repository.placeOf(first)
  const large = catalogName(place, 1, 256)
  const small = catalogName(place, 0, 272)
  const bytes = await store.get(large)
  for (const broken of [
    bytes.subarray(0, 100),
    await store.get(small),
    bytes.map((byte, at) => (at === 90 ? byte ^ 1 : byte)),
  ]) {
    await store.put(large, [broken])
    await assertSame(made)
  }
  await store.delete(large)
  await assertSame(made)
})

test('what a segment says of a number that is not there does not count', async () => {
  const made = makeTestRepository()
  const { repository, store } = made
  await addNumbers(repository, first, 1, 32)
  await rebuildCatalog(repository)
  for (const gone of [1, 7, 16, 20]) await store.delete(manifestName(repository.placeOf(first), gone))
  await assertSame(made)
  assert.equal((await all(listCatalogued(repository))).length, 28)
})

test('a number that cannot be read keeps its group out, and one that is too large is read by itself', async () => {
  const made = makeTestRepository()
  const { repository, store } = made
  await addNumbers(repository, first, 1, 32)
  const name = manifestName(repository.placeOf(first), 5)
  await store.put(name, [Buffer.from('no manifest')])
  const message = 'w'.repeat(1900)
  const warnings = Array.from({ length: 60 }, (_, index) => ({ code: `W_${String(index)}`, message }))
  const large = manifestName(repository.placeOf(first), 20)
  const head = { sequence: 20, previous: null, createdAt: '2026-01-01T00:00:00.000Z' }
  await store.put(large, [
    encodeDocument(manifestType, large, manifestOf(head, warnings), repository.indexKeys, repository.nonce()),
  ])
  assert.deepEqual((await rebuildCatalog(repository)).written, 1)
  await assertSame(made)
})

test('property: portions hold every number once, in order, and none that their segment does not have', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 1200 })), fc.func(fc.boolean()), (any, has) => {
      const numbers = any.sort((a, b) => a - b)
      const portions = [...coverOf(numbers, has)]
      const told = portions.flatMap((portion) => (portion.kind === 'number' ? [portion.number] : portion.numbers))
      assert.deepEqual(told, numbers)
      for (const portion of portions) {
        if (portion.kind === 'number') continue
        const { level, last } = portion
        assert.ok(has(level, last))
        for (const number of portion.numbers) {
          assert.equal(lastOfGroup(level, number), last)
          assert.ok(number >= firstOfGroup(level, last))
        }
      }
    }),
  )
})
