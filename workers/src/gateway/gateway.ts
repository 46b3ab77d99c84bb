import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, invariant, StrataError } from '@strata/shared/errors.ts'
import { concatBytes } from '@strata/shared/format/bytes.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { keptWarnings, type Warning } from '@strata/shared/format/manifest.ts'
import { sessionEndName, sessionName, sessionObjectsPrefix, type SessionPlace } from '@strata/shared/format/names.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import { misfit } from '@strata/shared/format/schema.ts'
import {
  sessionEndType,
  sessionType,
  type Session,
  type SessionEnd,
  type WantedBlocks,
} from '@strata/shared/format/session.ts'
import {
  abandonMsMax,
  clockSkewWarnMs,
  disksPerSetMax,
  gatewaySetsKeptMax,
  pageEntriesMax,
  publishedSearchMax,
  segmentsPerSessionMax,
  sendingsPerSegmentMax,
  sessionLifeMs,
} from '@strata/shared/limits.ts'
import type {
  CommittedPoint,
  FinishRequest,
  OpenRequest,
  RememberedPoint,
  SessionInfo,
} from '@strata/shared/protocol/uplink.ts'
import { commitProgressSchema, type CommitProgress } from '@strata/shared/queue/commit-job.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { requireNotDestroyed } from '@strata/shared/repository/destruction.ts'
import { baseOf, latestSequence, readPoint } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { requireThere } from '@strata/shared/repository/retention/pins.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { asId, idBytes, idFromBytes, type ChainId, type SetId } from '@strata/shared/types.ts'
import { findPublished, type CommitResult } from '../commit/commit-session.ts'
import { endsWithin } from '../ends-within.ts'
import { removeSessionObjects } from '../maintain/sweep/remove-session-objects.ts'
import { giveUpSession } from '../maintain/sweep/sweep-sessions.ts'
import { cutHistory } from './cut-history.ts'
import type { JobQueues } from './job-queues.ts'
import { LiveSessions, unknownSession, type LiveSession, type SessionRef } from './live-sessions.ts'
import { PolicyDirectory } from './policy-directory.ts'
import { planSession, type SessionPlan } from './plan-session.ts'

export interface GatewayParts {
  readonly repository: Repository
  readonly queues: JobQueues
  readonly clock: Clock
  /** Block bytes that one segment may hold. */
  readonly segmentBytesMax: number
  /** No other gateway takes requests for its sessions: they begin and end here. */
  readonly isAlone: boolean
}

/** A session is open, has ended (its agent has sent everything), or has become a point. */
export type SessionState = { readonly setName: string } & (
  | { readonly state: 'open' | 'ended'; readonly session: SessionInfo }
  | { readonly state: 'committed'; readonly point: CommittedPoint }
)

/** A segment in the session's part of this host's hand-over directory. */
export interface HandedOver {
  readonly segmentFile: string
  /** Sealed with the session's transport key; else plain, and from this machine. */
  readonly sealed: boolean
  readonly bytes?: number | undefined
  readonly priority?: number | undefined
}

/**
 * One tenant's side of the service that agents talk to: opens sessions, takes what they send, and brings it to the
 * workers. All that it knows of a session is in the store, so any gateway may go on where another one began.
 */
export class Gateway {
  readonly repository: Repository
  readonly policies: PolicyDirectory
  readonly #queues: JobQueues
  readonly #clock: Clock
  readonly #segmentBytesMax: number
  readonly #isAlone: boolean
  readonly #sessions: LiveSessions
  /** The newest number of each set, when it was last looked at. */
  readonly #newest = new RecentlyUsed<SetId, number>(gatewaySetsKeptMax)

  constructor({ repository, queues, clock, segmentBytesMax, isAlone }: GatewayParts) {
    this.repository = repository
    this.policies = new PolicyDirectory(repository, clock)
    this.#queues = queues
    this.#clock = clock
    this.#segmentBytesMax = segmentBytesMax
    this.#isAlone = isAlone
    this.#sessions = new LiveSessions(repository)
  }

