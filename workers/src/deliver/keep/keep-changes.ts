import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { equalBytes } from '@strata/shared/format/bytes.ts'
import { BlockDigester, ContentRootBuilder, digestBytes, isAllZero, zeroDigest } from '@strata/shared/format/digest.ts'
import { encodeDocument } from '@strata/shared/format/document.ts'
import { sessionEndName, sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import type { Page } from '@strata/shared/format/page.ts'
import { encodeSegmentTail, type SegmentEntry } from '@strata/shared/format/segment.ts'
import { sessionEndType, sessionType, type Session, type SessionEnd } from '@strata/shared/format/session.ts'
import { pageEntriesMax, segmentEntriesMax, sessionLifeMs } from '@strata/shared/limits.ts'
import { segmentSizeOf } from '@strata/shared/queue/ingest-job.ts'
import { isClosed } from '@strata/shared/policy/chain-lock.ts'
import { instant } from '@strata/shared/repository/registry/registry.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import {
  baseOf,
  chainPlaceOf,
  latestSequence,
  pointId,
  readPoint,
  type Point,
} from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { HandOver } from '@strata/shared/spool/hand-over.ts'
import { idBytes, idFromBytes, type SessionId } from '@strata/shared/types.ts'
import { runCommit } from '../../commit/commit-job.ts'
import { Ingest } from '../../ingest/ingest-segment.ts'
import { giveUpSession } from '../../maintain/sweep/sweep-sessions.ts'
import type { DiskImage } from '../image/disk-image.ts'

/**
 * Makes a point of a disk of a point that somebody has changed: a session as a backup's is, whose only reader is this process.
 * Blocks that may have changed are read and compared; packs, commit and content root are those of every backup.
 */
export interface KeepOptions {
  readonly repository: Repository
  /** What was changed, and the base of the new point. */
  readonly point: Point
  /** Index of its disk. */
  readonly disk: number
  readonly image: DiskImage
  /** Blocks that may have changed, ascending. */
  readonly blocks: Iterable<number>
  /** For segments on their way to a thread. */
  readonly handOver: Pick<HandOver, 'path' | 'segmentBytes'>
  readonly threads: number
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: { readonly doneBytes: number }) => void) | undefined
}

export interface Kept {
  readonly point: Point
  /** Of blocks that were compared. */
  readonly scannedBytes: number
  readonly changedBytes: number
  readonly durationMs: number
}

/** Errors: E_CHAIN_CLOSED, where the lock of the chain says so; what reading the point, and storing, ends with. */
export async function keepChanges(options: KeepOptions): Promise<Kept> {
  return await new Keeping(options).run()
}

class Keeping {
  readonly #options: KeepOptions
  readonly #startedMs: number
  readonly #place: SessionPlace
  readonly #digester: BlockDigester
  readonly #ingest: Ingest
  #entries: SegmentEntry[] = []
  #frames: Buffer[] = []
  #framesBytes = 0
  #segments = 0
  #scannedBytes = 0
  #changedBytes = 0

  constructor(options: KeepOptions) {
    const { repository, point, threads, clock } = options
    this.#options = options
    this.#startedMs = clock.monotonicMs()
    const session = idFromBytes<SessionId>(repository.random(idBytes))
    this.#place = { ...chainPlaceOf(repository, point), session }
    this.#digester = new BlockDigester(repository.digestKeysOf(point.set).block)
    this.#ingest = new Ingest(threads)
  }

  async run(): Promise<Kept> {
    const { repository, point, clock } = this.#options
    const { session } = this.#place
    try {
      const map = await PointMap.open(repository, point)
      const sequence = await latestSequence(repository, point.set)
      await this.#open(sequence)
      try {
        const root = await this.#compare(map)
        await this.#end(root)
        const job = { tenant: repository.tenant, set: point.set, session, after: sequence }
        const { sequence: own } = await runCommit(repository, job, undefined)
        return {
          point: await readPoint(repository, point.set, own),
          scannedBytes: this.#scannedBytes,
          changedBytes: this.#changedBytes,
          durationMs: clock.monotonicMs() - this.#startedMs,
        }
      } catch (error) {
        // The overlay has all of it still; where even that fails, the sweep does it later.
        await giveUpSession(repository, point.set, session).catch(() => undefined)
        throw error
      }
    } finally {
      await this.#ingest.close()
    }
  }

  async #open(sequenceAtOpen: number): Promise<void> {
    const { repository, point } = this.#options
    const openedMs = await repository.store.now()
    requireOpen(point, openedMs)
    const open: Session = {
      strata: 'session',
      version: 1,
      session: this.#place.session,
      setName: point.manifest.setName,
      kind: 'incremental',
      chain: this.#place.chain,
      base: baseOf(point),
      sequenceAtOpen,
      disks: point.manifest.disks.map(({ name, sizeBytes, blockBytes, identity }) => ({
        name,
        sizeBytes,
        blockBytes,
        identity,
      })),
      openedAt: instant(openedMs),
      expiresAt: instant(openedMs + sessionLifeMs),
      warnings: [],
    }
    const name = sessionName(this.#place, this.#place.session)
    const bytes = encodeDocument(sessionType, name, open, repository.indexKeys, repository.nonce())
    await repository.store.put(name, [bytes], { ifAbsent: true })
  }

