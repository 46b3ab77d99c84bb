import { join } from 'node:path'
import type { Clock } from '@strata/shared/clock.ts'
import { requireDiskNames } from '@strata/shared/disk-name.ts'
import { StrataError, toStrataError } from '@strata/shared/errors.ts'
import type { BasePoint, Consistency, DiskDescription, PointKind, Warning } from '@strata/shared/format/manifest.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import { blocksPerDiskMax } from '@strata/shared/limits.ts'
import type { CommittedPoint, EarlierSession, OpenedSession, Uplink } from '@strata/shared/protocol/uplink.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { ScanPool, scanThreadsDefault } from './capture/scan-pool.ts'
import { openSource, type Source } from './capture/source.ts'
import { mountWarning } from './capture/stability.ts'
import { forgetDigests, giveUp, isOfDigestFiles, isWorthKeeping } from './give-up.ts'
import { thisMachine } from './machine.ts'
import { SessionJournal } from './resume/session-journal.ts'
import { Passes, type PassOptions, type PassProgress, type PassResult } from './passes.ts'
import { SendQueue } from './send/send-queue.ts'
import { makeStateDirectory } from './state-directory.ts'
import { SetState, type DigestsFrom } from './track/base-digests.ts'

/**
 * A backup of a set, from the endpoint's side: open → scan and send, until nothing changed meanwhile → finish → keep
 * the digests for the next one. Whatever goes wrong before `finish` has resolved: the session is abandoned, no file of
 * it is left on this machine, and nothing is visible.
 */
export interface BackupOptions {
  readonly uplink: Uplink
  readonly sources: readonly { readonly name: string; readonly path: string }[]
  readonly setName: string
  readonly kind: PointKind | 'auto'
  /** When the operator wants a certain block size. */
  readonly blockBytes?: number
  readonly stateDirectory: string
  /** Told when the run goes on with a session that an earlier one began, and when that has become a point since. */
  readonly onResume?: (what: 'goes-on' | 'committed' | 'over') => void
  /** Keep a point that is marked as inconsistent when a source does not stay unchanged. */
  readonly allowChanging: boolean
  readonly clock: Clock
  readonly scanThreads?: number
  /** Ends the run with E_INTERRUPTED, unless the commit has begun. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: BackupProgress) => void
  /** Hears of each warning when it arises; the outcome has all of them. */
  readonly onWarning?: (warning: Warning) => void
}

export type BackupProgress = { readonly phase: 'open' | 'commit' } | ({ readonly phase: 'scan' } & PassProgress)

export interface BackedUpDisk extends DiskDescription {
  readonly path: string
  readonly scannedBytes: number
  readonly bytesRead: number
  readonly changedBytes: number
  readonly zeroedBytes: number
  /** Where the digests of the base came from. */
  readonly digestsFrom: DigestsFrom
}

export interface BackupOutcome {
  readonly point: SessionId
  readonly set: SetId
  readonly setName: string
  readonly chain: ChainId
  readonly kind: PointKind
  readonly base: BasePoint | null
  readonly sequence: number
  readonly manifestDigest: string
  readonly createdAt: string
  readonly capturedAt: string
  readonly consistency: Consistency
  readonly disks: readonly BackedUpDisk[]
  /** Of all disks together. */
  readonly sizeBytes: number
  /** Bytes of the disks that were considered, holes among them: all of them, once, however many passes it took. */
  readonly scannedBytes: number
  /** Bytes that really were read, in all passes. */
  readonly bytesRead: number
  /** Bytes of the blocks sent, in all passes; blocks that became zeros travel as a note and are in `zeroedBytes`. */
  readonly changedBytes: number
  readonly zeroedBytes: number
  readonly storedBytes: number
  readonly segments: number
  readonly segmentsInFlightPeak: number
  readonly passes: number
  readonly durationMs: number
  readonly warnings: readonly Warning[]
}

/** Errors: E_DISK_NAME, E_SOURCE_*, E_STATE_UNWRITABLE, E_HANDOVER_*, E_INTERRUPTED, and those of the uplink. */
export async function backupSet(options: BackupOptions): Promise<BackupOutcome> {
  requireDiskNames(options.sources.map((source) => source.name))
  makeStateDirectory(join(options.stateDirectory, 'sets'))
  const run = new BackupRun(options)
  return await run.run()
}

class BackupRun {
  readonly #options: BackupOptions
  readonly #startedMs: number
  readonly #warnings: Warning[] = []
  readonly #stop = new AbortController()
  readonly #sources: Source[] = []

