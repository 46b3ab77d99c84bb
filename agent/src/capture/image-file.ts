import { fstatSync, statSync, type BigIntStats } from 'node:fs'
import { systemErrorCode } from '@strata/shared/errors.ts'

/** What the file system tells of an image file. */
export interface ImageFileFacts {
  readonly sizeBytes: number
  /** Fewer than its size are allocated: there are holes, or the file system compresses. */
  readonly sparse: boolean
  readonly modifiedNs: bigint
  /** Also moves when the time of modification is set back. */
  readonly statusChangedNs: bigint
  /** Device and inode. */
  readonly file: string
}

const allocationUnitBytes = 512

export function factsOfOpen(fd: number): ImageFileFacts {
  return factsOf(fstatSync(fd, { bigint: true }))
}

/** Facts of the file that the path names now; null when there is none. */
export function factsOfPath(path: string): ImageFileFacts | null {
  try {
    return factsOf(statSync(path, { bigint: true }))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return null
    throw error
  }
}

function factsOf(stats: BigIntStats): ImageFileFacts {
  return {
    sizeBytes: Number(stats.size),
    sparse: stats.blocks * BigInt(allocationUnitBytes) < stats.size,
    modifiedNs: stats.mtimeNs,
    statusChangedNs: stats.ctimeNs,
    file: `${String(stats.dev)}:${String(stats.ino)}`,
  }
}
