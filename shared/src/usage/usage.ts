import { noRequests, type RequestKind } from '../format/usage.ts'

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
