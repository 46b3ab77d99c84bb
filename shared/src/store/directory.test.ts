import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { temporaryFileLifeMs } from '../limits.ts'
import { openDirectoryStore } from './directory.ts'
import type { ObjectStore } from './object-store.ts'

/** What only a store of files can meet. Full and read-only disks: test/conformance/directory-faults.test.ts. */

const options = { clock: systemClock, randomBytes: systemRandomBytes }
const writing = '~writing'

describe('directory store', () => {
  let scratch: string
  let root: string
  let store: ObjectStore

  before(async () => {
    scratch = await realpath(await mkdtemp(join(tmpdir(), 'strata-directory-')))
  })
  after(async () => {
    await rm(scratch, { recursive: true })
  })
  beforeEach(async () => {
    root = await mkdtemp(join(scratch, 'store-'))
    store = await openDirectoryStore(root, options)
  })

  const names = async (): Promise<string[]> => {
    const found: string[] = []
    for await (const info of store.list('')) found.push(info.name)
    return found
  }

  test("objects are files with the objects' names", async () => {
    await store.put('a/b/c', [Buffer.from('hello '), Buffer.from('world')])
    assert.equal(await readFile(join(root, 'a/b/c'), 'utf8'), 'hello world')
    assert.deepEqual(await readdir(join(root, writing)), [])
  })

  test('a directory that is not there is created only when asked for', async () => {
    const path = join(scratch, 'not', 'yet')
    await assert.rejects(openDirectoryStore(path, options), { code: 'E_STORE_MISSING' })
    const created = await openDirectoryStore(path, { ...options, create: true })
    await created.put('a', [])
    await openDirectoryStore(path, { ...options, create: true })
    assert.equal((await created.head('a'))?.sizeBytes, 0)
  })

  test('a file is no store', async () => {
    const path = join(scratch, 'file')
    await writeFile(path, '')
    for (const create of [false, true]) {
      await assert.rejects(openDirectoryStore(path, { ...options, create }), { code: 'E_STORE_MISSING' })
      await assert.rejects(openDirectoryStore(join(path, 'below'), { ...options, create }), { code: 'E_STORE_MISSING' })
    }
  })

  test('the top directory itself may be a link', async () => {
    await symlink(root, join(scratch, 'link-to-store'))
    const linked = await openDirectoryStore(join(scratch, 'link-to-store'), options)
    await linked.put('a/b', [Uint8Array.of(1)], { ifAbsent: true })
    assert.deepEqual(await names(), ['a/b'])
  })

  test('a link inside leads no name out of the store', async () => {
    const outside = await mkdtemp(join(scratch, 'outside-'))
    await writeFile(join(outside, 'secret'), 'outside')
    await mkdir(join(outside, 'deep'))
    await symlink(outside, join(root, 'dir'))
    await symlink(join(outside, 'secret'), join(root, 'file'))
    await symlink(join(outside, 'nowhere'), join(root, 'dangling'))
    const link = { code: 'E_STORE_LINK' }
    for (const name of ['dir/secret', 'dir/new', 'dir/deep/new', 'dir/new/new']) {
      await assert.rejects(store.put(name, [Uint8Array.of(1)]), link)
      await assert.rejects(store.put(name, [Uint8Array.of(1)], { ifAbsent: true }), link)
    }
    for (const name of ['dir/secret', 'dir/deep/x']) await assert.rejects(store.delete(name), link)
    await assert.rejects(store.get('dir/secret'), link)
    await assert.rejects(store.get('file'), link)
    await assert.rejects(store.get('dangling'), link)
    await assert.rejects(store.head('dir/secret'), link)
    await assert.rejects(store.head('file'), link)
    await assert.rejects(names(), link)
    assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'outside')
    assert.deepEqual((await readdir(outside)).sort(), ['deep', 'secret'])
    assert.deepEqual(await readdir(join(outside, 'deep')), [])

    // A put replaces the link itself, and a delete removes it; what it names stays.
    await store.put('file', [Buffer.from('inside')])
    assert.ok((await lstat(join(root, 'file'))).isFile())
    await store.delete('dangling')
    assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'outside')
    await assert.rejects(store.put('dir', [], { ifAbsent: true }), { code: 'E_OBJECT_EXISTS' })
  })

  test('the directory for unfinished files must not be a link either', async () => {
    const outside = await mkdtemp(join(scratch, 'outside-'))
    await rm(join(root, writing), { recursive: true, force: true })
    await symlink(outside, join(root, writing))
    await assert.rejects(store.put('a', [Uint8Array.of(1)]), { code: 'E_STORE_LINK' })
    assert.deepEqual(await readdir(outside), [])
  })

  test('no object is the directory of another', async () => {
    await store.put('a/b', [])
    for (const ifAbsent of [false, true]) {
      await assert.rejects(store.put('a', [], { ifAbsent }), { code: 'E_OBJECT_NAME' })
      await assert.rejects(store.put('a/b/c', [], { ifAbsent }), { code: 'E_OBJECT_NAME' })
      await assert.rejects(store.put('a/b/c/d', [], { ifAbsent }), { code: 'E_OBJECT_NAME' })
    }
    await store.delete('a')
    assert.deepEqual(await names(), ['a/b'])
    assert.deepEqual(await readdir(join(root, writing)), [])
  })

  test('what others have put there is not listed and does no harm', async () => {
    await store.put('a/object', [])
    await writeFile(join(root, 'README.txt'), '')
    await writeFile(join(root, '.DS_Store'), '')
    await mkdir(join(root, 'lost+found'))
    await writeFile(join(root, 'a', 'with space'), '')
    const pipe = spawn('mkfifo', [join(root, 'a', 'pipe')])
    await once(pipe, 'exit')
    assert.deepEqual(await names(), ['a/object'])
    // Opening a pipe to read it would wait for a writer.
    await assert.rejects(store.get('a/pipe'), { code: 'E_OBJECT_MISSING' })
    assert.equal(await store.head('a/pipe'), undefined)
  })

  test('a file that was cut off is noticed', async () => {
    await store.put('a', [new Uint8Array(1000)])
    await truncate(join(root, 'a'), 600)
    await assert.rejects(store.get('a', { offset: 500, length: 101 }), { code: 'E_OBJECT_TRUNCATED' })
    assert.equal((await store.get('a', { offset: 500, length: 100 })).byteLength, 100)
  })

  test('a file that is longer than it can be costs no memory', async () => {
    await store.put('a', [Uint8Array.of(1)])
    await truncate(join(root, 'a'), 3 * 1024 ** 4)
    await assert.rejects(store.get('a', { bytesMax: 4096 }), { code: 'E_FORMAT_DAMAGED' })
  })

  test('left-over files of dead writers go after a day, everything else stays', async () => {
    await store.put('object', [])
    const old = new Date(systemClock.nowMs() - temporaryFileLifeMs - 60_000)
    const young = new Date(systemClock.nowMs() - temporaryFileLifeMs + 600_000)
    const place = join(root, writing)
    const hex = '0123456789abcdef'.repeat(2)
    for (const [name, time] of [
      [`put-${hex}`, old],
      [`clock-${hex}`, old],
      [`put-${hex.replace('0', 'f')}`, young],
      ['somebody.txt', old],
    ] as const) {
      await writeFile(join(place, name), 'x')
      await utimes(join(place, name), time, time)
    }
    const again = await openDirectoryStore(root, options)
    assert.deepEqual((await readdir(place)).sort(), [`put-${hex.replace('0', 'f')}`, 'somebody.txt'])
    assert.equal((await again.head('object'))?.sizeBytes, 0)
    assert.deepEqual(await names(), ['object'])
  })

  test('a writer killed in the middle leaves no object and disturbs no other', async () => {
    const child = writer(`
      for (;;) await store.put('killed', [new Uint8Array(64 * 1024 * 1024).fill(1)], { ifAbsent: true }).catch((error) => {
        if (error.code !== 'E_OBJECT_EXISTS') throw error
      })`)
    const place = join(root, writing)
    // Killed at different moments: as soon as it has begun, and a little into its work.
    const unfinished = async (): Promise<string[]> => await readdir(place).catch(() => [])
    while ((await unfinished()).length === 0) assert.equal(child.exitCode, null)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const info = await store.head('killed')
    if (info !== undefined) assert.equal(info.sizeBytes, 64 * 1024 * 1024)
    assert.deepEqual(await names(), info === undefined ? [] : ['killed'])
    await store.put('killed', [Uint8Array.of(2)])
    assert.deepEqual(await store.get('killed'), Uint8Array.of(2))
  })

  test('create-if-absent has one winner also among processes', async () => {
    const count = 50
    const contest = `
      let won = 0
      for (let index = 0; index < ${String(count)}; index += 1) {
        await store.put('race/' + index, [Buffer.from(String(process.pid))], { ifAbsent: true }).then(
          () => (won += 1),
          (error) => { if (error.code !== 'E_OBJECT_EXISTS') throw error },
        )
      }
      process.stdout.write(String(won))`
    const wins = await Promise.all([1, 2, 3].map(async () => Number(await outputOf(writer(contest)))))
    assert.equal(
      wins.reduce((sum, won) => sum + won, 0),
      count,
    )
    assert.equal((await names()).length, count)
  })

  test('what this user may not do is denied, or read-only where it is a matter of writing', async () => {
    await store.put('a/object', [Uint8Array.of(1)])
    await chmod(join(root, 'a'), 0o555)
    await chmod(join(root, writing), 0o555)
    await asOrdinaryUser(async () => {
      assert.deepEqual(await store.get('a/object'), Uint8Array.of(1))
      await assert.rejects(store.put('a/new', []), { code: 'E_STORE_READ_ONLY' })
      await assert.rejects(store.put('new', []), { code: 'E_STORE_READ_ONLY' })
      await assert.rejects(store.delete('a/object'), { code: 'E_STORE_READ_ONLY' })
    })
    await chmod(join(root, 'a'), 0)
    await asOrdinaryUser(async () => {
      await assert.rejects(store.get('a/object'), { code: 'E_STORE_DENIED' })
      await assert.rejects(names(), { code: 'E_STORE_DENIED' })
    })
    await chmod(join(root, 'a'), 0o700)
    await chmod(join(root, writing), 0o700)
  })

  /** Permissions do not bind root. */
  async function asOrdinaryUser(work: () => Promise<void>): Promise<void> {
    if (process.geteuid?.() !== 0) {
      await work()
      return
    }
    const nobody = 65_534
    await chmod(scratch, 0o711)
    await chmod(root, 0o755)
    process.seteuid?.(nobody)
    try {
      await work()
    } finally {
      process.seteuid?.(0)
    }
  }

  /** A process that has the same store open. */
  function writer(body: string): ReturnType<typeof spawn> {
    const from = (file: string): string => JSON.stringify(pathToFileURL(join(import.meta.dirname, file)).href)
    const program = `
      import { openDirectoryStore } from ${from('directory.ts')}
      import { systemClock, systemRandomBytes } from ${from('../clock.ts')}
      const options = { clock: systemClock, randomBytes: systemRandomBytes }
      const store = await openDirectoryStore(${JSON.stringify(root)}, options)
      ${body}`
    return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  }
})

async function outputOf(child: ReturnType<typeof spawn>): Promise<string> {
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [status] = (await once(child, 'close')) as [number | null]
  assert.equal(status, 0)
  return output
}