  /** The same `attempt` (16 bytes, hex) of a set gives the same session, however often it is asked for. */
  async open(request: OpenRequest, attempt: string): Promise<SessionInfo> {
    const { repository } = this
    const setName = requireSetName(request.setName)
    const set = repository.setIdOf(setName)
    const session = repository.sessionIdOf(set, attempt)
    await requireNotDestroyed(repository.store, repository.tenant)
    const wantsLocks = await this.policies.wantsLocks()
    const plan = await planSession(repository, request, this.#newest.peek(set) ?? 0, wantsLocks)
    this.#newest.set(set, plan.sequence)
    const chain =
      plan.base === null ? idFromBytes<ChainId>(repository.random(idBytes)) : asId<ChainId>(plan.base.manifest.chain)
    const place: SessionPlace = { ...repository.placeOf(set), chain, session }
    const document = await this.#documentOf(place, setName, plan)
    const name = sessionName(place, session)
    const bytes = encodeDocument(sessionType, name, document, repository.indexKeys, repository.nonce())
    try {
      await repository.store.put(name, [bytes], { ifAbsent: true })
    } catch (error) {
      if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
      return this.infoOf(await this.find({ set, session }))
    }
    // From now on the session is a pin on its base. A prune may have been quicker.
    if (plan.kind === 'differential' && plan.base !== null) {
      await requireThere(repository, set, [plan.base.sequence])
    }
    return this.infoOf(this.#sessions.add(place, document, plan.map))
  }

  async #documentOf(place: SessionPlace, setName: string, plan: SessionPlan): Promise<Session> {
    const openedMs = await this.repository.store.now()
    const warnings = [...plan.warnings, ...clockWarnings(openedMs, this.#clock.nowMs())]
    return {
      strata: 'session',
      version: 1,
      session: place.session,
      setName,
      kind: plan.kind,
      chain: place.chain,
      base: plan.base === null ? null : baseOf(plan.base),
      ...baseCopyOf(plan.base?.manifest.copyOf?.manifestDigest),
      sequenceAtOpen: plan.sequence,
      disks: [...plan.disks],
      openedAt: new Date(openedMs).toISOString(),
      expiresAt: new Date(openedMs + sessionLifeMs).toISOString(),
      warnings: keptWarnings(warnings),
      ...wantedMember(plan.wanted),
    }
  }

  /** E_SESSION_UNKNOWN. */
  async find(ref: SessionRef): Promise<LiveSession> {
    return await this.#sessions.find(ref)
  }

  infoOf({ place, document }: LiveSession): SessionInfo {
    const keys = this.repository.digestKeysOf(place.set)
    const { setName, kind, base, sequenceAtOpen, disks, expiresAt, warnings } = document
    return {
      session: place.session,
      set: place.set,
      setName,
      chain: place.chain,
      kind,
      base,
      ...baseCopyOf(document.baseCopyOf),
      sequenceAtOpen,
      disks,
      blockDigestKey: keys.block,
      treeDigestKey: keys.tree,
      transportKey: this.repository.transportKeyOf(place.session),
      segmentBytesMax: this.#segmentBytesMax,
      expiresAt,
      warnings,
      ...wantedMember(document.wanted ?? []),
    }
  }

  /**
   * Whose session it is, or was before it became a point. `after`: the set's newest number when it was opened.
   * E_SESSION_UNKNOWN.
   */
  async setOf(ref: SessionRef, after: number): Promise<Pick<Session, 'setName'>> {
    try {
      return (await this.find(ref)).document
    } catch (error) {
      if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
      return (await this.#published(ref, after, error)).manifest
    }
  }

  /** `after`: as above. E_SESSION_UNKNOWN. */
  async state(ref: SessionRef, after: number): Promise<SessionState> {
    try {
      const live = await this.find(ref)
      const { setName } = live.document
      const ended = await this.repository.store.head(sessionEndName(live.place, ref.session))
      if (ended !== undefined) return { state: 'ended', setName, session: this.infoOf(live) }
      // It may have been cleared away with all of the session: what this gateway knows of it may be old.
      const published = await this.#findPublished(ref, live.document.sequenceAtOpen)
      return published === undefined
        ? { state: 'open', setName, session: this.infoOf(live) }
        : committedState(published)
    } catch (error) {
      if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
      return committedState(await this.#published(ref, after, error))
    }
  }

  /** See `OpenedSession.presentHistory`. */
  async presentHistory(ref: SessionRef, points: readonly RememberedPoint[]): Promise<Warning[]> {
    const { place, document } = await this.find(ref)
    if (points.length > disksPerSetMax) throw new StrataError('E_LIMIT', `${String(points.length)} remembered points`)
    // Nearly always it is the base, which was read when the session was opened.
    const others = points.filter(({ manifestDigest }) => manifestDigest !== document.base?.manifestDigest)
    return await cutHistory(this.repository, place.set, document.sequenceAtOpen, others)
  }

  /** See `OpenedSession.baseDigests`. */
  async baseDigests(ref: SessionRef, disk: number, firstPage: number, pageCount: number): Promise<Uint8Array> {
    const live = await this.find(ref)
    const base = await live.base()
    if (base === null) return new Uint8Array(0)
    if (disk >= live.document.disks.length) throw new StrataError('E_LIMIT', `disk ${String(disk)}`)
    if (pageCount > pageEntriesMax) {
      throw new StrataError('E_LIMIT', `digests of ${String(pageCount)} pages in one request`)
    }
    const end = Math.min(firstPage + pageCount, base.counts(disk).pages)
    const numbers = Array.from({ length: Math.max(0, end - firstPage) }, (_, index) => firstPage + index)
    const digests: Uint8Array[] = []
    const read = async (): Promise<void> => {
      for await (const page of base.pages(disk, numbers)) digests.push(page.digests)
    }
    await readingBase(read())
    return concatBytes(digests)
  }

  /** Takes a segment on this host; resolves when its pack is stored. */
  async handedOver(
    ref: SessionRef,
    segment: number,
    { segmentFile, sealed, bytes, priority }: HandedOver,
  ): Promise<void> {
    const live = await this.find(ref)
    if (segment >= segmentsPerSessionMax) throw new StrataError('E_LIMIT', `segment ${String(segment)}`)
    const sending = (live.sendings.get(segment) ?? 0) + 1
    if (sending > sendingsPerSegmentMax) {
      throw new StrataError('E_LIMIT', `segment ${String(segment)} was sent too often`)
    }
    live.sendings.set(segment, sending)
    const { tenant, set, session } = live.place
    const job = { from: 'handOver', tenant, set, session, segment, segmentFile, sealed } as const
    const work = this.#queues.handOver(job, { bytes, priority })
    live.underWay.add(work)
    try {
      await work
    } catch (error) {
      // Nobody may have taken it: an outage is no fault of the segment, and may be a long one.
      if (hasCode(error, 'E_REDIS_LOST', 'E_REDIS_REFUSES')) live.sendings.set(segment, sending - 1)
      live.isUnheardOf ||= hasCode(error, 'E_REDIS_LOST')
      throw error
    } finally {
      live.underWay.delete(work)
    }
  }

  /** Takes a segment that was found in the staging area. Resolves when the workers know of it. */
  async staged(ref: SessionRef, segment: number, attempt: string, bytes: number, priority?: number): Promise<void> {
    const { tenant, set, session } = (await this.find(ref)).place
    const job = { from: 'staging', tenant, set, session, segment, attempt, bytes } as const
    await this.#queues.stage(job, priority)
  }

  /**
   * Takes note that everything was sent; from now on the point can be made, with or without the agent. A repeat, with the
   * point made meanwhile, changes nothing. `after`: the set's newest number when the session was opened.
   */
  async end(ref: SessionRef, after: number, request: FinishRequest): Promise<void> {
    const { repository } = this
    const live = await this.#openOrPublished(ref, after)
    if (live === undefined) return
    const { place } = live
    const document: SessionEnd = {
      strata: 'session-end',
      version: 1,
      session: ref.session,
      segments: request.segments,
      contentRoots: request.contentRoots.map((root) => Buffer.from(root).toString('hex')),
      capturedAt: request.capturedAt,
      consistency: request.consistency,
      machine: request.machine,
      scannedBytes: request.scannedBytes,
      changedBytes: request.changedBytes,
      warnings: keptWarnings(request.warnings),
    }
    const name = sessionEndName(place, ref.session)
    const bytes = encodeDocument(sessionEndType, name, document, repository.indexKeys, repository.nonce())
    live.ended = true
    await repository.store.put(name, [bytes])
  }

  /**
   * Resolves with the point that an ended session has become. A repeat of an `attempt` waits for the same commit. Where
   * Redis is lost before it could say how the commit ended, the bucket says so; or where the commit was done once more,
   * and the documents of the session had been cleared away meanwhile.
   */
  async outcome(
    ref: SessionRef,
    after: number,
    attempt: number,
    onProgress?: (progress: CommitProgress) => void,
  ): Promise<CommittedPoint> {
    const { tenant } = this.repository
    let committed: CommitResult
    let untidy: readonly Warning[] = []
    try {
      const job = { tenant, set: ref.set, session: ref.session, after }
      const result = await this.#queues.commit(job, attempt, (said) => {
        if (misfit(commitProgressSchema, said) === undefined) onProgress?.(said as CommitProgress)
      })
      untidy = result.warnings
      const { manifest, digest } = await readPoint(this.repository, ref.set, result.sequence)
      invariant(manifest.point === ref.session, 'the commit made the point of this session')
      committed = { manifest, manifestDigest: digest }
    } catch (error) {
      if (!hasCode(error, 'E_REDIS_LOST', 'E_SESSION_UNKNOWN')) throw error
      committed = await this.#published(ref, after, error)
    }
    this.#sessions.forget(ref)
    this.#newest.set(ref.set, committed.manifest.sequence)
    const point = committedPoint(committed)
    return { ...point, warnings: [...point.warnings, ...untidy] }
  }

  /**
   * Gives a session up. Where nobody else can have ended it, its packs go at once; else it gets a void first, as when the
   * sweeper finds it. Redis or a store that hangs keeps nobody: what is left then is for the sweeper.
   */
  async abandon(ref: SessionRef): Promise<void> {
    let live: LiveSession
    try {
      live = await this.find(ref)
    } catch (error) {
      if (hasCode(error, 'E_SESSION_UNKNOWN')) return
      throw error
    }
    this.#sessions.forget(ref)
    await endsWithin(this.#clock, abandonMsMax, this.#clear(live))
  }

  async #clear(live: LiveSession): Promise<void> {
    const { store } = this.repository
    const { place } = live
    // Without its hand-over a job soon ends; one that is storing its pack should not do so behind our back.
    await Promise.allSettled(live.underWay)
    if (!this.#isAlone) {
      await giveUpSession(this.repository, place.set, place.session)
    } else if (!live.ended) {
      await removeSessionObjects(store, sessionObjectsPrefix(place))
      // Last: while anything is left, or may still come, the sweeper finds it by that.
      if (!live.isUnheardOf) await store.delete(sessionName(place, place.session))
    }
  }

  /** undefined: it has become a point. */
  async #openOrPublished(ref: SessionRef, after: number): Promise<LiveSession | undefined> {
    try {
      const live = await this.find(ref)
      // It may have been cleared away with all of the session: what this gateway knows of it may be old.
      if ((await this.repository.store.head(sessionName(live.place, ref.session))) !== undefined) return live
      throw unknownSession(ref)
    } catch (error) {
      if (!hasCode(error, 'E_SESSION_UNKNOWN')) throw error
      this.#sessions.forget(ref)
      await this.#published(ref, after, error)
      return undefined
    }
  }

  /** The point that a session has become, or the error. */
  async #published(ref: SessionRef, after: number, otherwise: unknown): Promise<CommitResult> {
    const published = await this.#findPublished(ref, after)
    if (published === undefined) throw otherwise
    return published
  }

  /** E_SESSION_UNKNOWN: it was given up. */
  async #findPublished({ set, session }: SessionRef, after: number): Promise<CommitResult | undefined> {
    const latest = await latestSequence(this.repository, set, after)
    return await findPublished(this.repository, set, session, after, Math.min(latest, after + publishedSearchMax))
  }
}

