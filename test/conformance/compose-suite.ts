import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { CopyRange, CopyRules, ObjectStore } from '@strata/shared/store/object-store.ts'
import { bytesOf, namesIn, rejects } from './store-helpers.ts'

const MiB = 1024 ** 2
const target = 'made/of/others'

export interface ComposeSuite {
  readonly open: () => Promise<{ store: ObjectStore; metrics: StoreMetrics }>
  /** What lies in the bucket without being an object yet, where there is such a thing. */
  readonly unfinished: () => Promise<readonly string[]>
}

/** What `compose` guarantees. */
export function describeCompose({ open, unfinished }: ComposeSuite): void {
  describe('compose', () => {
    test('writes the ranges in order, then the parts', async () => {
      const { store, metrics } = await open()
      const { ranges, bytes } = await putSources(store, 3)
      const parts = [bytesOf(1000), bytesOf(0), bytesOf(70_001)]
      const before = metrics.totals()
      await store.compose(target, ranges, parts)
      const { byKind } = metrics.totals()
      assert.ok(Buffer.concat([bytes, ...parts]).equals(await store.get(target)))
      assert.equal((await store.head(target))?.sizeBytes, bytes.byteLength + 71_001)
      assert.equal(byKind.copy.requests, ranges.length)
      assert.equal(byKind.put.bytesSent - before.byKind.put.bytesSent, 71_001)
      assert.deepEqual([byKind.copy.bytesSent, byKind.copy.bytesReceived, byKind.get.bytesReceived], [0, 0, 0])
    })

    test('needs neither ranges nor parts', async () => {
      const { store, metrics } = await open()
      const { ranges, bytes } = await putSources(store, 2)
      await store.compose(target, ranges, [])
      assert.ok(bytes.equals(await store.get(target)))
      const part = bytesOf(500)
      const before = metrics.totals().requests
      await store.compose(target, [], [part])
      assert.equal(metrics.totals().requests - before, 1)
      assert.deepEqual(await store.get(target), part)
      await store.compose(target, [], [])
      assert.equal((await store.head(target))?.sizeBytes, 0)
    })

    test('gives an object that needs its sources no longer', async () => {
      const { store } = await open()
      const { ranges, bytes } = await putSources(store, 2)
      const part = bytesOf(10)
      await store.compose(target, ranges, [part])
      for (const source of new Set(ranges.map((range) => range.source))) await store.delete(source)
      assert.deepEqual(await namesIn(store, ''), [target])
      assert.ok(Buffer.concat([bytes, part]).equals(await store.get(target)))
      const across = { offset: bytes.byteLength - 7, length: 15 }
      assert.ok(
        Buffer.concat([bytes, part])
          .subarray(across.offset, across.offset + 15)
          .equals(await store.get(target, across)),
      )
    })

    test('replaces what was there, also one of its own sources', async () => {
      const { store } = await open()
      await store.put(target, [bytesOf(5000)])
      const { ranges, bytes, sources } = await putSources(store, 2)
      await store.compose(target, ranges, [])
      assert.ok(bytes.equals(await store.get(target)))
      const [name] = sources
      assert.ok(name !== undefined)
      await store.compose(name, ranges, [])
      assert.ok(bytes.equals(await store.get(name)))
    })

    test('copies many large ranges to the byte', async () => {
      const { store } = await open()
      const source = bytesOf(40 * MiB + 17)
      await store.put('large/source', [source])
      const lengths = [5, 6, 20, 9, 5, 7, 13].map((size, index) => size * MiB + index * 4099)
      const ranges = lengths.map((length, index) => ({
        source: 'large/source',
        offset: ((index * 7_654_321) % (source.byteLength - length)) + 1,
        length,
      }))
      const part = bytesOf(3 * MiB + 1)
      await store.compose(target, ranges, [part])
      const expected = Buffer.concat([...ranges.map((range) => rangeOf(source, range)), part])
      assert.ok(expected.equals(await store.get(target)))
    })

    test('can be done many times at once', async () => {
      const { store } = await open()
      const { ranges, pieces } = await putSources(store, 2)
      const orders = Array.from({ length: 4 }, (_, shift) => pieces.map((_, index) => (index + shift) % pieces.length))
      const made = orders.map(async (order, index) => {
        const part = Buffer.from(`made ${String(index)}`)
        const chosen = order.flatMap((one) => ranges[one] ?? [])
        await store.compose(`made/${String(index)}`, chosen, [part])
        const expected = Buffer.concat([...order.flatMap((one) => pieces[one] ?? []), part])
        assert.ok(expected.equals(await store.get(`made/${String(index)}`)))
      })
      await Promise.all(made)
      assert.deepEqual(await unfinished(), [])
    })

    test('copies an object whole with one request, whatever its length, and without its tags', async () => {
      const { store, metrics } = await open()
      for (const content of [bytesOf(1), bytesOf(2 * MiB + 3)]) {
        await store.put('a/source', [content])
        await store.setTags('a/source', { state: 'retired' })
        const range = { source: 'a/source', offset: 0, length: content.byteLength, whole: true }
        const { byKind } = metrics.totals()
        // Over another object, and over a copy of the same one.
        for (let time = 0; time < 2; time += 1) await store.compose('a/copy', [range], [])
        const after = metrics.totals().byKind
        assert.equal(after.copy.requests - byKind.copy.requests, 2)
        assert.deepEqual([after.copy.bytesSent, after.get.bytesReceived], [0, byKind.get.bytesReceived])
        assert.deepEqual(await store.tags('a/copy'), {})
        await store.put('a/source', [bytesOf(10)])
        assert.deepEqual(await store.get('a/copy'), content)
        await store.delete('a/source')
        assert.deepEqual(await store.get('a/copy'), content)
        assert.equal((await store.head('a/copy'))?.sizeBytes, content.byteLength)
        await rejects(store.compose('a/other', [range], []), 'E_OBJECT_MISSING')
        await rejects(store.compose('a/copy', [range], []), 'E_OBJECT_MISSING')
        assert.deepEqual(await namesIn(store, ''), ['a/copy'])
        assert.deepEqual(await store.get('a/copy'), content)
      }
      assert.deepEqual(await unfinished(), [])
    })

    test('without one of its sources makes nothing, and changes nothing', async () => {
      const { store } = await open()
      const { ranges, sources } = await putSources(store, 1)
      const length = rulesOf(store).rangeBytesMin
      const old = bytesOf(99)
      await store.put('old', [old])
      for (const name of ['old', target]) {
        for (const source of ['gone', 'source', 'source/0/gone', 'gone/at/all']) {
          const missing = { source, offset: 0, length }
          await rejects(store.compose(name, [...ranges, missing], [bytesOf(10)]), 'E_OBJECT_MISSING')
          await rejects(store.compose(name, [missing, ...ranges], []), 'E_OBJECT_MISSING')
        }
      }
      assert.deepEqual(await namesIn(store, ''), ['old', ...sources])
      assert.deepEqual(await store.get('old'), old)
      assert.deepEqual(await unfinished(), [])
    })

    test('past the end of a source makes nothing, and changes nothing', async () => {
      const { store } = await open()
      const { ranges, sources, sizeBytes } = await putSources(store, 1)
      const [source = ''] = sources
      const min = rulesOf(store).rangeBytesMin
      const old = bytesOf(99)
      await store.put('old', [old])
      const past = [
        { source, offset: 0, length: sizeBytes + 1 },
        { source, offset: sizeBytes - min + 1, length: min },
        { source, offset: sizeBytes, length: min },
        { source, offset: 10 * sizeBytes, length: min },
        { source: 'old', offset: 0, length: Math.max(min, 100) },
      ]
      for (const name of ['old', target]) {
        for (const range of past) {
          await rejects(store.compose(name, [...ranges, range], [bytesOf(10)]), 'E_OBJECT_TRUNCATED')
          await rejects(store.compose(name, [range, ...ranges], []), 'E_OBJECT_TRUNCATED')
        }
      }
      assert.deepEqual(await namesIn(store, ''), ['old', ...sources])
      assert.deepEqual(await store.get('old'), old)
      assert.deepEqual(await unfinished(), [])
    })

    test('refuses, before any request, what breaks its rules', async () => {
      const { store, metrics } = await open()
      const { rangeBytesMin, rangeBytesMax, rangesMax } = rulesOf(store)
      const good = { source: 'source', offset: 0, length: rangeBytesMin }
      const bad: CopyRange[][] = [
        [good, { ...good, length: rangeBytesMin - 1 }],
        [{ ...good, length: rangeBytesMax + 1 }],
        [{ ...good, offset: -1 }],
        [{ ...good, offset: 0.5 }],
        [{ ...good, offset: Number.MAX_SAFE_INTEGER }],
        Array.from({ length: rangesMax + 1 }, () => good),
      ]
      for (const ranges of bad) await rejects(store.compose(target, ranges, []), 'E_BUG')
      for (const name of ['', 'A', '../a', 'a//b', '~writing/x']) {
        await rejects(store.compose(name, [good], []), 'E_OBJECT_NAME')
        await rejects(store.compose(target, [good, { ...good, source: name }], []), 'E_OBJECT_NAME')
      }
      assert.equal(metrics.totals().requests, 0)
    })
  })
}

