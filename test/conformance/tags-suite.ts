import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { bytesOf, namesIn, rejects } from './store-helpers.ts'

/** What tags guarantee. */
export function describeTags(open: () => Promise<{ store: ObjectStore; metrics: StoreMetrics }>): void {
  describe('tags', () => {
    test('are those that were set last', async () => {
      const { store, metrics } = await open()
      await store.put('a/object', [bytesOf(10)])
      assert.deepEqual(await store.tags('a/object'), {})
      await store.setTags('a/object', { 'strata-state': 'retired', a: '1' })
      assert.deepEqual(await store.tags('a/object'), { 'strata-state': 'retired', a: '1' })
      await store.setTags('a/object', { 'strata-state': 'kept', b: '2' })
      assert.deepEqual(await store.tags('a/object'), { 'strata-state': 'kept', b: '2' })
      await store.setTags('a/object', {})
      assert.deepEqual(await store.tags('a/object'), {})
      await store.setTags('a/object', {})
      assert.deepEqual(metrics.totals().byKind.tag, { requests: 8, bytesSent: 0, bytesReceived: 0 })
    })

    test('are ten of the longest words', async () => {
      const { store } = await open()
      await store.put('object', [])
      const pairs = Array.from({ length: 10 }, (_, index) => [String(index).padEnd(64, '-x'), 'v'.repeat(64)] as const)
      const tags = Object.fromEntries(pairs)
      await store.setTags('object', tags)
      assert.deepEqual(await store.tags('object'), tags)
    })

    test('change nothing of the object, and are no objects', async () => {
      const { store } = await open()
      const bytes = bytesOf(1000)
      await store.put('a/b/object', [bytes])
      const before = await store.head('a/b/object')
      await store.setTags('a/b/object', { a: 'b' })
      assert.deepEqual(await store.head('a/b/object'), before)
      assert.deepEqual(await store.get('a/b/object'), bytes)
      assert.deepEqual(await namesIn(store, ''), ['a/b/object'])
      assert.deepEqual(await Array.fromAsync(store.listDirectories('')), ['a/'])
    })

    test('are lost with their object', async () => {
      const { store } = await open()
      const rangeBytes = store.copying?.rangeBytesMin ?? 1
      const content = bytesOf(rangeBytes)
      await store.put('source', [content])
      const replace: ((name: string) => Promise<void>)[] = [
        async (name) => {
          await store.put(name, [content])
        },
        async (name) => {
          await store.compose(name, [{ source: 'source', offset: 0, length: rangeBytes }], [])
        },
        async (name) => {
          await store.delete(name)
          await store.put(name, [content])
        },
        async (name) => {
          await store.delete(name)
          await store.put(name, [content], { ifAbsent: true })
        },
      ]
      for (const [index, work] of replace.entries()) {
        const name = `tagged/${String(index)}`
        await store.put(name, [content])
        await store.setTags(name, { a: 'b' })
        await work(name)
        assert.deepEqual(await store.tags(name), {}, String(index))
      }
    })

    test('stay when a put is refused', async () => {
      const { store } = await open()
      await store.put('object', [bytesOf(5)])
      await store.setTags('object', { a: 'b' })
      await rejects(store.put('object', [bytesOf(5)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      assert.deepEqual(await store.tags('object'), { a: 'b' })
    })

    test('need an object', async () => {
      const { store } = await open()
      await store.put('there/object', [])
      for (const name of ['missing', 'there', 'there/missing', 'there/object/missing']) {
        await rejects(store.setTags(name, { a: 'b' }), 'E_OBJECT_MISSING')
        await rejects(store.setTags(name, {}), 'E_OBJECT_MISSING')
        await rejects(store.tags(name), 'E_OBJECT_MISSING')
      }
      await store.setTags('there/object', { a: 'b' })
      await store.delete('there/object')
      await rejects(store.tags('there/object'), 'E_OBJECT_MISSING')
    })

    test('of any other form are refused before any request', async () => {
      const { store, metrics } = await open()
      const eleven = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`k${String(index)}`, 'v']))
      const bad = [{ A: 'b' }, { a: 'B' }, { a: '' }, { '': 'a' }, { a: 'x'.repeat(65) }, { 'a b': 'c' }, eleven]
      for (const tags of bad) await rejects(store.setTags('object', tags), 'E_BUG')
      for (const name of ['', 'A', '../a', '~tags/a']) {
        await rejects(store.setTags(name, { a: 'b' }), 'E_OBJECT_NAME')
        await rejects(store.tags(name), 'E_OBJECT_NAME')
      }
      assert.equal(metrics.totals().requests, 0)
    })

    test('are found where no rule of a bucket looks for them', async () => {
      const { store } = await open()
      if (store.listTagged === undefined) return
      const names = ['a-/q', 'a-b', 'a/b/c', 'a/b/d', 'a0', 'b']
      const beforeMs = await store.now()
      for (const name of [...names, 'other', 'none', 'gone', 'replaced']) await store.put(name, [])
      for (const name of [...names, 'gone', 'replaced']) await store.setTags(name, { state: 'retired', by: 'us' })
      await store.setTags('other', { state: 'kept' })
      await store.delete('gone')
      await store.put('replaced', [])
      const found = await Array.fromAsync(store.listTagged('state', 'retired'))
      assert.deepEqual(
        found.map(({ name }) => name),
        names,
      )
      for (const { taggedMs } of found) assert.ok(Math.abs(taggedMs - beforeMs) < 120_000)
      const later = await Array.fromAsync(store.listTagged('by', 'us', { startAfter: 'a/b/c' }))
      assert.deepEqual(
        later.map(({ name }) => name),
        ['a/b/d', 'a0', 'b'],
      )
      assert.deepEqual(await Array.fromAsync(store.listTagged('state', 'unknown')), [])
      // What is found may be deleted at once.
      for await (const { name } of store.listTagged('state', 'retired')) await store.delete(name)
      assert.deepEqual(await namesIn(store, ''), ['none', 'other', 'replaced'])
    })
  })
}