  /** Stores what has changed. Gives the content root of the disk as it is now. */
  async #compare(map: PointMap): Promise<Buffer> {
    const { repository, point, disk, blocks, signal } = this.#options
    const shape = map.disk(disk)
    const { pages, blocks: blockTotal } = map.counts(disk)
    const root = new ContentRootBuilder(repository.digestKeysOf(point.set).tree, shape)
    const changing = blocks[Symbol.iterator]()
    let next = changing.next()
    for (let number = 0; number < pages; number += 1) {
      if (signal?.aborted === true) {
        throw new StrataError('E_INTERRUPTED', 'it was interrupted; nothing was kept yet', { cause: signal.reason })
      }
      const entries = Math.min(pageEntriesMax, blockTotal - number * pageEntriesMax)
      const page = await pageOf(map, disk, number)
      const ofPage: number[] = []
      for (; next.done !== true && Math.floor(next.value / pageEntriesMax) === number; next = changing.next()) {
        ofPage.push(next.value)
      }
      if (page === undefined && ofPage.length === 0) {
        root.pushZeros(entries)
        continue
      }
      const digests = page === undefined ? new Uint8Array(entries * digestBytes) : page.digests.slice()
      for (const block of ofPage) await this.#block(block, digests)
      root.push(digests)
    }
    if (this.#entries.length > 0) await this.#store()
    return root.finish()
  }

  /** @param digests of its page, with the block's as it was in the point; then as it is */
  async #block(block: number, digests: Uint8Array): Promise<void> {
    const { image, handOver, onProgress } = this.#options
    const offset = block * image.blockBytes
    const length = Math.min(image.blockBytes, image.sizeBytes - offset)
    const read = await image.read(offset, length)
    const bytes = Buffer.concat(read.parts.map((part) => ('bytes' in part ? part.bytes : Buffer.alloc(part.zeroBytes))))
    read.release()
    this.#scannedBytes += length
    onProgress?.({ doneBytes: this.#scannedBytes })
    const isZero = isAllZero(bytes)
    const digest = isZero ? zeroDigest : Uint8Array.from(this.#digester.digest(bytes))
    const at = (block % pageEntriesMax) * digestBytes
    if (equalBytes(digests.subarray(at, at + digestBytes), digest)) return
    digests.set(digest, at)
    this.#changedBytes += length
    if (isZero) this.#entries.push({ state: 'zero', block, digest })
    else {
      this.#entries.push({ state: 'data', block, digest, offset: this.#framesBytes, length })
      this.#frames.push(bytes)
      this.#framesBytes += length
    }
    const isFull =
      this.#framesBytes + image.blockBytes > handOver.segmentBytes || this.#entries.length === segmentEntriesMax
    if (isFull) await this.#store()
  }

  async #store(): Promise<void> {
    const { repository, point, disk, image, handOver } = this.#options
    const { session } = this.#place
    const segment = this.#segments
    const header = { session, segment, disk, blockBytes: image.blockBytes, entries: this.#entries }
    const path = join(handOver.path, `${session}-${String(segment)}`)
    {
      await using file = await open(path, 'wx', 0o600)
      await file.writev([...this.#frames, encodeSegmentTail(header, this.#framesBytes)])
    }
    const size = segmentSizeOf(this.#framesBytes)
    await this.#ingest.run(repository, { set: point.set, session, segment, path, sealed: false, size })
    await rm(path)
    this.#segments += 1
    this.#entries = []
    this.#frames = []
    this.#framesBytes = 0
  }

  async #end(contentRoot: Buffer): Promise<void> {
    const { repository, point, disk } = this.#options
    const { disks, machine } = point.manifest
    const end: SessionEnd = {
      strata: 'session-end',
      version: 1,
      session: this.#place.session,
      segments: this.#segments,
      contentRoots: disks.map((one, index) => (index === disk ? contentRoot.toString('hex') : one.contentRoot)),
      capturedAt: instant(await repository.store.now()),
      consistency: 'unchanged',
      machine,
      scannedBytes: this.#scannedBytes,
      changedBytes: this.#changedBytes,
      warnings: [
        {
          code: 'W_KEPT_CHANGES',
          message: `not read from the machine, but made of what was written to a mount of point ${pointId(point)}`,
        },
      ],
    }
    const name = sessionEndName(this.#place, this.#place.session)
    await repository.store.put(name, [
      encodeDocument(sessionEndType, name, end, repository.indexKeys, repository.nonce()),
    ])
  }
}

/** E_CHAIN_CLOSED, before anything is read. */
function requireOpen({ manifest }: Point, nowMs: number): void {
  const { lock } = manifest
  if (lock === undefined || !isClosed(lock, nowMs)) return
  throw new StrataError('E_CHAIN_CLOSED', `the chain of the point closed at ${lock.closesAt}, as its lock has it`, {
    hint: 'It takes no more points. Mount the overlay, show it as a file (nbdfuse), and back that up as a set of its own.',
  })
}

async function pageOf(map: PointMap, disk: number, number: number): Promise<Page | undefined> {
  const node = await map.node(disk, Math.floor(number / pageEntriesMax))
  if (node.isZero(number % pageEntriesMax)) return undefined
  for await (const page of map.pages(disk, [number])) return page
  return undefined
}
