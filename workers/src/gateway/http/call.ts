import type { FastifyRequest } from 'fastify'
import type { TenantId } from '@strata/shared/types.ts'

/** The endpoint that a request's token speaks for. */
export interface Caller {
  readonly tenant: TenantId
  readonly endpoint: string
  readonly endpointName: string
  /** Keyed hash of what the endpoint's machine said of itself when it enrolled. */
  readonly fingerprint: string
  /** SHA-256 of the body that the token was made for. */
  readonly bodySha256: Uint8Array
}

/** A request that was let in and whose parts have the form that the route wants. */
export interface Call {
  readonly caller: Caller
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
  readonly body: unknown
  readonly request: FastifyRequest
  /** Aborted when whoever asked has gone, or the server ends. */
  readonly gone: AbortSignal
}
