import type { FileHandle } from 'node:fs/promises'
import { systemErrorCode } from '../errors.ts'
import { cachedBytesMax, copyCallBytesMax, fileBlockBytes } from '../limits.ts'
import { canCopyRanges, copyRange } from '../system/copy-range.ts'
import { beginWriteBack, dropCache } from '../system/page-cache.ts'
import { freeCopying, noCopyError } from './copy-rules.ts'
import { isSystemError } from './directory-errors.ts'
import { writeParts } from './directory-files.ts'
import type { WriteContent } from './directory-files.ts'
import type { DirectoryPlace, OpenObject } from './directory-place.ts'
import { byteCount, truncatedError } from './object-errors.ts'
import type { CopyRange, CopyRules } from './object-store.ts'

/**
 * Objects made of others in a directory: the system copies file to file. What was read and written so is large and needed
 * once, so it goes from the cache at once (docs/decisions/0014).
 */
export const directoryCopying: CopyRules | undefined = canCopyRanges
  ? { ...freeCopying, sharedBytes: fileBlockBytes }
  : undefined

/** One range is one request. */
export type AroundCopy = (source: string, copy: () => Promise<void>) => Promise<void>

/** What a new file is filled with: the ranges, then the parts. */
export function composedOf(
  place: DirectoryPlace,
  ranges: readonly CopyRange[],
  parts: readonly Uint8Array[],
  around: AroundCopy,
): WriteContent {
  return async (file) => {
    const target = new CopyTarget(file, place.description)
    for (const run of runsOf(ranges)) await copyRun(place, run, target, around)
    await writeParts(file, parts)
    return target.copiedBytes + byteCount(parts)
  }
}

/** Ranges of one source that follow each other: it is opened once for them. */
function runsOf(ranges: readonly CopyRange[]): CopyRange[][] {
  const runs: CopyRange[][] = []
  for (const range of ranges) {
    const run = runs.at(-1)
    if (run?.[0]?.source === range.source) run.push(range)
    else runs.push([range])
  }
  return runs
}

async function copyRun(
  place: DirectoryPlace,
  run: readonly CopyRange[],
  target: CopyTarget,
  around: AroundCopy,
): Promise<void> {
  let opened: OpenObject | undefined
  try {
    for (const range of run) {
      await around(range.source, async () => {
        opened ??= await place.openObject(range.source)
        await target.take(opened, range)
      })
    }
    if (opened !== undefined) await forget(opened, run)
  } finally {
    await opened?.file.close()
  }
}

async function forget({ file }: OpenObject, run: readonly CopyRange[]): Promise<void> {
  const bytes = run.reduce((sum, { length }) => sum + length, 0)
  if (bytes <= cachedBytesMax) return
  const from = Math.min(...run.map(({ offset }) => offset))
  const end = Math.max(...run.map(({ offset, length }) => offset + length))
  await dropCache(file.fd, from, end - from)
}

/** The file that the ranges go to, each behind the one before. */
class CopyTarget {
  copiedBytes = 0
  readonly #file: FileHandle
  readonly #where: string
  /** Before here, the system writes back already. */
  #begunBytes = 0

  constructor(file: FileHandle, where: string) {
    this.#file = file
    this.#where = where
  }

  async take({ file, sizeBytes }: OpenObject, range: CopyRange): Promise<void> {
    const { source, offset, length } = range
    if (offset + length > sizeBytes) throw truncatedError(this.#where, source, range, sizeBytes)
    // XFS and btrfs share whole blocks of files: so what comes before the first one is a call of its own.
    const headBytes =
      (offset - this.copiedBytes) % fileBlockBytes === 0 ? fileBlockBytes - (offset % fileBlockBytes) : 0
    for (let done = 0; done < length;) {
      const callBytesMax = done < headBytes ? headBytes - done : copyCallBytesMax
      const copied = await this.#copy(file, offset + done, Math.min(callBytesMax, length - done))
      if (copied === 0) throw truncatedError(this.#where, source, range)
      done += copied
      this.copiedBytes += copied
      await this.#writeBack()
    }
  }

  async #copy(from: FileHandle, offset: number, length: number): Promise<number> {
    try {
      return await copyRange(from.fd, offset, this.#file.fd, length)
    } catch (error) {
      // Between these two file systems, or on this one, or nowhere on this system.
      const cannot = isSystemError(error, 'EXDEV', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS')
      throw cannot ? noCopyError(this.#where, String(systemErrorCode(error))) : error
    }
  }

  async #writeBack(): Promise<void> {
    const bytes = this.copiedBytes - this.#begunBytes
    if (bytes < copyCallBytesMax) return
    await beginWriteBack(this.#file.fd, this.#begunBytes, bytes)
    this.#begunBytes = this.copiedBytes
  }
}
