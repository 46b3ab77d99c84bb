import { copiedPackBytesMax, copyRangeBytesMax } from '../limits.ts'
import type { RequestCounts } from './price-of.ts'
import { requestKinds } from '../format/usage.ts'
import type { StoreRequestKind } from '../store/store-requests.ts'

/** Which requests it takes to make a point, by what a full or an increment stores. */
export interface Sizes {
  readonly bytes: number
  readonly objects: number
}

export type MutableCounts = Record<StoreRequestKind, number>

/**
 * Beside its packs and page packs: documents of the session, the manifest, the base's map. Measured; docs/operations.md,
 * "What a point costs".
 */
const requestsBesideObjects = { put: 3, list: 3, get: 12, head: 1, delete: 2 } as const

/** S3 begins, ends and completes an object that it copies together; Azure has one request less. */
const putsPerCopiedPack = 3

export function objectsOf(bytes: number, objectBytes: number): number {
  return Math.max(1, Math.ceil(bytes / objectBytes))
}

/** A commit reads the end of each pack. */
export function requestsOfBackup({ objects }: Sizes, isLocked: boolean): RequestCounts {
  const { put, get, ...others } = requestsBesideObjects
  return { ...others, put: put + objects, get: get + objects, lock: isLocked ? objects : 0 }
}

/** The full that a synthetic one copies, and from how many bytes on its packs are copied whole. */
export interface CopiedFull {
  readonly bytes: number
  readonly objectBytes: number
  readonly wholePackBytesMin: number
}

/**
 * Packs that are large enough are copied whole. Others are put together, to larger ones than endpoints send; and so many
 * objects say, in both cases, where the records lie. One object more has its pages.
 */
export function objectsOfSyntheticFull(full: CopiedFull): number {
  const { bytes, objectBytes } = full
  return (isCopiedWhole(full) ? objectsOf(bytes, objectBytes) : 0) + copiedPacks(bytes) + 1
}

/** Each pack is read by its end, and copied whole, or its records are one range unless it is too long for one. */
export function requestsOfSyntheticFull(full: CopiedFull, isLocked: boolean): RequestCounts {
  const { put, get, ...others } = requestsBesideObjects
  const sources = objectsOf(full.bytes, full.objectBytes)
  const packs = copiedPacks(full.bytes)
  return {
    ...others,
    put: put + (isCopiedWhole(full) ? 1 : putsPerCopiedPack) * packs + 1,
    copy: Math.max(packs, sources, Math.ceil(full.bytes / copyRangeBytesMax)),
    get: get + sources,
    lock: isLocked ? objectsOfSyntheticFull(full) : 0,
  }
}

function isCopiedWhole({ objectBytes, wholePackBytesMin }: CopiedFull): boolean {
  return objectBytes >= wholePackBytesMin
}

export function addRequests(to: MutableCounts, more: RequestCounts): void {
  for (const kind of requestKinds) to[kind] += more[kind] ?? 0
}

function copiedPacks(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / copiedPackBytesMax))
}
