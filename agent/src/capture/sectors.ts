import { directAlignmentBytes } from '@strata/shared/limits.ts'
import { alignedBuffer, readDirect } from './direct-read.ts'
import { readFully } from './read-fully.ts'

/** The bytes of a disk, for those who look for what is written where. */
export interface Sectors {
  readonly sizeBytes: number
  /** `length` bytes at `offset`, zeros past the end. */
  read(offset: number, length: number): Buffer
}

export function sectorsOf(fd: number, sizeBytes: number): Sectors {
  return {
    sizeBytes,
    read: (offset, length) => {
      const bytes = Buffer.alloc(length)
      readFully(fd, bytes, 0, length, offset)
      return bytes
    },
  }
}

/** The same for a descriptor of `openDirect`. */
export function directSectorsOf(fd: number, sizeBytes: number): Sectors {
  return {
    sizeBytes,
    read: (offset, length) => {
      const before = offset % directAlignmentBytes
      const bytes = alignedBuffer(Math.ceil((before + length) / directAlignmentBytes) * directAlignmentBytes)
      readDirect(fd, bytes, before + length, offset - before)
      return bytes.subarray(before, before + length)
    },
  }
}
