import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { misfit, type Schema } from '@strata/shared/format/schema.ts'
import {
  gatewayBodyBytesMax,
  gatewayConnectionTimeoutMs,
  gatewayRequestTimeoutMs,
  handOverFileBytesMax,
} from '@strata/shared/limits.ts'
import { protocolHeader, protocolVersion, routes, type Route, type RouteName } from '@strata/shared/protocol/routes.ts'
import { errorAnswerSchema } from '@strata/shared/protocol/wire.ts'
import type { Call, Caller } from './call.ts'
import { answerWithEvents, type EventSource } from './events.ts'
import { checked, jsonSchemaOf } from './schemas.ts'
import { statusOf } from './status.ts'

/** What a request is let in by. Errors: E_TOKEN_*, E_CLOCK_SKEW. */
export type Authenticate = (request: {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly authorization: string | undefined
}) => Promise<Caller>

/** Does what a route is for. */
export type Handler = (call: Call) => Promise<unknown>
export type Handlers = Readonly<Record<RouteName, Handler>>

export interface ServerOptions {
  readonly authenticate: Authenticate
  readonly handlers: Handlers
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Told of every request that ended in an error: its route, status and code; never of tokens, bodies or queries. */
  readonly onRefusal?: (line: string) => void
}

/**
 * The gateway's HTTP server: Fastify, with the routes of `shared/protocol/routes.ts` and no others.
 *
 *   version → token → parts of the request → body is the one of the token → handler → answer has its form
 */
export async function buildServer(options: ServerOptions): Promise<FastifyInstance> {
  const common = {
    bodyLimit: gatewayBodyBytesMax,
    connectionTimeout: gatewayConnectionTimeoutMs,
    requestTimeout: gatewayRequestTimeoutMs,
    // Whoever is in the middle of a request may end it; idle connections end at once.
    forceCloseConnections: 'idle' as const,
  }
  // Both kinds of server have the same routes; only their types differ.
  const server: FastifyInstance =
    options.tls === undefined
      ? fastify(common)
      : fastify({ ...common, https: { ...options.tls, minVersion: 'TLSv1.2' } })
  const ending = new AbortController()
  server.addHook('preClose', () => {
    ending.abort()
  })
  takeBodiesAsTheyAre(server)
  server.setErrorHandler((error, request, reply) => refuse(options, toRefusal(error), request, reply))
  server.setNotFoundHandler((request, reply) => {
    const error = new StrataError('E_ROUTE_UNKNOWN', `there is no ${request.method} of that path`)
    return refuse(options, error, request, reply)
  })
  // Each route brings schemas of our own, which Fastify is not to compile.
  server.setValidatorCompiler(() => () => true)
  server.setSerializerCompiler(() => (value) => JSON.stringify(value))
  await describeItself(server)
  for (const [name, route] of Object.entries(routes) as [RouteName, Route][]) {
    addRoute(server, route, options.handlers[name], options, ending.signal)
  }
  return server
}

function addRoute(
  server: FastifyInstance,
  route: Route,
  handler: Handler,
  { authenticate }: ServerOptions,
  ending: AbortSignal,
): void {
  const callers = new WeakMap<FastifyRequest, Caller>()
  server.route({
    method: route.method,
    url: route.path,
    ...(route.body === 'segment' ? { bodyLimit: handOverFileBytesMax } : {}),
    schema: descriptionOf(route),
    onRequest: async (request) => {
      if (route.who === 'anybody') return
      requireVersion(request)
      const { method, url, headers } = request
      callers.set(request, await authenticate({ method, path: url, authorization: headers.authorization }))
    },
    handler: async (request, reply) => {
      const caller = callers.get(request) ?? nobody
      if (route.who === 'endpoint' && route.body !== 'segment') requireSameBody(caller, request.body)
      const call: Call = {
        caller,
        params: partOf(route.params, 'path', request.params) as Call['params'],
        query: partOf(route.query, 'query', request.query) as Call['query'],
        body: typeof route.body === 'object' ? checked(route.body, 'body', parsed(request.body)) : request.body,
        request,
        gone: AbortSignal.any([ending, signalOf(request)]),
      }
      const answer = await handler(call)
      return await give(route, answer, reply, call.gone)
    },
  })
}

const nobody: Caller = {
  tenant: '' as Caller['tenant'],
  endpoint: '',
  endpointName: '',
  fingerprint: '',
  bodySha256: new Uint8Array(),
}

function partOf(schema: Schema | undefined, where: string, value: unknown): unknown {
  return schema === undefined ? {} : checked(schema, where, value)
}

async function give(route: Route, answer: unknown, reply: FastifyReply, gone: AbortSignal): Promise<FastifyReply> {
  reply.code(route.status)
  if (route.answer === 'events') return await answerWithEvents(reply, answer as EventSource, gone)
  if (route.answer === 'nothing') return reply.send()
  if (route.answer === 'bytes') return reply.type('application/octet-stream').send(Buffer.from(answer as Uint8Array))
  const problem = misfit(route.answer, answer)
  if (problem !== undefined) throw new StrataError('E_BUG', `the answer of ${route.method} ${route.path}: ${problem}`)
  return reply.send(checked(route.answer, 'answer', answer))
}

