import { constants } from 'node:fs'
import { mkdir, open, rmdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isSystemError } from './directory-errors.ts'
import { byteCount } from './object-errors.ts'

/** Small file-system steps of the directory store. They throw the system's errors; the store gives them their codes. */

/** The kernel takes at most this many pieces in one write (IOV_MAX). */
const piecesPerWriteMax = 1024

/** Zero where a system has no such flag. */
function openFlag(name: 'O_NOFOLLOW' | 'O_NONBLOCK'): number {
  return (constants as Readonly<Record<string, number | undefined>>)[name] ?? 0
}

/** Never through a link, and without waiting for the other end when somebody has put a pipe there. */
export const readFlags = constants.O_RDONLY | openFlag('O_NOFOLLOW') | openFlag('O_NONBLOCK')

/** Writes what a new file holds, from its start. @returns how many bytes */
export type WriteContent = (file: FileHandle) => Promise<number>

export function contentOf(parts: readonly Uint8Array[]): WriteContent {
  return async (file) => {
    await writeParts(file, parts)
    return byteCount(parts)
  }
}

/** Writes the parts one after the other, however few bytes the system takes at a time. */
export async function writeParts(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  let pending = parts.filter((part) => part.byteLength > 0)
  while (pending.length > 0) {
    const { bytesWritten } = await file.writev(pending.slice(0, piecesPerWriteMax))
    pending = withoutFirst(pending, bytesWritten)
  }
}

function withoutFirst(parts: readonly Uint8Array[], byteCount: number): Uint8Array[] {
  let left = byteCount
  for (const [index, part] of parts.entries()) {
    if (part.byteLength > left) return [part.subarray(left), ...parts.slice(index + 1)]
    left -= part.byteLength
  }
  return []
}

/** Reads up to `length` bytes at `offset`; fewer only where the file ends. */
export async function readUpTo(file: FileHandle, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return new Uint8Array(bytes.buffer, 0, filled)
}

/** Makes what was created, linked, renamed or removed in a directory survive a crash. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } catch (error) {
    // Some network and FUSE file systems cannot do it at all; there is no other way to ask them.
    if (!isSystemError(error, 'EINVAL', 'ENOTSUP', 'ENOSYS')) throw error
  } finally {
    await directory.close()
  }
}

/**
 * Creates `path` and what is missing above it, and makes it durable. (Node's own recursive mkdir says ENOENT where a
 * file system is read-only.)
 */
export async function makeDirectoriesDurably(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) {
      await syncAbove(path)
      return
    }
    if (!isSystemError(error, 'ENOENT') || dirname(path) === path) throw error
    await makeDirectoriesDurably(dirname(path))
    await makeDirectory(path)
  }
  await syncDirectory(dirname(path))
}

/** For what is there already: whoever made it may have died before it was durable. One that we may not read is none of ours. */
async function syncAbove(path: string): Promise<void> {
  try {
    await syncDirectory(dirname(path))
  } catch (error) {
    if (!isSystemError(error, 'EACCES', 'EPERM')) throw error
  }
}

/** Creates one directory if it is not there. Its parent must exist. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error
  }
}

/** Removes an empty directory; false when it stays, because it is in use or we may not. */
export async function removeEmptyDirectory(path: string): Promise<boolean> {
  try {
    await rmdir(path)
    return true
  } catch (error) {
    if (isSystemError(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR', 'EBUSY', 'EACCES', 'EPERM')) return false
    throw error
  }
}
