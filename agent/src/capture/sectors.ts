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