interface Sources {
  readonly sources: readonly string[]
  /** Of each source. */
  readonly sizeBytes: number
  /** Two of each source, of odd offsets and lengths. */
  readonly ranges: readonly CopyRange[]
  /** What lies there, one by one and together. */
  readonly pieces: readonly Uint8Array[]
  readonly bytes: Buffer
}

async function putSources(store: ObjectStore, count: number): Promise<Sources> {
  const min = rulesOf(store).rangeBytesMin
  const sizeBytes = 2 * min + 100_003
  const sources = Array.from({ length: count }, (_, index) => `source/${String(index)}`)
  const ranges: CopyRange[] = []
  const pieces: Uint8Array[] = []
  for (const [index, source] of sources.entries()) {
    const content = bytesOf(sizeBytes)
    await store.put(source, [content])
    for (const range of [
      { source, offset: sizeBytes - min - 1 - index, length: min + 1 },
      { source, offset: 7 * index, length: min + 90_001 },
    ]) {
      ranges.push(range)
      pieces.push(rangeOf(content, range))
    }
  }
  return { sources, sizeBytes, ranges, pieces, bytes: Buffer.concat(pieces) }
}

function rulesOf(store: ObjectStore): CopyRules {
  assert.ok(store.copying !== undefined)
  return store.copying
}

function rangeOf(content: Uint8Array, { offset, length }: CopyRange): Uint8Array {
  return content.subarray(offset, offset + length)
}
