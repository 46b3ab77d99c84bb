import { stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { StrataError, systemErrorCode } from '../errors.ts'
import { segmentBytesMax, segmentBytesSmall, segmentsInFlightMax } from '../limits.ts'
import { createRunDirectory, type RunDirectory } from './run-directory.ts'

/**
 * Where segments lie between agent and worker on one machine: memory (tmpfs), never a disk, since they are plain there.
 * Only this user can enter. docs/decisions/0005-local-hand-over.md.
 */
export interface HandOver extends RunDirectory {
  /** Block bytes that a segment may have here. */
  readonly segmentBytes: number
  /** Bytes of all segments that may lie here at the same time. */
  readonly bytesMax: number
}

const sharedMemory = '/dev/shm'

export async function createHandOver(wanted: string | undefined): Promise<HandOver> {
  const parent = wanted ?? ((await isDirectory(sharedMemory)) ? sharedMemory : tmpdir())
  const { bavail, bsize } = await using(parent, statfs(parent))
  const segmentBytes = fittingSegmentBytes(bavail * bsize)
  if (segmentBytes < segmentBytesSmall) {
    const needed = segmentBytesSmall * segmentsInFlightMax * headroom
    throw new StrataError(
      'E_HANDOVER_SPACE',
      `${parent} has ${String(bavail * bsize)} bytes free, and segments on their way need ${String(needed)}`,
    )
  }
  const bytesMax = Math.floor((bavail * bsize) / headroom)
  return { ...(await using(parent, createRunDirectory(parent))), segmentBytes, bytesMax }
}

async function using<Result>(parent: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error)
    throw new StrataError('E_HANDOVER_SPACE', `the hand-over directory ${parent} cannot be used: ${reason}`, {
      cause: error,
    })
  }
}

/** Half of the space stays free: for others, and for a second backup at the same time. */
const headroom = 2

function fittingSegmentBytes(freeBytes: number): number {
  const fair = Math.floor(freeBytes / segmentsInFlightMax / headroom / segmentBytesSmall) * segmentBytesSmall
  return Math.min(segmentBytesMax, fair)
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
