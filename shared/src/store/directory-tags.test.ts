import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { openDirectoryStore } from './directory.ts'
import type { ObjectStore, TaggedObject } from './object-store.ts'

const options = { clock: systemClock, randomBytes: systemRandomBytes }

describe('tags in a directory', () => {
  let root: string
  let store: ObjectStore

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'strata-tags-'))
    store = await openDirectoryStore(root, options)
  })
  afterEach(async () => {
    await rm(root, { recursive: true })
  })

  const tagged = async (startAfter = ''): Promise<TaggedObject[]> =>
    await Array.fromAsync(store.listTagged?.('state', 'retired', { startAfter }) ?? [])
  const retire = async (name: string): Promise<void> => {
    await store.setTags(name, { state: 'retired' })
  }

  test('lie beside the objects, and go with the last of them', async () => {
    await store.put('a/b', [])
    await store.put('a/c', [])
    await retire('a/b')
    await retire('a/c')
    assert.deepEqual((await readdir(join(root, '~tags/a'))).toSorted(), ['b', 'c'])
    await store.setTags('a/b', {})
    assert.deepEqual(await readdir(join(root, '~tags/a')), ['c'])
    await store.delete('a/c')
    assert.deepEqual((await readdir(root)).toSorted(), ['a', '~writing'])
  })

  test('say when they were set', async () => {
    await store.put('a', [])
    await retire('a')
    await utimes(join(root, '~tags/a'), 1000, 1000)
    assert.deepEqual(await tagged(), [{ name: 'a', taggedMs: 1_000_000 }])
    await retire('a')
    const [again] = await tagged()
    assert.ok(again !== undefined && Math.abs(again.taggedMs - (await store.now())) < 60_000)
  })

  test('of an object that is gone are removed by whoever looks for them', async () => {
    for (const name of ['a/gone', 'b', 'c/gone/d']) {
      await store.put(name, [])
      await retire(name)
    }
    // As if who deleted them had died in the middle.
    await rm(join(root, 'a'), { recursive: true })
    await rm(join(root, 'c/gone/d'))
    assert.deepEqual(
      (await tagged()).map(({ name }) => name),
      ['b'],
    )
    assert.deepEqual(await readdir(join(root, '~tags')), ['b'])
  })

  test('of an object that was replaced are none of the new one', async () => {
    await store.put('a', [Uint8Array.of(1)])
    await retire('a')
    const note = await readFile(join(root, '~tags/a'))
    for (const content of [[Uint8Array.of(2)], [Uint8Array.of(1, 2)]]) {
      await store.put('a', content)
      // As if who replaced it had died before removing the tags of the old one.
      await store.put('b', [])
      await retire('b')
      await writeFile(join(root, '~tags/a'), note)
      await utimes(join(root, 'a'), 2000, 2000)
      assert.deepEqual(await store.tags('a'), {})
      assert.deepEqual(
        (await tagged()).map(({ name }) => name),
        ['b'],
      )
    }
  })

  test('outlive a copy of the store that keeps times', async () => {
    await store.put('a', [Uint8Array.of(1)])
    await retire('a')
    await rename(root, `${root}-moved`)
    root = `${root}-moved`
    store = await openDirectoryStore(root, options)
    assert.deepEqual(await store.tags('a'), { state: 'retired' })
  })

  test('that cannot be read are damaged, and not none', async () => {
    await store.put('a', [])
    await retire('a')
    for (const text of ['', '{', 'null', '{"tags":{"A":"b"},"sizeBytes":0,"modifiedMs":0}', '{"tags":{}}']) {
      await writeFile(join(root, '~tags/a'), text)
      await assert.rejects(store.tags('a'), { code: 'E_FORMAT_DAMAGED' })
      await assert.rejects(tagged(), { code: 'E_FORMAT_DAMAGED' })
    }
  })

  test('are not followed through a link', async () => {
    await store.put('a', [])
    const elsewhere = await mkdtemp(join(tmpdir(), 'strata-elsewhere-'))
    await writeFile(join(elsewhere, 'a'), 'not ours')
    await symlink(elsewhere, join(root, '~tags'))
    await assert.rejects(retire('a'), { code: 'E_STORE_LINK' })
    await assert.rejects(store.tags('a'), { code: 'E_STORE_LINK' })
    await assert.rejects(tagged(), { code: 'E_STORE_LINK' })
    await assert.rejects(store.delete('a'), { code: 'E_STORE_LINK' })
    assert.deepEqual(await readdir(elsewhere), ['a'])
    await rm(elsewhere, { recursive: true })
  })
})
