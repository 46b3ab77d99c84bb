import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import {
  gatewayBodyBytesMax,
  gatewayBodyTimeoutMs,
  handOverFileBytesMax,
  strangerBodyBytesMax,
} from '@strata/shared/limits.ts'
import type { Route } from '@strata/shared/protocol/routes.ts'
import type { Caller } from './call.ts'

/** What a body of the route may have: whoever has no token gets the gateway to keep little. */
export function bodyBytesMaxOf({ body, who }: Route): number {
  if (body === 'segment') return handOverFileBytesMax
  return who === 'anybody' ? strangerBodyBytesMax : gatewayBodyBytesMax
}

const segmentType = 'application/octet-stream'
const jsonType = 'application/json'

/** A segment that says it is JSON would be kept in memory as a whole. */
export function requireTypeOf({ body }: Route, { headers }: FastifyRequest): void {
  const type = headers['content-type']
  if (body === undefined || type === undefined || isType(type, body === 'segment' ? segmentType : jsonType)) return
  throw new StrataError('E_REQUEST_INVALID', 'the body is of another type than the route takes')
}

function isType(header: string, type: string): boolean {
  return header.split(';', 1)[0]?.trim().toLowerCase() === type
}

/** Ends the connection of a body that is not there in time. Segments have all the time of a request. */
export function limitBodyTime({ body }: Route, { raw }: FastifyRequest, answer: FastifyReply): void {
  if (body === undefined || body === 'segment') return
  const timer = setTimeout(() => {
    raw.destroy()
  }, gatewayBodyTimeoutMs)
  const stop = (): void => {
    clearTimeout(timer)
  }
  raw.once('end', stop)
  // It was refused before its body was there.
  answer.raw.once('close', stop)
}

/** Bodies are read as bytes: the token was made for exactly these. Segments stay streams. */
export function takeBodiesAsTheyAre(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(jsonType, { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body)
  })
  server.addContentTypeParser(segmentType, (_request: FastifyRequest, payload: Readable, done) => {
    done(null, payload)
  })
}

export function requireSameBody({ bodySha256 }: Caller, body: unknown): void {
  const bytes = body instanceof Uint8Array ? body : new Uint8Array()
  const found = createHash('sha256').update(bytes).digest()
  if (!equalBytes(found, bodySha256)) throw new StrataError('E_TOKEN_INVALID', 'the token is for another body')
}

/** E_REQUEST_INVALID. */
export function parsed(body: unknown): unknown {
  try {
    return JSON.parse(Buffer.from(body as Uint8Array).toString('utf8'))
  } catch {
    // What a parser says of a text quotes it.
    throw new StrataError('E_REQUEST_INVALID', 'body: is no JSON')
  }
}
