import type { Readable } from 'node:stream'
import { endpointOfSet } from '@strata/shared/endpoint-name.ts'
import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { EnrolmentToken } from '@strata/shared/format/enrolment-token-text.ts'
import { segmentsPerSessionMax } from '@strata/shared/limits.ts'
import { protocolVersion } from '@strata/shared/protocol/routes.ts'
import {
  fromWireEnd,
  toWireSessionInfo,
  type UploadAnswer,
  type UploadRequest,
  type WireEndRequest,
  type WireEnrolment,
} from '@strata/shared/protocol/wire.ts'
import type { OpenRequest, RememberedPoint } from '@strata/shared/protocol/uplink.ts'
import { enrol } from '@strata/shared/repository/registry/enrol.ts'
import { Registry } from '@strata/shared/repository/registry/registry.ts'
import { asId, type SessionId, type SetId, type TenantId } from '@strata/shared/types.ts'
import type { CommitProgress } from '@strata/shared/queue/commit-job.ts'
import type { Gateway } from '../gateway.ts'
import { unknownSession, type SessionRef } from '../live-sessions.ts'
import type { Call } from './call.ts'
import type { OutgoingEvent } from './events.ts'
import { shownToAgents } from './refusals.ts'
import type { Handlers } from './server.ts'

/** How segments from afar come in. */
export interface SegmentIntake {
  /** Where to send it; E_SERVICE_BUSY with `retryAfterMs` when it must wait. */
  grant(gateway: Gateway, ref: SessionRef, segment: number, what: UploadRequest): Promise<UploadAnswer>
  /** Acknowledges what was staged. */
  staged(gateway: Gateway, ref: SessionRef, segment: number, what: StagedUpload): Promise<void>
  /** Takes it from the request's body; resolves when its pack is stored. */
  receive(gateway: Gateway, ref: SessionRef, segment: number, body: Readable, what: UploadRequest): Promise<void>
  /** The session sends no more segments. */
  forget(ref: SessionRef): Promise<void>
}

export type StagedUpload = UploadRequest & { readonly attempt: string }

export interface HandlerParts {
  readonly gatewayOf: (tenant: TenantId) => Promise<Gateway>
  readonly intake: SegmentIntake
}

/** What each route does. A tenant's gateway knows nothing of another tenant; sets of other endpoints are unknown too. */
export function handlersOf({ gatewayOf, intake }: HandlerParts): Handlers {
  const of = async ({ caller }: Call): Promise<Gateway> => await gatewayOf(caller.tenant)
  const mine = async (call: Call): Promise<{ gateway: Gateway; ref: SessionRef }> => {
    const gateway = await of(call)
    const ref = refOf(call)
    await requireOwn(call, ref, async () => (await gateway.find(ref)).document)
    return { gateway, ref }
  }
  return {
    health: () => Promise.resolve({ status: 'ok', protocol: protocolVersion }),
    enrol: async (call) => {
      const { token: text, ...request } = call.body as WireEnrolment
      const token = EnrolmentToken.parse(text)
      const gateway = await gatewayOf(token.tenant).catch((error: unknown) => {
        throw hasCode(error, 'E_TENANT_UNKNOWN') ? strangeToken(error) : error
      })
      const { repository } = gateway
      const { document } = await enrol(new Registry(repository), { ...request, token })
      return {
        repository: repository.ingestKeys.repositoryId,
        tenant: repository.tenant,
        endpoint: document.endpoint,
        endpointName: document.name,
      }
    },
    policy: async (call) => {
      const found = await (await of(call)).policies.latest()
      if (found === undefined) return { policy: null }
      return { policy: { id: found.id, version: found.version, document: found.document.body } }
    },
    open: async (call) => {
      const { attempt, machineFingerprint, ...request } = call.body as OpenRequest & OpenExtras
      const gateway = await of(call)
      requireSameMachine(call, gateway.repository.registryHash('machine', machineFingerprint))
      if (!ownsSet(call, request.setName)) {
        throw new StrataError('E_SET_FOREIGN', `the set is not one of endpoint ${call.caller.endpointName}`)
      }
      return toWireSessionInfo(await gateway.open(request, attempt))
    },
    state: async (call) => {
      const gateway = await of(call)
      const ref = refOf(call)
      const { after, machineFingerprint } = call.query as { after: number; machineFingerprint: string }
      requireSameMachine(call, gateway.repository.registryHash('machine', machineFingerprint))
      const state = await requireOwn(call, ref, () => gateway.state(ref, after))
      return state.state === 'committed' ? state : { ...state, session: toWireSessionInfo(state.session) }
    },
    history: async (call) => {
      const { gateway, ref } = await mine(call)
      return { warnings: await gateway.presentHistory(ref, (call.body as { points: RememberedPoint[] }).points) }
    },
    digests: async (call) => {
      const { gateway, ref } = await mine(call)
      const { disk, firstPage, pageCount } = call.query as { disk: number; firstPage: number; pageCount: number }
      return await gateway.baseDigests(ref, disk, firstPage, pageCount)
    },
    upload: async (call) => {
      const { gateway, ref } = await mine(call)
      return await intake.grant(gateway, ref, segmentOf(call), call.body as UploadRequest)
    },
    staged: async (call) => {
      const { gateway, ref } = await mine(call)
      await intake.staged(gateway, ref, segmentOf(call), call.body as StagedUpload)
    },
    segment: async (call) => {
      const { gateway, ref } = await mine(call)
      const what = { bytes: contentLength(call), sha256: Buffer.from(call.caller.bodySha256).toString('hex') }
      await intake.receive(gateway, ref, segmentOf(call), call.body as Readable, what)
    },
    end: async (call) => {
      const gateway = await of(call)
      const ref = refOf(call)
      const request = call.body as WireEndRequest
      await requireOwn(call, ref, () => gateway.setOf(ref, request.after))
      await gateway.end(ref, request.after, fromWireEnd(request))
      await intake.forget(ref)
    },
    events: async (call) => {
      const gateway = await of(call)
      const ref = refOf(call)
      const { after, attempt } = call.query as { after: number; attempt: string }
      await requireOwn(call, ref, () => gateway.setOf(ref, after))
      return outcomeEvents(gateway, ref, after, Number(attempt))
    },
    abandon: async (call) => {
      try {
        const { gateway, ref } = await mine(call)
        await intake.forget(ref)
        await gateway.abandon(ref)
      } catch (error) {
        // Nothing of a session that is not there becomes visible; the answer to an earlier request may have been lost.
        if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
      }
    },
  }
}

