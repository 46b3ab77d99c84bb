import { readSync } from 'node:fs'

/**
 * Reads `length` bytes at `position` into `target` and says how many there were: fewer only at the end of the source.
 * Positions are always given: file descriptors are shared, and so is the place where they stand.
 */
export function readFully(fd: number, target: Uint8Array, offset: number, length: number, position: number): number {
  let done = 0
  while (done < length) {
    const count = readSync(fd, target, offset + done, length - done, position + done)
    if (count === 0) break
    done += count
  }
  return done
}
