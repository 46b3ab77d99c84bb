import type { FastifyReply, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { StrataError, systemErrorCode, toStrataError } from '@strata/shared/errors.ts'
import { statusOf } from './status.ts'

/** Told of every request that ended in an error: its route, status and code; never of tokens, bodies or queries. */
export type OnRefusal = ((line: string) => void) | undefined

/** Fastify's own refusals (a body that is too large, a content type that no route takes) get a code of ours. */
export function toRefusal(error: unknown): StrataError {
  if (error instanceof StrataError) return mayPass(error) ? later(error) : error
  const { statusCode, code } = error as { statusCode?: number; code?: string }
  if (statusCode !== undefined && statusCode < 500) {
    return new StrataError('E_REQUEST_INVALID', `the request was refused: ${code ?? String(statusCode)}`)
  }
  return toStrataError(error)
}

/** A queue or a hand-over directory that fails us is no fault of the agent: it comes back. */
function mayPass({ code }: StrataError): boolean {
  return code.startsWith('E_REDIS_') || code === 'E_HANDOVER_SPACE' || code === 'E_HANDOVER_IO'
}

function later(cause: StrataError): StrataError {
  const message = `the service cannot take it at the moment (${cause.code})`
  return new StrataError('E_SERVICE_BUSY', message, { cause, details: { retryAfterMs: troubleRetryMs } })
}

const troubleRetryMs = 5000

/** Answers with the error. A defect of ours is for the log only. */
export async function refuse(
  onRefusal: OnRefusal,
  error: StrataError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const status = statusOf(error)
  const path = request.routeOptions.url ?? 'an unknown path'
  onRefusal?.(`${request.method} ${path}: ${String(status)} ${error.code}${isOurs(error) ? `: ${error.message}` : ''}`)
  const waitMs = error.details?.['retryAfterMs']
  if (typeof waitMs === 'number') reply.header('retry-after', String(Math.max(1, Math.ceil(waitMs / 1000))))
  return await reply.code(status).type('application/json').send(shownToAgents(error).toJSON())
}

/** What is wrong with the service itself: its messages name buckets, objects and paths, which are for its operators. */
function isOurs({ code, kind }: StrataError): boolean {
  return kind === 'bug' || /^E_(STORE|OBJECT|HANDOVER_(IO|SPACE))/.test(code)
}

/** The error as agents hear it: the code is the same. */
export function shownToAgents(error: StrataError): StrataError {
  if (error.kind === 'bug') return new StrataError('E_BUG', 'a defect of the service; its log says more')
  if (!isOurs(error)) return error
  const hint = 'Tell whoever operates the service: its log says more.'
  return new StrataError(error.code, 'the service has trouble with its store or its disk', { hint })
}

/** What is no HTTP, or takes too long to say what it wants, comes to no route: its connection ends with this. */
export function refuseConnection(error: Error, socket: Socket): void {
  if (socket.writable) {
    const status = statusOfClientError(systemErrorCode(error))
    const refusal = new StrataError('E_REQUEST_INVALID', 'this is no HTTP request that a gateway takes')
    const body = JSON.stringify(refusal)
    const head = [
      `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}`,
      'content-type: application/json',
      `content-length: ${String(Buffer.byteLength(body))}`,
      'connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  }
  socket.destroy()
}

function statusOfClientError(code: string | undefined): number {
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
}