  constructor(options: BackupOptions) {
    this.#options = options
    this.#startedMs = options.clock.monotonicMs()
  }

  async run(): Promise<BackupOutcome> {
    const { signal } = this.#options
    const interrupt = (): void => {
      this.#stop.abort(new StrataError('E_INTERRUPTED', 'the backup was interrupted; nothing of it is visible'))
    }
    if (signal?.aborted === true) interrupt()
    signal?.addEventListener('abort', interrupt)
    // Where sessions outlive their runs, two runs would go on with the same one.
    const lock =
      this.#options.uplink.resume === undefined
        ? undefined
        : SessionJournal.lock(this.#options.stateDirectory, this.#options.setName)
    try {
      this.#stop.signal.throwIfAborted()
      this.#openSources()
      return await this.#withPool()
    } finally {
      lock?.release()
      signal?.removeEventListener('abort', interrupt)
      for (const source of this.#sources) source.close()
    }
  }

  #openSources(): void {
    for (const wanted of this.#options.sources) {
      const source = openSource(wanted)
      this.#sources.push(source)
      const warning = mountWarning(source)
      if (warning !== null) this.#warn(warning)
    }
  }

  async #withPool(): Promise<BackupOutcome> {
    const { clock, stateDirectory } = this.#options
    const pool = new ScanPool(this.#options.scanThreads ?? scanThreadsDefault)
    try {
      this.#options.onProgress?.({ phase: 'open' })
      const { session, journal, earlier } = await this.#open()
      const queue = new SendQueue(session, this.#stop, journal)
      let passes: Passes | null = null
      let committed: CommittedPoint | null = null
      const removeFiles = (): void => {
        queue.removeFiles()
        passes?.removeFiles()
      }
      try {
        this.#stop.signal.throwIfAborted()
        const state = new SetState(stateDirectory, session.set, clock.nowMs())
        await this.#presentHistory(session, state)
        await queue.fillGaps()
        passes = this.#passes(session, state, pool, queue, { journal, isResumed: earlier })
        const result = await passes.run()
        this.#stop.signal.throwIfAborted()
        committed = await this.#finish(session, queue, result).catch((error: unknown) => {
          throw isOfDigestFiles(error, result) ? forgetDigests(error, state) : error
        })
        this.#publish(passes, committed)
        journal?.remove()
        return this.#outcome(session, queue, result, committed)
      } catch (error) {
        if (committed !== null) throw error
        // First of all: nobody knows how long the service takes to answer now.
        removeFiles()
        if (journal !== null && isWorthKeeping(error)) throw error
        journal?.remove()
        throw await giveUp(error, session)
      } finally {
        removeFiles()
        journal?.close()
      }
    } finally {
      await pool.close()
    }
  }

