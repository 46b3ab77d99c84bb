import type { RandomBytes } from '@strata/shared/clock.ts'
import { errorFromDocument, hasCode, StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { misfit } from '@strata/shared/format/schema.ts'
import { committedEventSchema, routes } from '@strata/shared/protocol/routes.ts'
import type {
  CommittedPoint,
  EarlierSession,
  FinishRequest,
  OpenedSession,
  OpenRequest,
  RememberedPoint,
  ResumedSession,
  SessionInfo,
  Uplink,
} from '@strata/shared/protocol/uplink.ts'
import { fromWireCommitted, fromWireSessionInfo, toWireEnd, type UploadAnswer } from '@strata/shared/protocol/wire.ts'
import type { Asked, SentFile, ServiceClient } from './service-client.ts'
import type { ServerEvent } from './server-events.ts'

/** What of the machine the uplink uses. */
export interface HttpUplinkParts {
  readonly client: ServiceClient
  readonly random: RandomBytes
  /** What tells this machine from others, 64 hex digits. */
  readonly machineFingerprint: string
  /** Directory, in memory where possible, in which segments are put together. */
  readonly spoolDirectory: string
  /** Block bytes of a segment for which there is room in it. */
  readonly segmentBytesMax: number
  /** Seals the segment in the file, in its place. */
  readonly seal: (path: string, segment: number, session: SessionInfo) => Promise<SentFile>
  /** Waits until so many bytes more may go out. */
  readonly pace: (bytes: number) => Promise<void>
  /** Puts a file where a grant of the service allows it. Resolves with what the store said when it refused. */
  readonly putStaged: (
    file: SentFile,
    grant: Extract<UploadAnswer, { to: 'staging' }>,
  ) => Promise<StrataError | undefined>
  /** Hears how many segments the service still has to pack before it can make the point. */
  readonly onPending?: ((segments: number) => void) | undefined
}

/** The service, over HTTP. What it answers may come from another gateway with each request. */
export class HttpUplink implements Uplink {
  readonly #parts: HttpUplinkParts

  constructor(parts: HttpUplinkParts) {
    this.#parts = parts
  }

  async open({ setName, kind, disks }: OpenRequest): Promise<OpenedSession> {
    const attempt = Buffer.from(this.#parts.random(attemptBytes)).toString('hex')
    const body = { setName, kind, attempt, disks, machineFingerprint: this.#parts.machineFingerprint }
    const info = await this.#parts.client.ask(routes.open, { body })
    return new HttpSession(this.#parts, fromWireSessionInfo(info))
  }

  async resume({ set, session, sequenceAtOpen }: EarlierSession): Promise<ResumedSession> {
    const { client, machineFingerprint } = this.#parts
    const query = { after: sequenceAtOpen, machineFingerprint }
    try {
      const found = await client.ask(routes.state, { params: { set, session }, query })
      if (found.state === 'committed') return { state: 'committed', point: fromWireCommitted(found.point) }
      const opened = new HttpSession(this.#parts, fromWireSessionInfo(found.session))
      if (found.state === 'open') return { state: 'open', session: opened }
      return { state: 'committed', point: await opened.outcome(endedBefore) }
    } catch (error) {
      // The service has it no more, or can make no point of it: that was said by the service, and stays so.
      if (!hasCode(error, 'E_SESSION_UNKNOWN', 'E_SEGMENTS_MISSING', 'E_CONTENT_ROOT')) throw error
      return { state: 'over', why: error }
    }
  }
}

/** Another attempt than those of the run that has ended the session: one that failed is tried once more. */
const endedBefore = 1000

const attemptBytes = 16

class HttpSession implements OpenedSession {
  readonly session: SessionInfo['session']
  readonly set: SessionInfo['set']
  readonly setName: string
  readonly chain: SessionInfo['chain']
  readonly kind: SessionInfo['kind']
  readonly base: SessionInfo['base']
  readonly baseCopyOf?: string
  readonly sequenceAtOpen: number
  readonly disks: SessionInfo['disks']
  readonly blockDigestKey: Uint8Array
  readonly treeDigestKey: Uint8Array
  readonly transportKey: Uint8Array
  readonly segmentBytesMax: number
  readonly expiresAt: string
  readonly warnings: SessionInfo['warnings']
  readonly spoolDirectory: string
  readonly #info: SessionInfo
  readonly #parts: HttpUplinkParts
  /** By path: what is sealed already. A segment that must be sent again is sent as it is. */
  readonly #sealed = new Map<string, { readonly segment: number; readonly file: Promise<SentFile> }>()
  #finishes = 0

  constructor(parts: HttpUplinkParts, info: SessionInfo) {
    this.#parts = parts
    this.#info = info
    this.session = info.session
    this.set = info.set
    this.setName = info.setName
    this.chain = info.chain
    this.kind = info.kind
    this.base = info.base
    if (info.baseCopyOf !== undefined) this.baseCopyOf = info.baseCopyOf
    this.sequenceAtOpen = info.sequenceAtOpen
    this.disks = info.disks
    this.blockDigestKey = info.blockDigestKey
    this.treeDigestKey = info.treeDigestKey
    this.transportKey = info.transportKey
    this.segmentBytesMax = Math.min(info.segmentBytesMax, parts.segmentBytesMax)
    this.expiresAt = info.expiresAt
    this.warnings = info.warnings
    this.spoolDirectory = parts.spoolDirectory
  }

  async presentHistory(points: readonly RememberedPoint[]): Promise<readonly Warning[]> {
    const body = { points: [...points] }
    return (await this.#parts.client.ask(routes.history, { params: this.#params, body })).warnings
  }

  async baseDigests(disk: number, firstPage: number, pageCount: number): Promise<Uint8Array> {
    const query = { disk, firstPage, pageCount }
    return await this.#parts.client.askBytes(routes.digests, { params: this.#params, query })
  }

  async send(segment: number, path: string): Promise<void> {
    const file = await this.#sealedFile(segment, path)
    const { client } = this.#parts
    const params = { ...this.#params, segment: String(segment) }
    const body = { bytes: file.bytes, sha256: Buffer.from(file.sha256).toString('hex') }
    // Each try asks for leave anew: the service may want to be left alone for a while, and a grant lives for minutes.
    await client.patiently(async () => {
      const upload = await client.ask(routes.upload, { params, body })
      await this.#parts.pace(file.bytes)
      if (upload.to === 'service') await client.sendFile(routes.segment, { params }, file)
      else await this.#stage(file, upload, { params, body: { ...body, attempt: upload.attempt } })
    })
    this.#sealed.delete(path)
  }

  async #stage(file: SentFile, grant: Extract<UploadAnswer, { to: 'staging' }>, asked: Asked): Promise<void> {
    const refusal = await this.#parts.putStaged(file, grant)
    try {
      await this.#parts.client.ask(routes.staged, asked)
    } catch (error) {
      if (refusal === undefined || !hasCode(error, 'E_HANDOVER_LOST')) throw error
      throw new StrataError(error.code, `${error.message}; the staging area said: ${refusal.message}`, {
        cause: refusal,
      })
    }
  }

  async #sealedFile(segment: number, path: string): Promise<SentFile> {
    const known = this.#sealed.get(path)
    if (known?.segment === segment) return await known.file
    const file = this.#parts.seal(path, segment, this.#info)
    this.#sealed.set(path, { segment, file })
    return await file
  }

  async finish(end: FinishRequest): Promise<CommittedPoint> {
    this.#finishes += 1
    const attempt = this.#finishes
    const { client } = this.#parts
    await client.ask(routes.end, { params: this.#params, body: toWireEnd(end, attempt, this.sequenceAtOpen) })
    try {
      return await this.outcome(attempt)
    } catch (error) {
      throw hasCode(error, 'E_INTERRUPTED', 'E_SERVICE_UNREACHABLE', 'E_SERVICE_CERTIFICATE') ? withoutUs(error) : error
    }
  }

  /**
   * What becomes of a session whose end the service has been told. A stream that breaks says nothing of it: it is asked
   * for again, from whichever gateway there is.
   */
  async outcome(attempt: number): Promise<CommittedPoint> {
    return await this.#parts.client.patiently(() => this.#outcomeOnce(attempt))
  }

  async #outcomeOnce(attempt: number): Promise<CommittedPoint> {
    const query = { after: this.sequenceAtOpen, attempt }
    const { client, onPending } = this.#parts
    let pending = 0
    const last = await client.lastEvent(routes.events, { params: this.#params, query }, (event) => {
      if (event.event === 'committed' || event.event === 'failed') return true
      const { segmentsPending } = event.data as { segmentsPending?: unknown }
      if (typeof segmentsPending === 'number' && segmentsPending !== pending) onPending?.(segmentsPending)
      pending = Number(segmentsPending)
      return false
    })
    if (last === undefined) {
      throw new StrataError('E_SERVICE_UNREACHABLE', 'the service ended before it said what became of the session')
    }
    if (last.event === 'failed') throw errorFromDocument(last.data)
    return committedIn(last)
  }

  async abandon(): Promise<void> {
    await this.#parts.client.ask(routes.abandon, { params: this.#params, query: { after: this.sequenceAtOpen } })
  }

  get #params(): { set: string; session: string } {
    return { set: this.set, session: this.session }
  }
}

/** Nothing that this machine has is needed any more. */
function withoutUs(error: StrataError): StrataError {
  const message = `${error.message}; the service has everything and makes the point by itself`
  return new StrataError(error.code, message, {
    cause: error,
    hint: 'Look for the point with strata points where the store is, or run the backup again: it says what has become of this one.',
  })
}

function committedIn({ data }: ServerEvent): CommittedPoint {
  const problem = misfit(committedEventSchema, data)
  if (problem !== undefined)
    throw new StrataError('E_SERVICE_ANSWER', `in the answer to the end of the session, ${problem}`)
  return fromWireCommitted(data as Parameters<typeof fromWireCommitted>[0])
}
