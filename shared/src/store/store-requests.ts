import type { RequestKind } from '../format/usage.ts'

/**
 * Every request that really goes to a store is told to an observer, by the implementation itself: only there are the
 * pages of a listing and the repeats after an error seen as the requests that they are (and that are billed).
 */
export type StoreRequestKind = RequestKind

export interface StoreRequest {
  readonly kind: StoreRequestKind
  /** Of the object; of a listing the prefix; '' where a request is about the store as a whole. */
  readonly name: string
  /** Object bytes sent, without headers; 0 when the request failed, and for what the store copies by itself. */
  readonly bytesSent: number
  /** Object bytes received, without headers and listings; 0 when the request failed. */
  readonly bytesReceived: number
}

/** Called once per request, after its end. It must not throw. */
export type StoreObserver = (request: StoreRequest) => void

/** One request as a cloud store makes it: the parts of a store that lie in files of their own go through it. */
export type StoreRequester = <Result>(
  kind: StoreRequestKind,
  name: string,
  doing: string,
  bytes: ((result: Result) => { readonly sent?: number; readonly received?: number }) | undefined,
  request: (signal: AbortSignal, progress: () => void) => Promise<Result>,
) => Promise<Result>

/** Runs one request and tells it to the observer, also when it fails. */
export async function observed<Result>(
  observer: StoreObserver | undefined,
  kind: StoreRequestKind,
  name: string,
  request: () => Promise<Result>,
  bytes?: (result: Result) => { readonly sent?: number; readonly received?: number },
): Promise<Result> {
  if (observer === undefined) return await request()
  let sent = 0
  let received = 0
  try {
    const result = await request()
    const counted = bytes?.(result)
    sent = counted?.sent ?? 0
    received = counted?.received ?? 0
    return result
  } finally {
    observer({ kind, name, bytesSent: sent, bytesReceived: received })
  }
}