/** Bodies are read as bytes: the token was made for exactly these. Segments stay streams. */
function takeBodiesAsTheyAre(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body)
  })
  server.addContentTypeParser('application/octet-stream', (_request: FastifyRequest, payload: Readable, done) => {
    done(null, payload)
  })
}

function requireSameBody({ bodySha256 }: Caller, body: unknown): void {
  const bytes = body instanceof Uint8Array ? body : new Uint8Array()
  const found = createHash('sha256').update(bytes).digest()
  if (!equalBytes(found, bodySha256)) throw new StrataError('E_TOKEN_INVALID', 'the token is for another body')
}

function parsed(body: unknown): unknown {
  try {
    return JSON.parse(Buffer.from(body as Uint8Array).toString('utf8'))
  } catch {
    // What a parser says of a text quotes it.
    throw new StrataError('E_REQUEST_INVALID', 'body: is no JSON')
  }
}

function requireVersion({ headers }: FastifyRequest): void {
  const version = headers[protocolHeader]
  if (version === String(protocolVersion)) return
  const other = typeof version === 'string' && /^[0-9]{1,6}$/.test(version) ? version : 'none'
  throw new StrataError(
    'E_PROTOCOL_VERSION',
    `the agent speaks protocol version ${other}, and this service ${String(protocolVersion)}`,
    { details: { protocolVersion } },
  )
}

function signalOf(request: FastifyRequest): AbortSignal {
  const gone = new AbortController()
  request.raw.once('close', () => {
    if (!request.raw.complete || request.raw.destroyed) gone.abort()
  })
  request.raw.socket.once('close', () => {
    gone.abort()
  })
  return gone.signal
}

/** Fastify's own refusals (a body that is too large, a content type that no route takes) get a code of ours. */
function toRefusal(error: unknown): StrataError {
  if (error instanceof StrataError) return isOurTrouble(error) ? later(error) : error
  const { statusCode, code } = error as { statusCode?: number; code?: string }
  if (statusCode !== undefined && statusCode < 500) {
    return new StrataError('E_REQUEST_INVALID', `the request was refused: ${code ?? String(statusCode)}`)
  }
  return toStrataError(error)
}

/** A queue or a hand-over directory that fails us is no fault of the agent: it comes back. */
function isOurTrouble({ code }: StrataError): boolean {
  return code.startsWith('E_REDIS_') || code === 'E_HANDOVER_SPACE' || code === 'E_HANDOVER_IO'
}

function later(cause: StrataError): StrataError {
  const message = `the service cannot take it at the moment (${cause.code})`
  return new StrataError('E_SERVICE_BUSY', message, { cause, details: { retryAfterMs: troubleRetryMs } })
}

const troubleRetryMs = 5000

async function refuse(
  { onRefusal }: ServerOptions,
  error: StrataError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const status = statusOf(error)
  const path = request.routeOptions.url ?? 'an unknown path'
  onRefusal?.(
    `${request.method} ${path}: ${String(status)} ${error.code}${error.kind === 'bug' ? `: ${error.message}` : ''}`,
  )
  const waitMs = error.details?.['retryAfterMs']
  if (typeof waitMs === 'number') reply.header('retry-after', String(Math.max(1, Math.ceil(waitMs / 1000))))
  const shown = error.kind === 'bug' ? new StrataError('E_BUG', 'a defect of the service; its log says more') : error
  return await reply.code(status).type('application/json').send(shown.toJSON())
}

// ── OpenAPI ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function describeItself(server: FastifyInstance): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Strata gateway', version: String(protocolVersion), description: 'For agents of endpoints.' },
      components: {
        securitySchemes: {
          endpoint: {
            type: 'http',
            scheme: 'strata',
            description: 'A token for exactly this request, signed by the agent.',
          },
        },
      },
    },
  })
  server.get('/v1/openapi.json', { schema: { hide: true } }, () => server.swagger())
}

const errorAnswer = jsonSchemaOf(errorAnswerSchema)

function descriptionOf(route: Route): object {
  const { summary, params, query, body, answer, status, who } = route
  const content = (type: string, schema: object): object => ({ content: { [type]: { schema } } })
  const answers =
    typeof answer === 'object'
      ? { description: summary, ...content('application/json', jsonSchemaOf(answer)) }
      : answer === 'nothing'
        ? { description: summary, type: 'null' }
        : {
            description: summary,
            ...content(answer === 'bytes' ? 'application/octet-stream' : 'text/event-stream', { type: 'string' }),
          }
  return {
    summary,
    ...(who === 'endpoint' ? { security: [{ endpoint: [] }] } : {}),
    ...(params === undefined ? {} : { params: jsonSchemaOf(params) }),
    ...(query === undefined ? {} : { querystring: jsonSchemaOf(query) }),
    ...(typeof body === 'object' ? { body: content('application/json', jsonSchemaOf(body)) } : {}),
    ...(body === 'segment' ? { body: content('application/octet-stream', { type: 'string', format: 'binary' }) } : {}),
    response: { [status]: answers, default: { description: 'Why not.', ...content('application/json', errorAnswer) } },
  }
}
