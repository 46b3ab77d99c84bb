import { fsyncSync, realpathSync } from 'node:fs'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { timestampCoarseStepMs, timestampStepMs } from '@strata/shared/limits.ts'
import { dropCache } from '@strata/shared/system/page-cache.ts'
import {
  devicesOn,
  instanceOf,
  loopFile,
  loopsOf,
  sectorCounts,
  sectorsCounted,
  writesUnderWay,
} from './block-device.ts'
import { factsOfOpen, factsOfPath, type ImageFileFacts } from './image-file.ts'
import { writableMounts } from './mounts.ts'
import { currentSizeBytes, type Source } from './source.ts'

/**
 * Notices that a source is written to while it is read. A point is one moment of the machine: what was read counts
 * only if nothing changed from before the first read until after the last.
 *
 * A store through a memory map moves the times of its file only where it makes a clean page dirty. So pages are made
 * clean, by writing them back, before a source is read: on every file system that lies on a disk. On tmpfs, which has
 * nowhere to write them, stores into a map that was dirty before are not seen.
 */
export interface SourceState {
  readonly sizeBytes: number
  /** Why what was read cannot be relied on, however often it is read again; null when it can be. */
  readonly lasting: string | null
  /** Not yet in `facts`, and perhaps in part in what was read. */
  readonly writesUnderWay: number
  /** What must stay the same, by name. */
  readonly facts: ReadonlyMap<string, string>
}

/**
 * The state of a source before it is read. Waits out the step of the file system's clock after a fresh write: another
 * write in the same step would leave the same time.
 */
export async function stateBeforeReading(source: Source, clock: Clock): Promise<SourceState> {
  // Of a loop device, this is itself a write to the file behind it.
  flush(source)
  const backing = fileBehind(source)
  if (backing !== null) {
    const waitMs = freshForMs(backing, clock.nowMs())
    if (waitMs > 0) await clock.sleep(waitMs)
  }
  const state = stateOf(source)
  // Again, for what became dirty meanwhile: the next store into it must move the times that were just taken.
  flush(source)
  // Only now: what came into the cache before this moment may have been written past it since. What somebody holds at
  // that moment the system keeps.
  if (isCached(source)) await dropCache(source.fd)
  return state
}

/** The state of a source now. */
export function stateOf(source: Source): SourceState {
  if (source.device !== null) flush(source)
  // Before the counts: what is done in between is in them.
  const underWay = source.device === null ? 0 : writesUnderWay(source.device)
  const facts = new Map<string, string>()
  const file = fileBehind(source)
  if (file !== null) {
    facts.set('the time of its last modification', String(file.modifiedNs))
    facts.set('the time of its last status change', String(file.statusChangedNs))
  }
  if (source.device !== null) {
    for (const count of sectorCounts) {
      const sectors = sectorsCounted(source.device, count)
      if (sectors === null) continue
      facts.set(`the number of its ${count} sectors`, String(sectors.device))
      facts.set(`the number of its disk's ${count} sectors`, String(sectors.wholeDiskDirectly))
    }
  }
  return {
    sizeBytes: currentSizeBytes(source),
    lasting: lastingTrouble(source, file),
    writesUnderWay: underWay,
    facts,
  }
}

function lastingTrouble(source: Source, file: ImageFileFacts | null): string | null {
  if (source.device === null && factsOfPath(source.path)?.file !== file?.file) return 'its path names another file now'
  if (isCached(source) && writablePlaces(source).length > 0) {
    return "it is mounted for writing and can be read only through the system's cache, which does not see what is written there"
  }
  return null
}

/** A device that is read through the system's cache of it. */
function isCached(source: Source): boolean {
  return source.device !== null && !source.direct
}

/**
 * What tells the view of a source from every other: while it is the same, nothing has changed since it was taken, also
 * from one run to the next. Null where that cannot be told.
 */
export function viewMark(source: Source, state: SourceState): string | null {
  if (state.lasting !== null || state.writesUnderWay > 0) return null
  const which = source.device === null ? factsOfOpen(source.fd).file : instanceOf(source.device)
  return which === null ? null : JSON.stringify([which, state.sizeBytes, ...state.facts])
}

/** What changed, in words; null when nothing did. */
export function changeBetween(before: SourceState, after: SourceState): string | null {
  const lasting = after.lasting ?? before.lasting
  if (lasting !== null) return lasting
  if (before.sizeBytes !== after.sizeBytes) {
    return `its size went from ${String(before.sizeBytes)} to ${String(after.sizeBytes)} bytes`
  }
  // Those under way before the first read are counted when they are done, and so seen.
  if (after.writesUnderWay > 0) return 'writes to it are under way'
  const changed = [...after.facts].filter(([name, value]) => before.facts.get(name) !== value).map(([name]) => name)
  return changed.length === 0 ? null : `${changed.join(' and ')} changed`
}

/** Says at once when a source can hardly stay unchanged, because a file system on it is mounted for writing. */
export function mountWarning(source: Source): Warning | null {
  const places = writablePlaces(source)
  if (places.length === 0) return null
  return {
    code: 'W_SOURCE_MOUNTED',
    message: `disk ${source.name} (${source.path}) is mounted for writing at ${places.join(', ')}: it may change while it is read`,
  }
}

/** Where file systems on the source, or on what is built on it, are mounted for writing. */
function writablePlaces(source: Source): string[] {
  const devices = new Set<string>()
  const roots = source.device === null ? loopsOf(realpathSync(source.path)) : [source.device]
  for (const root of roots) for (const device of devicesOn(root)) devices.add(device)
  const mounts = devices.size === 0 ? [] : writableMounts().filter((mount) => devices.has(mount.device))
  return [...new Set(mounts.map((mount) => mount.place))]
}

/** Facts of the image file, or of the file that a loop device stands for. */
function fileBehind(source: Source): ImageFileFacts | null {
  if (source.device === null) return factsOfOpen(source.fd)
  const path = loopFile(source.device)
  return path === null ? null : factsOfPath(path)
}

/** Writes back what lies in the system's cache of the source: what lies there of a device is not counted yet. */
function flush(source: Source): void {
  try {
    fsyncSync(source.fd)
  } catch (error) {
    const code = systemErrorCode(error) ?? 'unknown error'
    // What cannot be written to has nothing to flush.
    if (code === 'EINVAL' || code === 'EROFS') return
    throw new StrataError('E_SOURCE_UNREADABLE', `${source.path}: writing back its cache failed: ${code}`, {
      cause: error,
    })
  }
}

const nsPerMs = 1_000_000n
const nsPerSecond = 1_000_000_000n

function freshForMs(file: ImageFileFacts, nowMs: number): number {
  const latestNs = file.modifiedNs > file.statusChangedNs ? file.modifiedNs : file.statusChangedNs
  const stepMs = latestNs % nsPerSecond === 0n ? timestampCoarseStepMs : timestampStepMs
  const ageMs = nowMs - Number(latestNs / nsPerMs)
  // A stamp from the future comes from another clock; to wait for it would not help.
  return ageMs >= 0 && ageMs < stepMs ? stepMs - ageMs : 0
}
