import { requestKinds } from '../../format/usage.ts'
import type { StoreObserver, StoreRequestKind } from '../store-requests.ts'

/**
 * Sums up what a store's observer is told. It hooks into the implementation and not around the store, because only the
 * implementation sees the pages of a listing and every attempt of a request: what the store's owner pays for.
 */
export interface RequestTotals {
  readonly requests: number
  readonly bytesSent: number
  readonly bytesReceived: number
}

export interface StoreTotals extends RequestTotals {
  readonly byKind: Readonly<Record<StoreRequestKind, RequestTotals>>
}

export interface StoreMetrics {
  /** To be passed to `openStore` or to a store's constructor. */
  readonly onRequest: StoreObserver
  /** The sums so far; a copy. */
  totals(): StoreTotals
}

/** @param next is told of every request too */
export function createStoreMetrics(next?: StoreObserver): StoreMetrics {
  const sums = byKindOf(() => ({ requests: 0, bytesSent: 0, bytesReceived: 0 }))
  return {
    onRequest: (request) => {
      const sum = sums[request.kind]
      sum.requests += 1
      sum.bytesSent += request.bytesSent
      sum.bytesReceived += request.bytesReceived
      next?.(request)
    },
    totals: () => addStoreTotals({ requests: 0, bytesSent: 0, bytesReceived: 0, byKind: structuredClone(sums) }),
  }
}

/** Adds up totals of several processes or stores; the sums over all kinds are computed anew. */
export function addStoreTotals(first: StoreTotals, ...others: readonly StoreTotals[]): StoreTotals {
  const all = [first, ...others]
  const sumOf = (totals: readonly RequestTotals[]): RequestTotals => ({
    requests: totals.reduce((sum, one) => sum + one.requests, 0),
    bytesSent: totals.reduce((sum, one) => sum + one.bytesSent, 0),
    bytesReceived: totals.reduce((sum, one) => sum + one.bytesReceived, 0),
  })
  const ofKind = (kind: StoreRequestKind): RequestTotals => sumOf(all.map((totals) => totals.byKind[kind]))
  const byKind = byKindOf(ofKind)
  return { ...sumOf(requestKinds.map((kind) => byKind[kind])), byKind }
}

function byKindOf<Of>(of: (kind: StoreRequestKind) => Of): Record<StoreRequestKind, Of> {
  return Object.fromEntries(requestKinds.map((kind) => [kind, of(kind)])) as Record<StoreRequestKind, Of>
}
