import { requestKinds } from '../format/usage.ts'
import { storedClasses, type StoredClass } from '../format/storage-class.ts'
import type { ProviderPrices } from './price-table.ts'
import type { StoreRequestKind } from '../store/store-requests.ts'

/**
 * What is stored, asked for and moved, as money. Pure. Amounts are in the currency of the prices, and are rounded only when
 * they are shown (money.ts). What several sets cost is the sum of what each costs, but for one thing: where a class bills
 * small objects as larger ones, sets that are counted together may seem to cost less (`billedBytes`). So price each.
 */
export interface StoredAmount {
  readonly bytes: number
  readonly objects: number
}

export type StoredByClass = Readonly<Partial<Record<StoredClass, StoredAmount>>>
export type RequestCounts = Readonly<Partial<Record<StoreRequestKind, number>>>

export interface MovedBytes {
  /** Into the store: no provider bills it. */
  readonly inBytes: number
  readonly outBytes: number
  /** Whoever reads is in the region of the store: nothing leaves it, and nothing is billed. */
  readonly sameRegion: boolean
}

export interface Usage {
  /** As it is, for a whole month. */
  readonly stored: StoredByClass
  readonly requests: RequestCounts
  readonly moved: MovedBytes
}

export interface Price {
  readonly storagePerMonth: number
  readonly requests: number
  readonly moved: number
  readonly total: number
}

export function priceOf({ stored, requests, moved }: Usage, prices: ProviderPrices): Price {
  const items = {
    storagePerMonth: priceOfStored(stored, prices),
    requests: priceOfRequests(requests, prices),
    moved: priceOfMoved(moved, prices),
  }
  return { ...items, total: items.storagePerMonth + items.requests + items.moved }
}

/** Of a month in which it is there from the beginning to the end. */
export function priceOfStored(stored: StoredByClass, prices: ProviderPrices): number {
  return sum(storedClasses, (storedClass) => {
    const { bytes = 0, objects = 0 } = stored[storedClass] ?? {}
    return gbOf(billedBytes(bytes, objects, storedClass, prices), prices) * prices.classes[storedClass].perGbMonth
  })
}

/**
 * What of some objects is billed. How the bytes are spread over them is not known, so it is as if all had the same size:
 * where large and small ones are taken together, small ones are billed for no more than they have.
 */
export function billedBytes(
  bytes: number,
  objects: number,
  storedClass: StoredClass,
  { classes }: ProviderPrices,
): number {
  return Math.max(bytes, objects * classes[storedClass].objectBytesMin)
}

export function priceOfRequests(requests: RequestCounts, { requestsPerThousand }: ProviderPrices): number {
  return sum(requestKinds, (kind) => ((requests[kind] ?? 0) * requestsPerThousand[kind]) / 1000)
}

export function priceOfMoved({ outBytes, sameRegion }: MovedBytes, prices: ProviderPrices): number {
  return sameRegion ? 0 : gbOf(outBytes, prices) * prices.transferOut.perGb
}

/** What it costs to read out of a class beside what a read out of the standard one costs, which counts as a request. */
export function surchargeOfReads(
  { bytes, requests }: { readonly bytes: number; readonly requests: number },
  storedClass: StoredClass,
  prices: ProviderPrices,
): number {
  const { perGbRead, perThousandReads } = prices.classes[storedClass]
  const moreForEach = Math.max(0, perThousandReads - prices.requestsPerThousand.get)
  return gbOf(bytes, prices) * perGbRead + (requests * moreForEach) / 1000
}

/** What lifecycle rules cost that move objects into a class. */
export function priceOfMoves(objects: number, storedClass: StoredClass, { classes }: ProviderPrices): number {
  return (objects * classes[storedClass].perThousandWrites) / 1000
}

const daysPerBilledMonth = 30

/** What is billed of bytes that leave a class before its least days are over: the rest of those. */
export function priceOfEarlyLeave(
  bytes: number,
  daysInClass: number,
  storedClass: StoredClass,
  prices: ProviderPrices,
): number {
  const { daysMin, perGbMonth } = prices.classes[storedClass]
  const daysLeft = Math.max(0, daysMin - daysInClass)
  return (gbOf(bytes, prices) * perGbMonth * daysLeft) / daysPerBilledMonth
}

/** GB, as the provider counts them. */
function gbOf(bytes: number, { gbBytes }: ProviderPrices): number {
  return bytes / gbBytes
}

function sum<Item>(items: readonly Item[], amountOf: (item: Item) => number): number {
  return items.reduce((total, item) => total + amountOf(item), 0)
}
