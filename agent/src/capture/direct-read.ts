import { closeSync, constants, openSync, readSync } from 'node:fs'
import { systemErrorCode } from '@strata/shared/errors.ts'
import { directAlignmentBytes } from '@strata/shared/limits.ts'
import { koffi } from '@strata/shared/system/libc.ts'

/**
 * Reads of a block device that pass the system's cache of it. What a file system writes that is mounted on the device
 * never goes through that cache, and the cache lives as long as anybody holds the device open: a read through it may
 * bring back what the backup before has read.
 *
 * The device takes whole sectors only, into memory that is aligned like them.
 */
export const directReadFlags = constants.O_RDONLY | constants.O_DIRECT

/** A descriptor for `readDirect`; null where the system or the device has no such reads. */
export function openDirect(path: string): number | null {
  if (process.platform !== 'linux') return null
  let fd: number | null = null
  try {
    fd = openSync(path, directReadFlags)
    readDirect(fd, alignedBuffer(directAlignmentBytes), 1, 0)
    return fd
  } catch (error) {
    if (fd !== null) closeSync(fd)
    if (['EINVAL', 'EOPNOTSUPP'].includes(systemErrorCode(error) ?? '')) return null
    throw error
  }
}

/** Zeros, in memory that `readDirect` can read into. */
export function alignedBuffer(bytes: number): Buffer<ArrayBuffer> {
  const buffer = Buffer.alloc(bytes + directAlignmentBytes)
  const past = Number(koffi().address(buffer) % BigInt(directAlignmentBytes))
  const start = past === 0 ? 0 : directAlignmentBytes - past
  return buffer.subarray(start, start + bytes)
}

/**
 * Reads `length` bytes at `position`, a multiple of the alignment, into an aligned buffer, which may receive more than
 * that. Says how many of them there were: fewer only at the end of the device.
 */
export function readDirect(fd: number, target: Buffer, length: number, position: number): number {
  // The system cuts a read at the end of the device, so the last one may ask for more than there is.
  const asked = Math.ceil(length / directAlignmentBytes) * directAlignmentBytes
  let done = 0
  while (done < length) {
    const count = readSync(fd, target, done, asked - done, position + done)
    if (count === 0) break
    done += count
  }
  return Math.min(done, length)
}
