import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { packKey, packName, type SessionPlace } from '@strata/shared/format/names.ts'
import type { Place } from '@strata/shared/format/page.ts'
import { copiedPacksAtOnceMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import type { Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import type { CopyRules } from '@strata/shared/store/object-store.ts'
import type { SessionPacks } from '../../commit/session-packs.ts'
import { copyPack } from './copy-pack.ts'
import { missingBlocks, type MissingBlocks } from './missing-blocks.ts'
import { planPacks, type PackPlan, type WholePack } from './plan-packs.ts'
import { placesIn } from './repaired-places.ts'
import { SourceEnds } from './source-ends.ts'
import { wholePacks } from './whole-packs.ts'

export interface CopyPassOptions {
  readonly repository: Repository
  /** Smaller packs are not copied whole. */
  readonly wholePackBytesMin: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined
}

export interface CopyProgress {
  /** In this pass. */
  readonly copiedBytes: number
  /** How far the walk through the disks is. */
  readonly doneDiskBytes: number
  readonly totalDiskBytes: number
}

/** The packs of one disk that are to come. */
interface DiskPacks {
  readonly disk: number
  readonly missing: MissingBlocks
}

/**
 * One walk through a point: what the session does not have of it becomes packs of the session. Numbers are given as packs
 * are begun: within a pass no block is in two of them, and what an earlier pass has made has lower ones.
 */
export class CopyPass {
  readonly #options: CopyPassOptions
  readonly #place: SessionPlace
  #segments: number
  #rules: CopyRules | undefined
  #serverSideBytes = 0
  #workerBytes = 0
  /** Packs of the source that lie in the new chain as well. */
  readonly #copiedWhole = new Set<string>()

  constructor(options: CopyPassOptions, place: SessionPlace, segments: number, rules: CopyRules | undefined) {
    this.#options = options
    this.#place = place
    this.#segments = segments
    this.#rules = rules
  }

  /** How many the session has by now. */
  get segments(): number {
    return this.#segments
  }

  /** What the store can copy, as far as is known by now. */
  get rules(): CopyRules | undefined {
    return this.#rules
  }

  get serverSideBytes(): number {
    return this.#serverSideBytes
  }

  get workerBytes(): number {
    return this.#workerBytes
  }

  /** Numbers that a run which died has left out get packs of nothing: whatever is brought now must count as later. */
  async fill(numbers: readonly number[]): Promise<void> {
    const sources = new SourceEnds(this.#options.repository, this.#place)
    const nothing = { wholes: [], ranges: [], fetched: [], records: [] }
    for (const number of numbers) await this.#write(sources, number, { disk: 0, zeroBlocks: [] }, nothing)
  }

  async copy(source: Point, had: SessionPacks): Promise<void> {
    const { repository } = this.#options
    const map = await PointMap.open(repository, source)
    const sources = new SourceEnds(repository, map.place)
    const placeOf = await placesIn(repository, map.place)
    for (const key of had.named.keys()) this.#copiedWhole.add(key)
    const copies = mapConcurrently(this.#missing(map, had, placeOf), copiedPacksAtOnceMax, async (packs) => {
      await this.#copyPacks(sources, packs)
    })
    for await (const _ of copies) this.#requireGoingOn()
  }

  async *#missing(map: PointMap, had: SessionPacks, placeOf: (place: Place) => Place): AsyncGenerator<DiskPacks> {
    for (const disk of map.root.disks.keys()) {
      for await (const missing of missingBlocks(map, disk, had.changesOf(disk), placeOf)) {
        this.#progress(map, disk, missing.records.at(-1)?.block ?? 0)
        yield { disk, missing }
      }
    }
  }

  async #copyPacks(sources: SourceEnds, { disk, missing }: DiskPacks): Promise<void> {
    const rules = this.#rules
    let { zeroBlocks } = missing
    const { wholePackBytesMin } = this.#options
    const wholes = rules === undefined ? [] : await wholePacks(sources, missing.records, wholePackBytesMin)
    for (const plan of planPacks(missing.records, rules, wholes)) {
      const number = this.#segments
      this.#segments += 1
      try {
        for (const whole of plan.wholes) await this.#copyWhole(sources, whole)
        await this.#write(sources, number, { disk, zeroBlocks }, plan)
      } catch (error) {
        if (rules === undefined || !hasCode(error, 'E_STORE_NO_COPY')) throw error
        // Only now it is known. From here on everything passes through the worker, in packs that are smaller.
        this.#rules = undefined
        await this.fill([number])
        await this.#copyPacks(sources, { disk, missing: { records: plan.records, zeroBlocks } })
      }
      zeroBlocks = []
    }
  }

  /** It has the same name there, but for the chain, and so its end opens. */
  async #copyWhole(sources: SourceEnds, { pack, sizeBytes }: WholePack): Promise<void> {
    if (this.#copiedWhole.has(packKey(pack))) return
    const range = { source: sources.nameOf(pack), offset: 0, length: sizeBytes, whole: true }
    await this.#options.repository.store.compose(packName(this.#place, 'data', pack), [range], [])
    this.#copiedWhole.add(packKey(pack))
    this.#serverSideBytes += sizeBytes
  }

  async #write(
    sources: SourceEnds,
    number: number,
    of: { disk: number; zeroBlocks: readonly number[] },
    plan: PackPlan,
  ): Promise<void> {
    const pack = { place: this.#place, number, ...of }
    const { serverSideBytes, workerBytes } = await copyPack(this.#options.repository, sources, pack, plan)
    this.#serverSideBytes += serverSideBytes
    this.#workerBytes += workerBytes
  }

  #progress(map: PointMap, disk: number, block: number): void {
    const { disks } = map.root
    const before = disks.slice(0, disk).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const { sizeBytes, blockBytes } = map.disk(disk)
    this.#options.onProgress?.({
      copiedBytes: this.#serverSideBytes + this.#workerBytes,
      doneDiskBytes: before + Math.min(sizeBytes, block * blockBytes),
      totalDiskBytes: disks.reduce((sum, one) => sum + one.sizeBytes, 0),
    })
  }

  #requireGoingOn(): void {
    const { signal } = this.#options
    if (signal?.aborted !== true) return
    throw new StrataError('E_INTERRUPTED', 'the synthetic full was interrupted; the next run goes on with it', {
      cause: signal.reason,
    })
  }
}
