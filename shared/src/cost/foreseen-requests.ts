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

/** Packs of a synthetic full are larger than those that endpoints send; one object more has its pages. */
export function objectsOfSyntheticFull(bytes: number): number {
  return copiedPacks(bytes) + 1
}

/** Each pack is read by its end, and its records are one range, unless it is too long for one. */
export function requestsOfSyntheticFull({ bytes, objects }: Sizes, isLocked: boolean): RequestCounts {
  const { put, get, ...others } = requestsBesideObjects
  const packs = copiedPacks(bytes)
  const ranges = Math.max(packs, objects, Math.ceil(bytes / copyRangeBytesMax))
  return {
    ...others,
    put: put + putsPerCopiedPack * packs + 1,
    copy: ranges,
    get: get + objects,
    lock: isLocked ? packs + 1 : 0,
  }
}

export function addRequests(to: MutableCounts, more: RequestCounts): void {
  for (const kind of requestKinds) to[kind] += more[kind] ?? 0
}

function copiedPacks(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / copiedPackBytesMax))
}
