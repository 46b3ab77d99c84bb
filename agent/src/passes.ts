import type { Clock } from '@strata/shared/clock.ts'
import { invariant, StrataError } from '@strata/shared/errors.ts'
import type { Consistency, DiskDescription, Warning } from '@strata/shared/format/manifest.ts'
import { passesPerSessionMax } from '@strata/shared/limits.ts'
import type { OpenedSession, RememberedPoint } from '@strata/shared/protocol/uplink.ts'
import { scanDisk, type ScanCounts, type ScanTools } from './capture/scan.ts'
import type { Source } from './capture/source.ts'
import type { KnownDigests } from './resume/known-digests.ts'
import type { SessionJournal } from './resume/session-journal.ts'
import { changeBetween, stateBeforeReading, stateOf, viewMark, type SourceState } from './capture/stability.ts'
import {
  openBaseDigests,
  passReference,
  type BaseDigests,
  type DigestsFrom,
  type SetState,
} from './track/base-digests.ts'
import type { DigestReference } from './track/digest-reference.ts'
import { diskMark } from './track/digest-file.ts'
import { withoutWanted } from './track/wanted-blocks.ts'
import { DigestFileWriter } from './track/digest-file-writer.ts'

/**
 * Reads the disks until what was read is one moment of the machine.
 *
 * A disk that changed since its reading began is read again, and compared with what the pass before found; blocks that
 * differ are sent again, in segments with higher numbers, which win. When after a pass no disk has changed since its
 * own last reading began, then at the moment when the last of these readings began, all disks held what was read.
 */
export interface PassProgress {
  readonly disk: string
  readonly pass: number
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly bytesRead: number
  /** Of blocks put into segments so far. */
  readonly changedBytes: number
}

export interface PassOptions {
  readonly session: OpenedSession
  readonly sources: readonly Source[]
  readonly tools: ScanTools
  readonly state: SetState
  /** Where sessions outlive their runs. */
  readonly journal: SessionJournal | null
  /** An earlier run has begun the session: what that one sent is in the journal. */
  readonly isResumed: boolean
  readonly clock: Clock
  readonly allowChanging: boolean
  readonly onProgress: (progress: PassProgress) => void
  readonly onWarning: (warning: Warning) => void
}

export interface PassedDisk {
  readonly contentRoot: Uint8Array
  readonly counts: Readonly<ScanCounts>
  readonly digestsFrom: DigestsFrom
}

export interface PassResult {
  readonly passes: number
  readonly consistency: Consistency
  /** When the last pass began; ms since 1970. */
  readonly capturedAtMs: number
  readonly disks: readonly PassedDisk[]
}

export class Passes {
  readonly #options: PassOptions
  readonly #disks: DiskPasses[]

