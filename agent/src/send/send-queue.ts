import { rmSync } from 'node:fs'
import { hasCode, invariant, StrataError } from '@strata/shared/errors.ts'
import { handOversPerSegmentMax, segmentsInFlightMax, segmentsPerSessionMax } from '@strata/shared/limits.ts'
import type { OpenedSession } from '@strata/shared/protocol/uplink.ts'
import type { SegmentEntry } from '@strata/shared/format/segment.ts'
import type { SessionJournal } from '../resume/session-journal.ts'
import { Room } from '../room.ts'
import { SegmentFile } from './segment-file.ts'

export interface SegmentOf {
  readonly disk: number
  readonly blockBytes: number
}

/**
 * Segments on their way to the service. At most `segmentsInFlightMax` exist at a time, those being filled among them:
 * that bounds the memory behind the spool directory. The first failure stops the run.
 */
export class SendQueue {
  readonly #session: OpenedSession
  readonly #stop: AbortController
  /** Where sessions outlive their runs. */
  readonly #journal: SessionJournal | null
  readonly #room: Room
  readonly #files = new Set<SegmentFile>()
  /** Files of segments that were acknowledged: as many as were ever in flight. */
  readonly #retired: string[] = []
  readonly #sending = new Set<Promise<void>>()
  #filesOpened = 0
  #segments = 0

  /** A failure aborts `stop` with the error as its reason. */
  constructor(session: OpenedSession, stop: AbortController, journal: SessionJournal | null = null) {
    this.#session = session
    this.#stop = stop
    this.#journal = journal
    this.#segments = journal?.nextSegment ?? 0
    this.#room = new Room(segmentsInFlightMax, stop.signal)
  }

  /** Segments sealed so far. Numbers grow with time: of two entries for one block the later one has the higher. */
  get segments(): number {
    return this.#segments
  }

  get inFlightPeak(): number {
    return this.#room.peak
  }

  /** An empty segment to be filled, when there is room for one. */
  async open(blockBytes: number): Promise<SegmentFile> {
    await this.#room.take()
    this.#filesOpened += 1
    const name = `${this.#session.session}-${String(this.#filesOpened)}.segment`
    const framesBytesMax = Math.max(this.#session.segmentBytesMax, blockBytes)
    const file = new SegmentFile(this.#session.spoolDirectory, name, framesBytesMax, this.#retired.pop())
    this.#files.add(file)
    return file
  }

  /** Takes a segment out of the scan's hands: sends it if anything is in it. Does not wait. */
  send(file: SegmentFile, of: SegmentOf): void {
    if (file.empty) {
      this.#done(file)
      return
    }
    const segment = this.#segments
    if (segment >= segmentsPerSessionMax) {
      throw new StrataError('E_LIMIT', `a session has at most ${String(segmentsPerSessionMax)} segments`)
    }
    this.#segments += 1
    this.#sendAs(segment, file, of)
  }

  /** Numbers that went out in a run before, and may not be there: segments with nothing in them take their places. */
  async fillGaps(): Promise<void> {
    const [first] = this.#session.disks
    invariant(first !== undefined, 'a session has disks')
    for (const segment of this.#journal?.unacknowledged ?? []) {
      this.#sendAs(segment, await this.open(first.blockBytes), { disk: 0, blockBytes: first.blockBytes })
    }
  }

  #sendAs(segment: number, file: SegmentFile, { disk, blockBytes }: SegmentOf): void {
    const entries = file.seal({ session: this.#session.session, segment, disk, blockBytes })
    const sending = this.#handOver(segment, file, disk, entries).then(
      () => {
        this.#sending.delete(sending)
        this.#done(file)
      },
      (error: unknown) => {
        this.#sending.delete(sending)
        this.#stop.abort(error)
      },
    )
    this.#sending.add(sending)
  }

  /** Resolves when everything sent is acknowledged; throws the reason of a stop. */
  async drained(): Promise<void> {
    await Promise.race([Promise.all(this.#sending), stopped(this.#stop.signal)])
    this.#stop.signal.throwIfAborted()
  }

  /** After a failure: nothing of the session is left in the spool directory. */
  removeFiles(): void {
    for (const file of this.#files) file.remove()
    this.#files.clear()
    for (const path of this.#retired) rmSync(path, { force: true })
    this.#retired.length = 0
  }

  async #handOver(segment: number, file: SegmentFile, disk: number, entries: readonly SegmentEntry[]): Promise<void> {
    this.#journal?.sending(segment, disk, entries)
    await this.#untilTaken(segment, file)
    this.#journal?.acknowledged(segment, disk, entries)
  }

  async #untilTaken(segment: number, file: SegmentFile): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#session.send(segment, file.path)
        return
      } catch (error) {
        if (!hasCode(error, 'E_HANDOVER_LOST') || this.#stop.signal.aborted) throw error
        if (attempt === handOversPerSegmentMax) throw lostEachTime(error, segment)
      }
    }
  }

  #done(file: SegmentFile): void {
    this.#retired.push(file.retire())
    this.#files.delete(file)
    this.#room.give()
  }
}

function lostEachTime(error: StrataError, segment: number): StrataError {
  const message = `${error.message}; segment ${String(segment)} was handed over ${String(handOversPerSegmentMax)} times, and lost each time`
  return new StrataError(error.code, message, { cause: error })
}

/** Resolves when the run is stopped: what is on its way need not be waited for any more. */
async function stopped(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
    if (signal.aborted) resolve()
  })
}
