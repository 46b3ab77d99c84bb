import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { StrataError } from '@strata/shared/errors.ts'
import { misfit, type Schema } from '@strata/shared/format/schema.ts'
import {
  gatewayBodyBytesMax,
  gatewayCheckIntervalMs,
  gatewayConnectionTimeoutMs,
  gatewayHeadTimeoutMs,
  gatewayRequestTimeoutMs,
} from '@strata/shared/limits.ts'
import { protocolHeader, protocolVersion, routes, type Route, type RouteName } from '@strata/shared/protocol/routes.ts'
import { bodyBytesMaxOf, limitBodyTime, parsed, requireSameBody, requireTypeOf, takeBodiesAsTheyAre } from './bodies.ts'
import type { Call, Caller } from './call.ts'
import { answerWithEvents, type EventSource } from './events.ts'
import { descriptionOf, describeItself } from './open-api.ts'
import { refuse, refuseConnection, toRefusal, type OnRefusal } from './refusals.ts'
import { checked } from './schemas.ts'

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
  readonly onRefusal?: OnRefusal
}

/**
 * The gateway's HTTP server: Fastify, with the routes of `shared/protocol/routes.ts` and no others.
 *
 *   version → type of the body → token → body is the one of the token → parts have their form → handler → answer has its
 *   form
 */
export async function buildServer(options: ServerOptions): Promise<FastifyInstance> {
  const refused = (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> =>
    refuse(options.onRefusal, toRefusal(error), request, reply)
  const common = {
    bodyLimit: gatewayBodyBytesMax,
    connectionTimeout: gatewayConnectionTimeoutMs,
    requestTimeout: gatewayRequestTimeoutMs,
    // Whoever is in the middle of a request may end it; idle connections end at once.
    forceCloseConnections: 'idle' as const,
    clientErrorHandler: refuseConnection,
    // Of a path that cannot be read.
    frameworkErrors: refused,
  }
  const times = { headersTimeout: gatewayHeadTimeoutMs, connectionsCheckingInterval: gatewayCheckIntervalMs }
  // Both kinds of server have the same routes; only their types differ.
  const server: FastifyInstance =
    options.tls === undefined
      ? fastify({ ...common, http: times })
      : fastify({ ...common, https: { ...options.tls, ...times, minVersion: 'TLSv1.2' } })
  const ending = new AbortController()
  server.addHook('preClose', () => {
    ending.abort()
  })
  // A connection that was busy then is kept for the next request, and a server that ends would wait for it.
  server.addHook('onResponse', (request, _reply, done) => {
    if (ending.signal.aborted) request.raw.socket.end()
    done()
  })
  takeBodiesAsTheyAre(server)
  server.setErrorHandler(refused)
  server.setNotFoundHandler((request, reply) => {
    const error = new StrataError('E_ROUTE_UNKNOWN', `there is no ${request.method} of that path`)
    return refused(error, request, reply)
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
    bodyLimit: bodyBytesMaxOf(route),
    schema: descriptionOf(route),
    onRequest: async (request, reply) => {
      limitBodyTime(route, request, reply)
      if (route !== routes.health) requireVersion(request)
      requireTypeOf(route, request)
      if (route.who === 'anybody') return
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
        gone: AbortSignal.any([ending, signalOf(reply)]),
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

/** Of the answer, which ends with the request or with its connection; connections may serve many requests. */
function signalOf({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => {
    gone.abort()
  })
  return gone.signal
}