  constructor(options: PassOptions) {
    this.#options = options
    this.#disks = options.sources.map((source, index) => {
      const description = options.session.disks[index]
      invariant(
        description?.name === source.name && description.sizeBytes === source.sizeBytes,
        'the session has the disks that were offered',
      )
      return new DiskPasses(options, index, source, description)
    })
  }

  /** Errors: E_SOURCE_CHANGED when a source does not stay unchanged, and whatever ends a scan. */
  async run(): Promise<PassResult> {
    const { clock, tools } = this.#options
    let pending = this.#disks
    for (let pass = 1; ; pass += 1) {
      const capturedAtMs = clock.nowMs()
      for (const disk of pending) await disk.scan(pass)
      await tools.queue.drained()
      const changed = this.#disks.flatMap((disk) => disk.change() ?? [])
      const result = { passes: pass, capturedAtMs, disks: this.#disks.map((disk) => disk.result) }
      if (changed.length === 0) return { ...result, consistency: 'unchanged' }
      this.#requireHopeful(changed, pass)
      if (pass === passesPerSessionMax) {
        this.#options.onWarning(changingWarning(changed, pass))
        return { ...result, consistency: 'changing' }
      }
      pending = changed.map((change) => change.disk)
    }
  }

  /** After the commit: every disk's digests become the local digest file of the new point. */
  publish(point: RememberedPoint): void {
    for (const disk of this.#disks) disk.publish(point)
  }

  removeFiles(): void {
    for (const disk of this.#disks) disk.removeFiles()
  }

  #requireHopeful(changed: readonly DiskChange[], pass: number): void {
    const resized = changed.find((change) => change.resized)
    const lasting = changed.find((change) => change.lasting)
    const refused =
      resized ??
      (this.#options.allowChanging ? undefined : (lasting ?? (pass === passesPerSessionMax ? changed[0] : undefined)))
    if (refused === undefined) return
    const { disk, what } = refused
    const passes = pass === 1 ? '' : `, in pass ${String(pass)} as well`
    throw new StrataError(
      'E_SOURCE_CHANGED',
      `disk ${disk.name} (${disk.path}) changed while it was read: ${what}${passes}`,
      refused === resized ? { hint: 'The disk was resized while it was read. Run the backup again.' } : {},
    )
  }
}

interface DiskChange {
  readonly disk: DiskPasses
  readonly what: string
  readonly lasting: boolean
  readonly resized: boolean
}

function changingWarning(changed: readonly DiskChange[], passes: number): Warning {
  const names = changed.map((change) => `${change.disk.name} (${change.what})`).join(', ')
  return {
    code: 'W_SOURCE_CHANGING',
    message: `still changing after ${String(passes)} passes: ${names}; the point is a mixture of several moments`,
  }
}

/** One disk through all passes. */
class DiskPasses {
  readonly #options: PassOptions
  readonly #index: number
  readonly #source: Source
  readonly #description: DiskDescription
  readonly #counts: ScanCounts = { bytesDone: 0, bytesRead: 0, dataBytes: 0, zeroedBytes: 0 }
  #digests: DigestFileWriter | null = null
  #digestsFrom: DigestsFrom = 'nowhere'
  #contentRoot: Uint8Array | null = null
  #before: SourceState | null = null

  constructor(options: PassOptions, index: number, source: Source, description: DiskDescription) {
    this.#options = options
    this.#index = index
    this.#source = source
    this.#description = description
  }

  get name(): string {
    return this.#source.name
  }

  get path(): string {
    return this.#source.path
  }

  get result(): PassedDisk {
    invariant(this.#contentRoot !== null, 'the disk has been scanned')
    return { contentRoot: this.#contentRoot, counts: this.#counts, digestsFrom: this.#digestsFrom }
  }

  async scan(pass: number): Promise<void> {
    const { session, state, tools, clock, journal, isResumed } = this.#options
    const { blockBytes, sizeBytes } = this.#description
    const base = this.#digests === null ? this.#openBase() : null
    const wanted = (session.wanted ?? []).filter(({ disk }) => disk === this.#index)
    const atFirst =
      base === null ? undefined : this.#overSent(withoutWanted(base.reference, wanted), isResumed ? journal : null)
    const reference = this.#digests === null ? atFirst : passReference(this.#digests.pages())
    invariant(reference !== undefined, 'there is something to compare with')
    const before = this.#digests
    let known: KnownDigests | undefined
    try {
      this.#digests = new DigestFileWriter(state.newDigestFile(this.name, session.session, pass), sizeBytes, blockBytes)
      this.#counts.bytesDone = 0
      this.#before = await stateBeforeReading(this.#source, clock)
      known = journal?.knownDigests(this.#index, viewMark(this.#source, this.#before))
      const digests = known === undefined ? [this.#digests] : [this.#digests, known]
      const disk = { index: this.#index, source: this.#source, blockBytes, reference, digests, known }
      this.#contentRoot = await scanDisk(tools, disk, this.#counts, () => {
        this.#report(pass)
      })
    } finally {
      before?.remove()
      base?.close()
      known?.close()
    }
  }

  #overSent(reference: DigestReference, journal: SessionJournal | null): DigestReference {
    return journal === null ? reference : journal.sentBlocks(this.#index).over(reference)
  }

  /** How the source changed since its last reading began; null when it did not. */
  change(): DiskChange | null {
    const before = this.#before
    invariant(before !== null, 'the disk has been scanned')
    const after = stateOf(this.#source)
    const resized = after.sizeBytes !== this.#source.sizeBytes
    const what = changeBetween(before, after) ?? (resized ? 'it was resized' : null)
    return what === null ? null : { disk: this, what, lasting: after.lasting !== null, resized }
  }

  publish({ sequence, manifestDigest }: RememberedPoint): void {
    const { session, state } = this.#options
    this.#digests?.publish(state.digestFile(this.name), {
      blockBytes: this.#description.blockBytes,
      sizeBytes: this.#description.sizeBytes,
      chain: session.chain,
      sequence,
      manifestDigest,
      diskMark: diskMark(this.name, this.#description.identity),
    })
    this.#digests = null
  }

  removeFiles(): void {
    this.#digests?.remove()
    this.#digests = null
  }

  #openBase(): BaseDigests {
    const { session, state, onWarning } = this.#options
    const disk = { index: this.#index, description: this.#description }
    const base = openBaseDigests(session, disk, state.digestFile(this.name), onWarning)
    this.#digestsFrom = base.from
    return base
  }

  #report(pass: number): void {
    this.#options.onProgress({
      disk: this.name,
      pass,
      bytesDone: this.#counts.bytesDone,
      bytesTotal: this.#source.sizeBytes,
      bytesRead: this.#counts.bytesRead,
      changedBytes: this.#counts.dataBytes,
    })
  }
}
