import assert from 'node:assert/strict'
import { closeSync, fsyncSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { koffi } from './libc.ts'
import { dropCache } from './page-cache.ts'

const MiB = 1024 * 1024
const tmpfsMagic = 0x01021994
const read = 1
const shared = 1
const pageBytes = 4096

/** Pages of a file that are in the system's cache. */
function cachedPages(fd: number, bytes: number): number {
  const libc = koffi().load(null)
  const mmap = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)')
  const mincore = libc.func('int mincore(void *address, size_t length, _Out_ uint8_t *pages)')
  const munmap = libc.func('int munmap(void *address, size_t length)')
  const map: unknown = mmap(null, bytes, read, shared, fd, 0)
  const pages = new Uint8Array(Math.ceil(bytes / pageBytes))
  assert.equal(mincore(map, bytes, pages), 0)
  munmap(map, bytes)
  return pages.filter((page) => (page & 1) === 1).length
}

const skip =
  process.platform !== 'linux'
    ? 'the cache is looked at as Linux shows it'
    : statfsSync(tmpdir()).type === tmpfsMagic && 'a file of tmpfs lies nowhere but in the cache'

test('what was written back goes from the cache, and nothing is lost', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-cache-'))
  const fd = openSync(join(directory, 'file'), 'w+')
  t.after(() => {
    closeSync(fd)
    rmSync(directory, { recursive: true })
  })
  writeSync(fd, Buffer.alloc(8 * MiB, 1))
  fsyncSync(fd)
  assert.equal(cachedPages(fd, 8 * MiB), (8 * MiB) / pageBytes)
  await dropCache(fd)
  // Some pages may just be held by the system itself.
  assert.ok(cachedPages(fd, 8 * MiB) < MiB / pageBytes)
  // Nothing that is not on the disk yet is ever lost by it.
  writeSync(fd, Buffer.alloc(MiB, 2), 0, MiB, MiB)
  await dropCache(fd)
  const bytes = Buffer.alloc(3)
  readSync(fd, bytes, 0, 3, MiB)
  assert.deepEqual([...bytes], [2, 2, 2])
})
