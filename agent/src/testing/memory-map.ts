import { closeSync, openSync, statfsSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { koffi } from '@strata/shared/system/libc.ts'

const tmpfsMagic = 0x01021994

/** Why tests with memory maps are skipped in `directory`; false when they can be had. */
export function skipWithoutMemoryMaps(directory: string): string | false {
  if (process.platform !== 'linux') return 'memory maps are made as Linux makes them'
  return statfsSync(directory).type === tmpfsMagic
    ? 'on tmpfs, stores into a map do not move the times of a file'
    : false
}

const readWrite = 3
const shared = 1

/** Maps a file for the length of the test; the result stores `byte` into its first `count` bytes. */
export function memoryMap(t: TestContext, path: string, bytes: number): (byte: number, count: number) => void {
  const libc = koffi().load(null)
  const mmap = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)')
  const memset = libc.func('void *memset(void *target, int byte, size_t count)')
  const munmap = libc.func('int munmap(void *address, size_t length)')
  const fd = openSync(path, 'r+')
  const address: unknown = mmap(null, bytes, readWrite, shared, fd, 0)
  closeSync(fd)
  t.after(() => {
    munmap(address, bytes)
  })
  return (byte, count) => {
    memset(address, byte, count)
  }
}