interface OpenExtras {
  readonly attempt: string
  readonly machineFingerprint: string
}

/** Nobody learns from it which tenants there are. */
function strangeToken(cause: unknown): StrataError {
  return new StrataError('E_ENROLMENT_TOKEN', 'this enrolment token is not known', { cause })
}

/** An identity that was copied to another machine must not mix the disks of two machines in one set. */
function requireSameMachine({ caller }: Call, fingerprint: string): void {
  if (caller.fingerprint === fingerprint) return
  throw new StrataError('E_ENDPOINT_CLONED', `endpoint '${caller.endpointName}' was enrolled on another machine`)
}

function refOf({ params }: Call): SessionRef {
  return { set: asId<SetId>(params['set'] ?? ''), session: asId<SessionId>(params['session'] ?? '') }
}

/** E_LIMIT. */
function segmentOf({ params }: Call): number {
  const segment = Number(params['segment'])
  if (segment < segmentsPerSessionMax) return segment
  throw new StrataError('E_LIMIT', `a session has no segment ${String(segment)}`)
}

/**
 * The session, if its set is one of the caller's. Else E_SESSION_UNKNOWN, which says the same whether it is somebody
 * else's, is over, or was never there.
 */
async function requireOwn<Found extends { readonly setName: string }>(
  call: Call,
  ref: SessionRef,
  find: () => Promise<Found>,
): Promise<Found> {
  let found: Found
  try {
    found = await find()
  } catch (error) {
    throw hasCode(error, 'E_SESSION_UNKNOWN') ? unknownSession(ref, error) : error
  }
  if (!ownsSet(call, found.setName)) throw unknownSession(ref)
  return found
}

/** `web1`, or `web1@data`: docs/decisions/0016-the-service.md. Names of endpoints have no '@'. */
function ownsSet({ caller }: Call, setName: string): boolean {
  return endpointOfSet(setName) === caller.endpointName
}

function contentLength({ request }: Call): number {
  const text = request.headers['content-length'] ?? ''
  if (!/^[0-9]{1,10}$/.test(text)) throw new StrataError('E_REQUEST_INVALID', 'a segment states its content-length')
  return Number(text)
}

async function* outcomeEvents(
  gateway: Gateway,
  ref: SessionRef,
  after: number,
  attempt: number,
): AsyncGenerator<OutgoingEvent> {
  yield { event: 'progress', data: { segmentsPending: 0 } }
  let said = Promise.withResolvers<CommitProgress>()
  const outcome = gateway.outcome(ref, after, attempt, (progress) => {
    said.resolve(progress)
  })
  const last = outcome.then(
    (data): OutgoingEvent => ({ event: 'committed', data }),
    (error: unknown) => failedEvent(error),
  )
  for (;;) {
    const next = await Promise.race([last, said.promise])
    if (next === undefined) return
    if ('event' in next) {
      yield next
      return
    }
    said = Promise.withResolvers()
    yield { event: 'progress', data: next }
  }
}

/** What may pass is asked for again by the agent; it only hears that the stream has ended (undefined). */
function failedEvent(error: unknown): OutgoingEvent | undefined {
  const known = toStrataError(error)
  if (known.kind === 'transient' || known.code === 'E_INTERRUPTED' || known.code.startsWith('E_REDIS_'))
    return undefined
  return { event: 'failed', data: shownToAgents(known).toJSON() }
}
