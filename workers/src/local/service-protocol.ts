import type { ErrorDocument } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type {
  CommittedPoint,
  FinishRequest,
  OpenRequest,
  RememberedPoint,
  SessionInfo,
} from '@strata/shared/protocol/uplink.ts'
import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { SessionRef } from '../gateway/live-sessions.ts'

/**
 * What `strata backup` and the service process that it starts say to each other, over the channel that Node opens
 * between parent and child.
 */
export interface ServiceSettings {
  readonly storeUrl: string
  readonly keyringPath: string
  /** Absent: a private redis-server. */
  readonly redisUrl?: string
  readonly handOverDirectory?: string
  /** To and from the store, each way. */
  readonly bytesPerSecondMax?: number
  readonly threads: number
}

/** A session, and where its segments are put together: in the part of the hand-over directory that is its own. */
export interface LocalSession {
  readonly info: SessionInfo
  readonly spoolDirectory: string
}

/** Calls and what they answer. */
export interface ServiceCalls {
  /** What of its surroundings is not as it should be. */
  start: { parameters: [ServiceSettings]; result: readonly Warning[] }
  open: { parameters: [OpenRequest]; result: LocalSession }
  presentHistory: { parameters: [SessionRef, readonly RememberedPoint[]]; result: readonly Warning[] }
  baseDigests: { parameters: [SessionRef, number, number, number]; result: Uint8Array }
  /** The segment lies complete in the session's spool directory. */
  sent: { parameters: [SessionRef, number, string]; result: undefined }
  finish: { parameters: [SessionRef, FinishRequest]; result: CommittedPoint }
  abandon: { parameters: [SessionRef]; result: undefined }
  metrics: { parameters: []; result: StoreTotals }
  stop: { parameters: []; result: undefined }
}
export type ServiceMethod = keyof ServiceCalls

export interface CallMessage {
  readonly id: number
  readonly method: ServiceMethod
  readonly parameters: readonly unknown[]
}

export type AnswerMessage =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: ErrorDocument }
