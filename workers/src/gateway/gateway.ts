import { basename, dirname } from 'node:path'
import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, invariant, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { concatBytes } from '@strata/shared/format/bytes.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { keptWarnings, type DiskDescription, type PointKind, type Warning } from '@strata/shared/format/manifest.ts'
import { sessionEndName, sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import {
  abandonMsMax,
  chainPointsMax,
  clockSkewWarnMs,
  disksPerSetMax,
  pageEntriesMax,
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
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { baseOf, fullOf, latestPoint, latestSequence, readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { requireSetName } from '@strata/shared/set-name.ts'
import { asId, idBytes, idFromBytes, type ChainId, type SessionId } from '@strata/shared/types.ts'
import { findPublished, type CommitResult } from '../commit/commit-session.ts'
import { cutHistory } from './cut-history.ts'
import { endsWithin } from '../ends-within.ts'
import { describeNewDisks, judgeDisks } from './disk-rules.ts'
import type { HandOver } from '../local/hand-over.ts'
import { removeSessionObjects } from '../maintain/sweep/remove-session-objects.ts'
import { createSessionHandOver, removeSessionHandOver } from '../local/session-hand-over.ts'
import type { JobQueues } from './job-queues.ts'

interface OpenSession {
  readonly place: SessionPlace
  readonly base: PointMap | null
  /** The set's newest sequence number when the session was opened; 0: none. */
  readonly newestSequence: number
  /** The session's directory in the hand-over directory. */
  readonly handOver: string
  readonly sendings: Map<number, number>
  /** Segments that the workers have. */
  readonly underWay: Set<Promise<unknown>>
  finishing: number
}

/** The side of the service that agents talk to: opens sessions, takes what they send, and brings it to the workers. */
export class Gateway {
  readonly #repository: Repository
  readonly #queues: JobQueues
  readonly #handOver: HandOver
  readonly #clock: Clock
  readonly #sessions = new Map<SessionId, OpenSession>()

  constructor(repository: Repository, queues: JobQueues, handOver: HandOver, clock: Clock) {
    this.#repository = repository
    this.#queues = queues
    this.#handOver = handOver
    this.#clock = clock
  }

  async open(request: OpenRequest): Promise<SessionInfo> {
    const repository = this.#repository
    const setName = requireSetName(request.setName)
    const set = repository.setIdOf(setName)
    const plan = await this.#plan(request)
    const session = idFromBytes<SessionId>(repository.random(idBytes))
    const chain =
      plan.base === null ? idFromBytes<ChainId>(repository.random(idBytes)) : asId<ChainId>(plan.base.manifest.chain)
    const place: SessionPlace = { ...repository.placeOf(set), chain, session }
    const openedMs = await repository.store.now()
    const warnings = [...plan.warnings, ...clockWarnings(openedMs, this.#clock.nowMs())]
    const base = plan.base === null ? null : baseOf(plan.base)
    const document: Session = {
      strata: 'session',
      version: 1,
      session,
      setName,
      kind: plan.kind,
      chain,
      base,
      sequenceAtOpen: plan.sequence,
      disks: [...plan.disks],
      openedAt: new Date(openedMs).toISOString(),
      expiresAt: new Date(openedMs + sessionLifeMs).toISOString(),
      warnings: keptWarnings(warnings),
    }
    const name = sessionName(place, session)
    const bytes = encodeDocument(sessionType, name, document, repository.indexKeys, repository.nonce())
    const handOver = await createSessionHandOver(this.#handOver.path, session)
    try {
      await repository.store.put(name, [bytes], { ifAbsent: true })
    } catch (error) {
      await removeSessionHandOver(handOver)
      throw error
    }
    this.#sessions.set(session, {
      place,
      base: plan.map,
      newestSequence: plan.sequence,
      handOver,
      sendings: new Map(),
      underWay: new Set(),
      finishing: 0,
    })
    const keys = repository.digestKeysOf(set)
    return {
      session,
      set,
      chain,
      kind: plan.kind,
      base,
      disks: plan.disks,
      blockDigestKey: keys.block,
      treeDigestKey: keys.tree,
      warnings,
      spoolDirectory: handOver,
      segmentBytesMax: this.#handOver.segmentBytes,
    }
  }

  /** See `OpenedSession.presentHistory`. */
  async presentHistory(session: SessionId, points: readonly RememberedPoint[]): Promise<Warning[]> {
    const { place, base, newestSequence } = this.#session(session)
    if (points.length > disksPerSetMax) throw new StrataError('E_LIMIT', `${String(points.length)} remembered points`)
    // Nearly always it is the base, which was read when the session was opened.
    const others = points.filter(({ manifestDigest }) => manifestDigest !== base?.point.digest)
    return cutHistory(this.#repository, place.set, newestSequence, others)
  }

  /** See `OpenedSession.baseDigests`. */
  async baseDigests(session: SessionId, disk: number, firstPage: number, pageCount: number): Promise<Uint8Array> {
    const { base } = this.#session(session)
    if (base === null) return new Uint8Array(0)
    if (pageCount > pageEntriesMax)
      throw new StrataError('E_LIMIT', `digests of ${String(pageCount)} pages in one request`)
    const end = Math.min(firstPage + pageCount, base.counts(disk).pages)
    const numbers = Array.from({ length: Math.max(0, end - firstPage) }, (_, index) => firstPage + index)
    const digests: Uint8Array[] = []
    const read = async (): Promise<void> => {
      for await (const page of base.pages(disk, numbers)) digests.push(page.digests)
    }
    await readingBase(read())
    return concatBytes(digests)
  }

  /** Takes a segment that lies in the hand-over directory; resolves when its pack is stored. */
  async sent(session: SessionId, segment: number, segmentPath: string): Promise<void> {
    const open = this.#session(session)
    if (segment >= segmentsPerSessionMax) throw new StrataError('E_LIMIT', `segment ${String(segment)}`)
    if (dirname(segmentPath) !== open.handOver) {
      throw new StrataError('E_HANDOVER_LOST', `${segmentPath} is not in the hand-over directory of its session`)
    }
    const sending = (open.sendings.get(segment) ?? 0) + 1
    if (sending > sendingsPerSegmentMax)
      throw new StrataError('E_LIMIT', `segment ${String(segment)} was sent too often`)
    open.sendings.set(segment, sending)
    const { tenant, set, chain } = open.place
    const work = this.#queues.ingest(
      { tenant, set, chain, session, segment, segmentFile: basename(segmentPath) },
      sending,
    )
    open.underWay.add(work)
    try {
      await work
    } finally {
      open.underWay.delete(work)
    }
  }

  async finish(session: SessionId, request: FinishRequest): Promise<CommittedPoint> {
    const repository = this.#repository
    const open = this.#session(session)
    const { place } = open
    const document: SessionEnd = {
      strata: 'session-end',
      version: 1,
      session,
      segments: request.segments,
      contentRoots: request.contentRoots.map((root) => Buffer.from(root).toString('hex')),
      capturedAt: request.capturedAt,
      consistency: request.consistency,
      machine: request.machine,
      scannedBytes: request.scannedBytes,
      changedBytes: request.changedBytes,
      warnings: keptWarnings(request.warnings),
    }
    const name = sessionEndName(place, session)
    await repository.store.put(name, [
      encodeDocument(sessionEndType, name, document, repository.indexKeys, repository.nonce()),
    ])
    const { manifest, manifestDigest } = await this.#commit(open)
    const untidy = await this.#tidyUp(open, [sessionName(place, session), name])
    return {
      point: session,
      sequence: manifest.sequence,
      manifestDigest,
      createdAt: manifest.createdAt,
      storedBytes: manifest.statistics.storedBytes,
      warnings: [...manifest.warnings, ...untidy],
    }
  }

  /**
   * Where Redis is lost before it could say how the commit ended, the bucket says so; or where the commit was done once
   * more, and a sweeper had cleared away the documents of the point meanwhile.
   */
  async #commit(open: OpenSession): Promise<CommitResult> {
    const { tenant, set, session } = open.place
    open.finishing += 1
    try {
      const { sequence } = await this.#queues.commit({ tenant, set, session }, open.finishing)
      const { manifest, digest } = await readPoint(this.#repository, set, sequence)
      invariant(manifest.point === session, 'the commit made the point of this session')
      return { manifest, manifestDigest: digest }
    } catch (error) {
      if (!hasCode(error, 'E_REDIS_LOST', 'E_SESSION_UNKNOWN')) throw error
      const latest = await latestSequence(this.#repository, set, open.newestSequence)
      const published = await findPublished(this.#repository, set, session, open.newestSequence, latest)
      if (published === undefined) throw error
      return published
    }
  }

  /** The point is there: what cannot be cleared away now is in nobody's way. */
  async #tidyUp(open: OpenSession, documents: readonly string[]): Promise<Warning[]> {
    try {
      await this.#forget(open)
      await Promise.all(documents.map((name) => this.#repository.store.delete(name)))
      return []
    } catch (error) {
      return [
        { code: 'W_LEFT_OVER', message: `not all of the session was cleared away: ${toStrataError(error).message}` },
      ]
    }
  }

  /**
   * Gives a session up. Its packs go at once, unless a commit may still be under way, or Redis or the store hang: then
   * they stay for the sweeper, and whoever gives up is not kept.
   */
  async abandon(session: SessionId): Promise<void> {
    const open = this.#sessions.get(session)
    if (open === undefined) return
    await this.#forget(open)
    await endsWithin(this.#clock, abandonMsMax, this.#removePacks(open, session))
  }

  async #removePacks(open: OpenSession, session: SessionId): Promise<void> {
    // Without its hand-over a job soon ends; one that is storing its pack should not do so behind our back.
    await Promise.allSettled(open.underWay)
    if (open.finishing > 0) return
    const { store } = this.#repository
    // `open` last: while anything is left, the sweeper finds it by that.
    if (await removeSessionObjects(store, open.place)) await store.delete(sessionName(open.place, session))
  }

  async close(): Promise<void> {
    for (const open of this.#sessions.values()) await this.#forget(open)
  }

  async #forget(open: OpenSession): Promise<void> {
    this.#sessions.delete(open.place.session)
    await removeSessionHandOver(open.handOver)
  }

  #session(session: SessionId): OpenSession {
    const open = this.#sessions.get(session)
    if (open === undefined) throw new StrataError('E_SESSION_UNKNOWN', `session ${session} is not open here`)
    return open
  }

  async #plan(request: OpenRequest): Promise<SessionPlan> {
    const repository = this.#repository
    const set = repository.setIdOf(request.setName)
    const sequence = await latestSequence(repository, set)
    if (request.kind === 'full') return newChain(request, sequence, [])
    const latest = await readingBase(latestPoint(repository, set, sequence))
    if (latest === undefined) {
      const warning = {
        code: 'W_NO_BASE',
        message: `the set '${request.setName}' has no point yet, so this one is full`,
      }
      return newChain(request, sequence, request.kind === 'auto' ? [] : [warning])
    }
    const verdict = judgeDisks(latest.manifest, request.disks)
    if (!verdict.continues) return newChain(request, sequence, [verdict.warning])
    const base = request.kind === 'differential' ? await readingBase(fullOf(repository, latest)) : latest
    const map = await readingBase(PointMap.open(repository, base))
    if (map.root.keys.length >= chainPointsMax) {
      const message = `the chain has ${String(map.root.keys.length)} data keys, so a new one begins`
      return newChain(request, sequence, [{ code: 'W_CHAIN_LONG', message }])
    }
    const kind = request.kind === 'differential' ? 'differential' : 'incremental'
    return { kind, base, map, sequence, disks: verdict.disks, warnings: verdict.warnings }
  }
}

interface SessionPlan {
  readonly kind: PointKind
  readonly base: Point | null
  readonly map: PointMap | null
  readonly sequence: number
  readonly disks: readonly DiskDescription[]
  readonly warnings: readonly Warning[]
}

function newChain(request: OpenRequest, sequence: number, warnings: readonly Warning[]): SessionPlan {
  return { kind: 'full', base: null, map: null, sequence, disks: describeNewDisks(request.disks), warnings }
}

/** What is kept uses the store's time, so a wrong clock here harms no point; but its owner should know. */
function clockWarnings(storeMs: number, ownMs: number): Warning[] {
  const aheadMs = ownMs - storeMs
  if (Math.abs(aheadMs) <= clockSkewWarnMs) return []
  const minutes = String(Math.round(Math.abs(aheadMs) / 60_000))
  const message = `this machine's clock is ${minutes} minutes ${aheadMs > 0 ? 'ahead of' : 'behind'} the store's; points carry the store's time`
  return [{ code: 'W_CLOCK_SKEW', message }]
}
