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
import type { SessionId } from '@strata/shared/types.ts'

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

/** Calls and what they answer. */
export interface ServiceCalls {
  start: { parameters: [ServiceSettings]; result: undefined }
  open: { parameters: [OpenRequest]; result: SessionInfo }
  presentHistory: { parameters: [SessionId, readonly RememberedPoint[]]; result: readonly Warning[] }
  baseDigests: { parameters: [SessionId, number, number, number]; result: Uint8Array }
  sent: { parameters: [SessionId, number, string]; result: undefined }
  finish: { parameters: [SessionId, FinishRequest]; result: CommittedPoint }
  abandon: { parameters: [SessionId]; result: undefined }
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