  async #open(): Promise<RunSession> {
    const { uplink, setName, kind, stateDirectory, onResume } = this.#options
    if (uplink.resume === undefined) return { session: await this.#openNew(), journal: null, earlier: false }
    const journal = SessionJournal.open(stateDirectory, setName)
    if (journal !== null) {
      const resumed = await uplink.resume(earlierOf(journal))
      if (resumed.state === 'open') {
        const { session } = resumed
        if (journal.isOf(this.#sources) && fits(session.kind, kind)) {
          onResume?.('goes-on')
          return { session, journal, earlier: true }
        }
        await session.abandon()
      }
      onResume?.(resumed.state === 'open' ? 'over' : resumed.state)
      journal.remove()
    }
    const session = await this.#openNew()
    return { session, journal: SessionJournal.begin(stateDirectory, session), earlier: false }
  }

  async #openNew(): Promise<OpenedSession> {
    const { uplink, setName, kind, blockBytes } = this.#options
    const disks = this.#sources.map(({ name, sizeBytes, identity }) => ({
      name,
      sizeBytes,
      identity,
      ...(blockBytes === undefined ? {} : { blockBytes }),
    }))
    return await uplink.open({ setName, kind, disks })
  }

  async #presentHistory(session: OpenedSession, state: SetState): Promise<void> {
    const remembered = state.remembered()
    if (remembered.length === 0) return
    for (const warning of await session.presentHistory(remembered)) this.#warn(warning)
  }

  #passes(
    session: OpenedSession,
    state: SetState,
    pool: ScanPool,
    queue: SendQueue,
    resuming: Pick<PassOptions, 'journal' | 'isResumed'>,
  ): Passes {
    const { clock, allowChanging, onProgress } = this.#options
    session.disks.forEach(requireAddressable)
    return new Passes({
      session,
      sources: this.#sources,
      tools: {
        pool,
        queue,
        stop: this.#stop,
        blockDigestKey: session.blockDigestKey,
        treeDigestKey: session.treeDigestKey,
      },
      state,
      ...resuming,
      clock,
      allowChanging,
      onProgress: (progress) => onProgress?.({ phase: 'scan', ...progress }),
      onWarning: (warning) => {
        this.#warn(warning)
      },
    })
  }

  async #finish(session: OpenedSession, queue: SendQueue, result: PassResult): Promise<CommittedPoint> {
    this.#options.onProgress?.({ phase: 'commit' })
    return await session.finish({
      segments: queue.segments,
      contentRoots: result.disks.map((disk) => disk.contentRoot),
      capturedAt: new Date(result.capturedAtMs).toISOString(),
      consistency: result.consistency,
      machine: thisMachine(),
      scannedBytes: this.#sizeBytes(),
      changedBytes: sum(result.disks.map((disk) => disk.counts.dataBytes)),
      warnings: this.#warnings,
    })
  }

  /** The point is visible by now; without its digests the next session only asks for them. */
  #publish(passes: Passes, committed: CommittedPoint): void {
    try {
      passes.publish(committed)
    } catch (error) {
      const message = `the local digests could not be kept (${toStrataError(error).message}); the next backup reads them from the map`
      this.#warn({ code: 'W_DIGESTS_LOST', message })
    }
  }

  #outcome(session: OpenedSession, queue: SendQueue, result: PassResult, committed: CommittedPoint): BackupOutcome {
    const disks = session.disks.map((disk, index): BackedUpDisk => {
      const passed = result.disks[index]
      return {
        ...disk,
        path: this.#sources[index]?.path ?? '',
        scannedBytes: disk.sizeBytes,
        bytesRead: passed?.counts.bytesRead ?? 0,
        changedBytes: passed?.counts.dataBytes ?? 0,
        zeroedBytes: passed?.counts.zeroedBytes ?? 0,
        digestsFrom: passed?.digestsFrom ?? 'nowhere',
      }
    })
    return {
      point: committed.point,
      set: session.set,
      setName: this.#options.setName,
      chain: session.chain,
      kind: session.kind,
      base: session.base,
      sequence: committed.sequence,
      manifestDigest: committed.manifestDigest,
      createdAt: committed.createdAt,
      capturedAt: new Date(result.capturedAtMs).toISOString(),
      consistency: result.consistency,
      disks,
      sizeBytes: this.#sizeBytes(),
      scannedBytes: this.#sizeBytes(),
      bytesRead: sum(disks.map((disk) => disk.bytesRead)),
      changedBytes: sum(disks.map((disk) => disk.changedBytes)),
      zeroedBytes: sum(disks.map((disk) => disk.zeroedBytes)),
      storedBytes: committed.storedBytes,
      segments: queue.segments,
      segmentsInFlightPeak: queue.inFlightPeak,
      passes: result.passes,
      durationMs: this.#options.clock.monotonicMs() - this.#startedMs,
      warnings: distinct([...session.warnings, ...committed.warnings, ...this.#warnings]),
    }
  }

  #sizeBytes(): number {
    return sum(this.#sources.map((source) => source.sizeBytes))
  }

  #warn(warning: Warning): void {
    this.#warnings.push(warning)
    this.#options.onWarning?.(warning)
  }
}

interface RunSession {
  readonly session: OpenedSession
  /** Where sessions outlive their runs. */
  readonly journal: SessionJournal | null
  /** An earlier run has begun it. */
  readonly earlier: boolean
}

function earlierOf({ head }: SessionJournal): EarlierSession {
  const { set, session, sequenceAtOpen } = head
  return { set: asId<SetId>(set), session: asId<SessionId>(session), sequenceAtOpen }
}

/** Whoever wants a full, or a differential, is not served by what was begun as something else. */
function fits(begun: PointKind, wanted: PointKind | 'auto'): boolean {
  return wanted === 'auto' || wanted === begun
}

function requireAddressable(disk: DiskDescription): void {
  const { blocks } = diskCounts(disk.sizeBytes, disk.blockBytes)
  if (blocks <= blocksPerDiskMax) return
  throw new StrataError(
    'E_SOURCE_TOO_LARGE',
    `disk ${disk.name} has ${String(blocks)} blocks of ${String(disk.blockBytes)} bytes; at most ${String(blocksPerDiskMax)} fit`,
  )
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function distinct(warnings: readonly Warning[]): Warning[] {
  const byText = new Map(warnings.map((warning) => [`${warning.code} ${warning.message}`, warning]))
  return [...byText.values()]
}