function committedState(published: CommitResult): SessionState {
  return { state: 'committed', setName: published.manifest.setName, point: committedPoint(published) }
}

function committedPoint({ manifest, manifestDigest }: CommitResult): CommittedPoint {
  return {
    point: asId(manifest.point),
    sequence: manifest.sequence,
    manifestDigest,
    createdAt: manifest.createdAt,
    storedBytes: manifest.statistics.storedBytes,
    warnings: manifest.warnings,
  }
}

/** What is kept uses the store's time, so a wrong clock here harms no point; but its owner should know. */
function baseCopyOf(digest: string | undefined): { baseCopyOf?: string } {
  return digest === undefined ? {} : { baseCopyOf: digest }
}

function wantedMember(wanted: readonly WantedBlocks[]): { wanted?: WantedBlocks[] } {
  return wanted.length === 0 ? {} : { wanted: [...wanted] }
}

function clockWarnings(storeMs: number, ownMs: number): Warning[] {
  const aheadMs = ownMs - storeMs
  if (Math.abs(aheadMs) <= clockSkewWarnMs) return []
  const minutes = String(Math.round(Math.abs(aheadMs) / 60_000))
  const message = `this machine's clock is ${minutes} minutes ${aheadMs > 0 ? 'ahead of' : 'behind'} the store's; points carry the store's time`
  return [{ code: 'W_CLOCK_SKEW', message }]
}
