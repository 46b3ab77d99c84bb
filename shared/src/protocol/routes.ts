import * as v from 'valibot'
import { idSchema } from '../format/document.ts'
import { matching, type Fitting, type Schema } from '../format/schema.ts'
import {
  committedSchema,
  digestsQuerySchema,
  endRequestSchema,
  enrolledSchema,
  enrolmentSchema,
  historyAnswerSchema,
  historySchema,
  openRequestSchema,
  policyAnswerSchema,
  sessionInfoSchema,
  sessionStateSchema,
  stagedSchema,
  resumeQuerySchema,
  stateQuerySchema,
  uploadAnswerSchema,
  uploadRequestSchema,
} from './wire.ts'

/**
 * The routes between agents and the gateway: one table for the server, the client, the OpenAPI document and the matrix
 * of who may do what (test/security).
 *
 * A repeat of any request is harmless: agents send again what they had no answer to, also to another gateway.
 */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below the service's address; parts that begin with ':' are parameters. */
  readonly path: string
  readonly summary: string
  /** Who may ask: everybody, or endpoints with a token of theirs for exactly this request. */
  readonly who: 'anybody' | 'endpoint'
  readonly params?: Schema
  readonly query?: Schema
  /** `segment`: the bytes of a sealed segment. */
  readonly body?: Schema | 'segment'
  /** `bytes`: an octet stream; `events`: server-sent events; `nothing`: no body. */
  readonly answer: Schema | 'bytes' | 'events' | 'nothing'
  readonly status: 200 | 201 | 202 | 204
}

/** Raised with every change that an older peer would misunderstand. */
export const protocolVersion = 1
export const protocolHeader = 'strata-protocol'

const sessionParams = v.object({ set: idSchema, session: idSchema })
const segmentParams = v.object({ ...sessionParams.entries, segment: matching(/^(0|[1-9][0-9]{0,6})$/) })
const sessionPath = '/v1/sets/:set/sessions/:session'
const segmentPath = `${sessionPath}/segments/:segment`

const route = <const R extends Route>(description: R): R => description

export const routes = {
  health: route({
    method: 'GET',
    path: '/v1/health',
    summary: 'Says that the gateway is there.',
    who: 'anybody',
    answer: v.object({ status: v.literal('ok'), protocol: v.number() }),
    status: 200,
  }),
  enrol: route({
    method: 'POST',
    path: '/v1/enrolments',
    summary: 'Makes a machine an endpoint. The same token and public key give the same endpoint.',
    who: 'anybody',
    body: enrolmentSchema,
    answer: enrolledSchema,
    status: 201,
  }),
  policy: route({
    method: 'GET',
    path: '/v1/policy',
    summary: 'The policy that the endpoint keeps to; null when its tenant has none.',
    who: 'endpoint',
    answer: policyAnswerSchema,
    status: 200,
  }),
  open: route({
    method: 'POST',
    path: '/v1/sessions',
    summary: 'Opens a session for one of the sets of the endpoint. The same attempt gives the same session.',
    who: 'endpoint',
    body: openRequestSchema,
    answer: sessionInfoSchema,
    status: 201,
  }),
  state: route({
    method: 'GET',
    path: sessionPath,
    summary: 'How far a session is: open, ended, or the point that it has become.',
    who: 'endpoint',
    params: sessionParams,
    query: resumeQuerySchema,
    answer: sessionStateSchema,
    status: 200,
  }),
  history: route({
    method: 'POST',
    path: `${sessionPath}/history`,
    summary: 'Compares what the machine remembers of the set with what the store has.',
    who: 'endpoint',
    params: sessionParams,
    body: historySchema,
    answer: historyAnswerSchema,
    status: 200,
  }),
  digests: route({
    method: 'GET',
    path: `${sessionPath}/digests`,
    summary: "Digests of the base's blocks, 32 bytes each, from the map.",
    who: 'endpoint',
    params: sessionParams,
    query: digestsQuerySchema,
    answer: 'bytes',
    status: 200,
  }),
  upload: route({
    method: 'POST',
    path: `${segmentPath}/uploads`,
    summary: 'Asks where to send a sealed segment. 429 with Retry-After when the service has enough to do.',
    who: 'endpoint',
    params: segmentParams,
    body: uploadRequestSchema,
    answer: uploadAnswerSchema,
    status: 200,
  }),
  staged: route({
    method: 'POST',
    path: `${segmentPath}/staged`,
    summary: 'Says that a segment was staged. The answer acknowledges it: it need not be sent again.',
    who: 'endpoint',
    params: segmentParams,
    body: stagedSchema,
    answer: 'nothing',
    status: 204,
  }),
  segment: route({
    method: 'PUT',
    path: segmentPath,
    summary: 'Sends a sealed segment to the gateway, where there is no staging area. The answer acknowledges it.',
    who: 'endpoint',
    params: segmentParams,
    body: 'segment',
    answer: 'nothing',
    status: 204,
  }),
  end: route({
    method: 'POST',
    path: `${sessionPath}/end`,
    summary: 'Says that everything was sent. The point is made now, whether or not the agent waits for it.',
    who: 'endpoint',
    params: sessionParams,
    body: endRequestSchema,
    answer: 'nothing',
    status: 202,
  }),
  events: route({
    method: 'GET',
    path: `${sessionPath}/events`,
    summary: 'Tells what becomes of an ended session: `progress`, then `committed` or `failed`.',
    who: 'endpoint',
    params: sessionParams,
    query: v.object({ ...stateQuerySchema.entries, attempt: matching(/^[1-9][0-9]{0,3}$/) }),
    answer: 'events',
    status: 200,
  }),
  abandon: route({
    method: 'DELETE',
    path: sessionPath,
    summary: 'Gives a session up. Nothing of it becomes visible.',
    who: 'endpoint',
    params: sessionParams,
    query: stateQuerySchema,
    answer: 'nothing',
    status: 204,
  }),
} as const

export type RouteName = keyof typeof routes

/** The path of a request, with its parameters and query put in. */
export function pathOf(
  { path }: Route,
  params: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string | number>> = {},
): string {
  const filled = path.replaceAll(/:([a-z]+)/gi, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString()
  return search === '' ? filled : `${filled}?${search}`
}

export type AnswerOf<R extends Route> = R['answer'] extends Schema ? Fitting<R['answer']> : undefined

/** What `events` tells last. */
export const committedEventSchema = committedSchema
