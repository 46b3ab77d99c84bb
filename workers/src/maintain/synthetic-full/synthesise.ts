import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { copyPassesMax } from '@strata/shared/limits.ts'
import { latestPoint, latestSequence, readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { CopyRules } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { runCommit } from '../../commit/commit-job.ts'
import { PointKeys } from '../../commit/point-keys.ts'
import { SessionPacks } from '../../commit/session-packs.ts'
import { CopyPass, type CopyProgress } from './copy-pass.ts'
import { wholePackBytesMinOf } from './whole-packs.ts'
import { endCopySession, giveUpCopySessions, openCopySession } from './copy-session.ts'

/**
 * Makes a synthetic full: a new chain that begins with a copy of the set's newest point, out of what is stored.
 * docs/decisions/0020-synthetic-fulls.md.
 *
 * The packs are those of a session, which a commit then makes a point of, as it does for a backup. A run that died is
 * continued; when a backup is quicker, what has changed by it is copied as well.
 */
export interface SynthesisOptions {
  readonly repository: Repository
  readonly set: SetId
  readonly clock: Clock
  /** Ends it between two packs; the next run goes on. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined
  /** Smaller packs are not copied whole. Left out: as the policy has it. */
  readonly wholePackBytesMin?: number | undefined
}

export interface Synthesis {
  /** The new point; or the newest one, where that is a full already. */
  readonly point: Point
  /** False: there was nothing to do. */
  readonly made: boolean
  /** Of what this run has stored: bytes that the store has copied by itself. */
  readonly serverSideBytes: number
  /** The others. */
  readonly workerBytes: number
  readonly passes: number
  readonly durationMs: number
}

/** Errors: E_SET_UNKNOWN; E_COPY_OVERTAKEN, when backups were quicker again and again; what reading the chain ends with. */
export async function synthesise(options: SynthesisOptions): Promise<Synthesis> {
  return await new SyntheticFull(options).run()
}

class SyntheticFull {
  readonly #options: SynthesisOptions
  readonly #startedMs: number
  #rules: CopyRules | undefined
  #serverSideBytes = 0
  #workerBytes = 0
  #passes = 0

  constructor(options: SynthesisOptions) {
    this.#options = options
    this.#rules = options.repository.store.copying
    this.#startedMs = options.clock.monotonicMs()
  }

  async run(): Promise<Synthesis> {
    const { repository, set } = this.#options
    for (;;) {
      const sequence = await latestSequence(repository, set)
      const source = await latestPoint(repository, set, sequence)
      if (source === undefined) throw new StrataError('E_SET_UNKNOWN', 'the set has no point')
      if (source.manifest.kind === 'full') {
        await giveUpCopySessions(repository, set)
        return this.#result(source, false)
      }
      this.#passes += 1
      try {
        return this.#result(await this.#pass(source, sequence), true)
      } catch (error) {
        if (!hasCode(error, 'E_COPY_OVERTAKEN') || this.#passes >= copyPassesMax) throw error
      }
    }
  }

  #result(point: Point, made: boolean): Synthesis {
    return {
      point,
      made,
      serverSideBytes: this.#serverSideBytes,
      workerBytes: this.#workerBytes,
      passes: this.#passes,
      durationMs: this.#options.clock.monotonicMs() - this.#startedMs,
    }
  }

  async #pass(source: Point, sequence: number): Promise<Point> {
    const { repository, set } = this.#options
    const { place, open } = await openCopySession(repository, source, sequence)
    const had = await SessionPacks.found(repository, place, open, new PointKeys([]))
    const { signal, onProgress } = this.#options
    const wholePackBytesMin = this.#options.wholePackBytesMin ?? (await wholePackBytesMinOf(repository))
    const options = { repository, wholePackBytesMin, signal, onProgress }
    const copying = new CopyPass(options, place, had.segments, this.#rules)
    await copying.fill(had.missing)
    await copying.copy(source, had.packs)
    this.#rules = copying.rules
    this.#serverSideBytes += copying.serverSideBytes
    this.#workerBytes += copying.workerBytes
    await endCopySession(repository, place, source, copying.segments)
    const job = { tenant: repository.tenant, set, session: place.session, after: open.sequenceAtOpen }
    const { sequence: own } = await runCommit(repository, job, undefined)
    const point = await readPoint(repository, set, own)
    const packBytes = had.packs.storedBytes + copying.serverSideBytes + copying.workerBytes
    this.#workerBytes += point.manifest.statistics.storedBytes - packBytes
    return point
  }
}
