import assert from 'node:assert/strict'
import fsPromises, { mkdir, mkdtemp, open, readdir, readlink, realpath, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, beforeEach, describe, mock, test } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { withRetry } from './decorators/retry.ts'
import { openDirectoryStore } from './directory.ts'
import type { ObjectStore } from './object-store.ts'

/**
 * What a power cut could take is not seen by reading: so these tests watch the system calls, and their order. First the
 * bytes are synced, then they get their name, then their directory is synced, and every one above it that is not known to
 * be durable; only then may a put resolve.
 */
const options = { clock: systemClock, randomBytes: systemRandomBytes }
/** The tests see in /proc which file is synced. */
const skip = process.platform === 'linux' ? false : 'needs Linux'

describe('directory store, durably', { skip }, () => {
  let scratch: string
  let root: string
  let store: ObjectStore
  let calls: string[]
  /** Syncs that fail, by what they sync; each once. */
  let failing: string[]

  before(async () => {
    scratch = await realpath(await mkdtemp(join(tmpdir(), 'strata-durable-')))
    await watchCalls()
  })
  after(async () => {
    mock.restoreAll()
    syncBuiltinESMExports()
    await rm(scratch, { recursive: true })
  })
  beforeEach(async () => {
    root = await mkdtemp(join(scratch, 'store-'))
    store = await openDirectoryStore(root, options)
    calls = []
    failing = []
  })

  /** Random names are of no interest. */
  const shown = (path: string): string => relative(root, path).replace(/put-[0-9a-f]{32}/, 'new') || '.'

  async function watchCalls(): Promise<void> {
    const file = await open(scratch)
    const handle = Object.getPrototypeOf(file) as FileHandle
    await file.close()
    const sync: (this: FileHandle) => Promise<void> = Reflect.get(handle, 'sync')
    mock.method(handle, 'sync', async function watched(this: FileHandle) {
      const what = shown(await readlink(`/proc/self/fd/${String(this.fd)}`))
      const fails = failing.indexOf(what)
      calls.push(fails === -1 ? `sync ${what}` : `sync ${what} fails`)
      if (fails === -1) {
        await sync.call(this)
        return
      }
      failing.splice(fails, 1)
      throw Object.assign(new Error('not now'), { code: 'EAGAIN' })
    })
    for (const name of ['link', 'rename'] as const) {
      const original = fsPromises[name]
      mock.method(fsPromises, name, async (from: string, to: string) => {
        calls.push(`${name} ${shown(from)} ${shown(to)}`)
        await original(from, to)
      })
    }
    syncBuiltinESMExports()
  }

  const upwards = ['sync a/b', 'sync a', 'sync .']

  test('a put syncs the bytes, gives them their name, and syncs every directory above', async () => {
    await store.put('a/b/c', [Uint8Array.of(1)])
    assert.deepEqual(calls, ['sync ~writing/new', 'rename ~writing/new a/b/c', ...upwards])
    calls = []
    await store.put('a/b/d', [Uint8Array.of(1)], { ifAbsent: true })
    assert.deepEqual(calls, ['sync ~writing/new', 'link ~writing/new a/b/d', 'sync a/b'])
    calls = []
    await store.put('a/e/f', [Uint8Array.of(1)])
    assert.deepEqual(calls, ['sync ~writing/new', 'rename ~writing/new a/e/f', 'sync a/e', 'sync a'])
  })

  test('what is copied together is as durable as what is put', async () => {
    await store.put('source', [Uint8Array.of(1, 2, 3)])
    calls = []
    await store.compose('a/b/c', [{ source: 'source', offset: 1, length: 2 }], [Uint8Array.of(4)])
    assert.deepEqual(calls, ['sync ~writing/new', 'rename ~writing/new a/b/c', ...upwards])
  })

  test('tags are durable when they are set, and when there are none any more', async () => {
    await store.put('a/b', [Uint8Array.of(1)])
    calls = []
    await store.setTags('a/b', { state: 'retired' })
    assert.deepEqual(calls, [
      'sync ~writing/new',
      'rename ~writing/new ~tags/a/b',
      'sync ~tags/a',
      'sync ~tags',
      'sync .',
    ])
    await store.put('a/c', [Uint8Array.of(1)])
    await store.setTags('a/c', { state: 'retired' })
    calls = []
    await store.setTags('a/b', {})
    assert.deepEqual(calls, ['sync ~tags/a'])
  })

  test('a directory that was made anew is synced anew', async () => {
    await store.put('a/b/c', [Uint8Array.of(1)])
    for (const again of ['a/b', 'a']) {
      const other = await openDirectoryStore(root, options)
      await rm(join(root, again), { recursive: true })
      await mkdir(join(root, 'a/b'), { recursive: true })
      calls = []
      await store.put('a/b/c', [Uint8Array.of(1)])
      const expected = again === 'a' ? upwards : ['sync a/b', 'sync a']
      assert.deepEqual(calls.slice(2), expected)
      await other.put('a/b/c', [Uint8Array.of(1)])
      assert.deepEqual(calls.slice(-upwards.length), upwards)
    }
  })

  test('whoever is told that an object exists can rely on it: its writer may have died before it was durable', async () => {
    await store.put('a/b/c', [Uint8Array.of(1)])
    const others = [await openDirectoryStore(root, options), await openDirectoryStore(root, options)] as const
    calls = []
    await assert.rejects(others[0].put('a/b/c', [Uint8Array.of(2)], { ifAbsent: true }), { code: 'E_OBJECT_EXISTS' })
    assert.deepEqual(calls, ['sync ~writing/new', 'link ~writing/new a/b/c', ...upwards])
    calls = []
    assert.equal((await others[1].head('a/b/c'))?.sizeBytes, 1)
    assert.deepEqual(calls, upwards)
    calls = []
    assert.equal((await others[1].head('a/b/c'))?.sizeBytes, 1)
    assert.deepEqual(calls, ['sync a/b'])
  })

  test('a retry that finds its own object makes sure that it is durable', async () => {
    for (const ifAbsent of [false, true]) {
      failing = ['a']
      calls = []
      await withRetry(store, options).put('a/b/c', [Uint8Array.of(1)], { ifAbsent })
      assert.ok(calls.includes('sync a fails'))
      assert.deepEqual(calls.slice(-upwards.length), upwards)
      await store.delete('a/b/c')
    }
  })

  test('bytes that cannot be synced get no name', async () => {
    failing = ['~writing/new']
    await assert.rejects(store.put('a/b/c', [Uint8Array.of(1)]), { code: 'E_STORE_BUSY' })
    assert.deepEqual(calls, ['sync ~writing/new fails'])
  })

  test('a file that cannot be closed is gone', async (t) => {
    const { open: openFile } = fsPromises
    const opening = t.mock.method(fsPromises, 'open', async (...parameters: Parameters<typeof openFile>) => {
      const file = await openFile(...parameters)
      if (shown(String(parameters[0])) !== '~writing/new') return file
      const close = file.close.bind(file)
      file.close = async () => {
        await close()
        throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
      }
      return file
    })
    syncBuiltinESMExports()
    try {
      await assert.rejects(store.put('a', [Uint8Array.of(1)]), { code: 'E_STORE_FULL' })
    } finally {
      opening.mock.restore()
      syncBuiltinESMExports()
    }
    assert.deepEqual(await readdir(join(root, '~writing')), [])
    assert.equal(await store.head('a'), undefined)
  })

  test('a directory that is made for a store is synced into the one above it, also if it was there already', async () => {
    for (let round = 0; round < 2; round += 1) {
      calls = []
      await openDirectoryStore(join(root, 'x', 'y'), { ...options, create: true })
      assert.deepEqual(calls, round === 0 ? ['sync .', 'sync x'] : ['sync x'])
    }
  })
})
