import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { openDirectoryStore } from '@strata/shared/store/directory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { describeWith, rootRequirement } from '../servers/require-server.ts'
import { namesIn, rejects } from './store-helpers.ts'

/** A directory store on real file systems that are full, read-only or gone. Mounting needs root. */

const options = { clock: systemClock, randomBytes: systemRandomBytes }
const MiB = 1024 ** 2

describeWith(rootRequirement, 'directory store on a file system that', () => {
  let scratch: string
  const mounted: string[] = []

  const mount = async (name: string, ...args: string[]): Promise<string> => {
    const path = join(scratch, name)
    await mkdir(path, { recursive: true })
    run('mount', ...args, path)
    mounted.push(path)
    return path
  }
  const run = (program: string, ...args: string[]): void => {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`)
  }
  const open = async (path: string): Promise<ObjectStore> => await openDirectoryStore(path, options)

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'strata-mounts-'))
  })
  after(async () => {
    for (const path of mounted) run('umount', path)
    await rm(scratch, { recursive: true })
  })

  test('is full: says so, keeps what it has, leaves nothing half, and works again when there is room', async () => {
    const path = await mount('full', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs')
    const store = await open(path)
    await store.put('kept', [new Uint8Array(MiB).fill(7)])
    await rejects(store.put('too/large', [new Uint8Array(2 * MiB), new Uint8Array(2 * MiB)]), 'E_STORE_FULL')
    await rejects(store.put('kept', [new Uint8Array(4 * MiB)]), 'E_STORE_FULL')
    assert.deepEqual(await namesIn(store, ''), ['kept'])
    assert.deepEqual(await store.get('kept'), new Uint8Array(MiB).fill(7))
    assert.deepEqual(await readdir(join(path, '~writing')), [])
    await store.put('small', [new Uint8Array(MiB)], { ifAbsent: true })
    await store.delete('kept')
    await store.put('another', [new Uint8Array(2 * MiB)])
    assert.deepEqual(await namesIn(store, ''), ['another', 'small'])
  })

  test('is full: an object that is copied together is not left half either', async () => {
    const path = await mount('full-of-copies', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs')
    const store = await open(path)
    await store.put('source', [new Uint8Array(MiB).fill(7)])
    const ranges = [0, 1, 2, 3].map((offset) => ({ source: 'source', offset, length: MiB - 3 }))
    await rejects(store.compose('made', ranges, []), 'E_STORE_FULL')
    assert.deepEqual(await namesIn(store, ''), ['source'])
    assert.deepEqual(await readdir(join(path, '~writing')), [])
    await store.compose('made', ranges.slice(2), [])
    assert.equal((await store.head('made'))?.sizeBytes, 2 * (MiB - 3))
  })

  test('has another one in it: says that nothing is copied between the two', async () => {
    const path = join(scratch, 'two')
    await mount('two/inner', '-t', 'tmpfs', 'tmpfs')
    const store = await open(path)
    await store.put('outer', [new Uint8Array(MiB)])
    await writeFile(join(path, 'inner/source'), new Uint8Array(MiB))
    await rejects(store.compose('made', [{ source: 'inner/source', offset: 0, length: MiB }], []), 'E_STORE_NO_COPY')
    assert.deepEqual(await namesIn(store, ''), ['inner/source', 'outer'])
    assert.deepEqual(await readdir(join(path, '~writing')), [])
    await store.compose('made', [{ source: 'outer', offset: 0, length: MiB }], [])
  })

  test('has no file number left: full as well', async () => {
    const path = await mount('inodes', '-t', 'tmpfs', '-o', 'nr_inodes=6', 'tmpfs')
    const store = await open(path)
    await rejects(putMany(store, 6), 'E_STORE_FULL')
  })

  test('is mounted read-only: can be read, and says why it cannot be written', async () => {
    const source = join(scratch, 'source')
    await mkdir(source)
    await (await open(source)).put('a/object', [Uint8Array.of(1, 2, 3)])
    // Files left over in a store that cannot be cleaned must not keep it from being opened.
    await writeFile(join(source, '~writing', `put-${'0'.repeat(32)}`), 'x')
    const path = await mount('read-only', '--bind', '-o', 'ro', source)
    const store = await open(path)
    assert.deepEqual(await store.get('a/object'), Uint8Array.of(1, 2, 3))
    assert.deepEqual(await namesIn(store, ''), ['a/object'])
    await rejects(store.put('a/new', []), 'E_STORE_READ_ONLY')
    await rejects(store.put('new/new', [], { ifAbsent: true }), 'E_STORE_READ_ONLY')
    await rejects(store.delete('a/object'), 'E_STORE_READ_ONLY')
    await rejects(store.now(), 'E_STORE_READ_ONLY')
    await rejects(openDirectoryStore(join(path, 'below'), { ...options, create: true }), 'E_STORE_READ_ONLY')
  })

  test('disappears under it: says that the store is gone', async () => {
    const path = await mount('gone', '-t', 'tmpfs', 'tmpfs')
    await mkdir(join(path, 'store'))
    const store = await open(join(path, 'store'))
    await store.put('a', [])
    run('umount', path)
    mounted.splice(mounted.indexOf(path), 1)
    await rejects(store.get('a'), 'E_STORE_MISSING')
    await rejects(store.put('a', []), 'E_STORE_MISSING')
    await rejects(namesIn(store, ''), 'E_STORE_MISSING')
  })
})

async function putMany(store: ObjectStore, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await store.put(`object-${String(index)}`, [])
}
