import { noRequests, requestKinds, type RequestKind } from '../format/usage.ts'

/** Requests to a store, and bytes of objects that they moved. */
export interface Usage {
  requests: Record<RequestKind, number>
  bytesSent: number
  bytesReceived: number
}

export function noUsage(): Usage {
  return { requests: noRequests(), bytesSent: 0, bytesReceived: 0 }
}

/** Adds to `sum` itself. */
export function addRequest(
  sum: Usage,
  { kind, bytesSent, bytesReceived }: { kind: RequestKind; bytesSent: number; bytesReceived: number },
): void {
  sum.requests[kind] += 1
  sum.bytesSent += bytesSent
  sum.bytesReceived += bytesReceived
}

/** Anew. */
export function sumOf(usages: Iterable<Usage>): Usage {
  const sum = noUsage()
  for (const { requests, bytesSent, bytesReceived } of usages) {
    for (const kind of requestKinds) sum.requests[kind] += requests[kind]
    sum.bytesSent += bytesSent
    sum.bytesReceived += bytesReceived
  }
  return sum
}
