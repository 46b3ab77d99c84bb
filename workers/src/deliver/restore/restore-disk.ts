import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { requireSameTenant } from '@strata/shared/keys/ingest-keys.ts'
import type { TenantPrivateKey } from '@strata/shared/keys/tenant-private-key.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { dropCache } from '@strata/shared/system/page-cache.ts'
import { chooseDisk } from '../choose-disk.ts'
import { DamageList, type Damage, type DamageReport } from '../../read/damage.ts'
import { DataKeyRing } from '../../read/data-key-ring.ts'
import { withReadPool, type ReadPool } from '../../read/read-pool.ts'
import { blockRange, type ReadDisk } from '../../read/record-opener.ts'
import { RecordReader } from '../../read/record-reader.ts'
import { RecordRepairs } from '../../read/record-repairs.ts'
import { diskWork, type BlockSpan } from './disk-work.ts'
import { EarlySync } from './early-sync.ts'
import { openTarget, type TargetRequest } from './open-target.ts'
import { PointDamagedError, withLeftOver } from './restore-errors.ts'
import type { RestoreTarget } from './target.ts'

/**
 * Writes one disk of a point to a file or device. Every block's digest is checked before it is written. Until the end
 * nothing at the target looks like a whole disk.
 */
export interface RestoreOptions {
  readonly repository: Repository
  readonly privateKey: TenantPrivateKey
  readonly point: Point
  /** Needed only where the point has several disks. */
  readonly diskName?: string | undefined
  readonly target: TargetRequest
  /** Go on past damage; blocks that are lost become zeros. */
  readonly allowDamaged: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined
  readonly clock: Clock
  /** For several runs one after the other. Left out: one of its own. */
  readonly pool?: ReadPool | undefined
}

export interface RestoreProgress {
  /** Bytes of the disk that are restored, or known to be zeros or lost. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface RestoreResult {
  readonly point: string
  readonly disk: string
  /** Real path. */
  readonly target: string
  readonly sizeBytes: number
  /** What was really written. */
  readonly writtenBytes: number
  /** Of blocks that are zeros in the point. */
  readonly zeroBytes: number
  readonly durationMs: number
  readonly damage: DamageReport
  readonly warnings: readonly Warning[]
}

/** Damage without `allowDamaged`: PointDamagedError, which has the list. Refused and failing targets: E_TARGET_…. */
export async function restoreDisk(options: RestoreOptions): Promise<RestoreResult> {
  const { repository, clock, point } = options
  const startMs = clock.monotonicMs()
  requireSameTenant('the private key', options.privateKey, repository.ingestKeys)
  const map = await PointMap.open(repository, point)
  const index = chooseDisk(point, options.diskName)
  const disk = { ...map.disk(index), name: point.manifest.disks[index]?.name ?? '' }
  const target = await openTarget(options.target, disk.sizeBytes, repository.store)
  const run = new RestoreRun(options, map, index, disk, target)
  try {
    await withReadPool(options.pool, (pool) => run.write(pool))
  } catch (error) {
    throw withLeftOver(error, await target.abandon())
  }
  return {
    point: pointId(point),
    disk: disk.name,
    target: target.path,
    sizeBytes: disk.sizeBytes,
    writtenBytes: run.writtenBytes,
    zeroBytes: run.zeroBytes,
    durationMs: Math.round(clock.monotonicMs() - startMs),
    damage: run.damage.report(),
    warnings: target.warnings,
  }
}

class RestoreRun {
  readonly damage = new DamageList()
  writtenBytes = 0
  zeroBytes = 0
  #lostBytes = 0
  /** Checked bytes of spans that are done. */
  #checkedBefore = 0
  readonly #options: RestoreOptions
  readonly #map: PointMap
  readonly #index: number
  readonly #disk: ReadDisk
  readonly #target: RestoreTarget
  readonly #keys: DataKeyRing
  readonly #repairs: RecordRepairs
  readonly #earlySync: EarlySync

  constructor(options: RestoreOptions, map: PointMap, index: number, disk: ReadDisk, target: RestoreTarget) {
    this.#options = options
    this.#map = map
    this.#index = index
    this.#disk = disk
    this.#target = target
    this.#earlySync = new EarlySync(async () => {
      await target.sync()
      await dropCache(target.fd)
    })
    this.#keys = new DataKeyRing(options.privateKey, options.repository.tenant, map.root.keys)
    this.#repairs = new RecordRepairs(options.repository, map.place)
  }

  async write(pool: ReadPool): Promise<void> {
    this.#report(0)
    await this.#requireSpace()
    const target = this.#target
    const blocks = Math.ceil(target.sizeBytes / this.#disk.blockBytes)
    if (target.firstBlockLast) {
      await this.#blankFirstBlock(pool)
      await this.#writeSpan(pool, { from: 1, to: blocks })
      await this.#earlySync.settle()
      await target.sync()
      await this.#writeSpan(pool, { from: 0, to: 1 })
    } else {
      await this.#writeSpan(pool, { from: 0, to: blocks })
    }
    await this.#earlySync.settle()
    await target.finish()
  }

  /** Better to say so before an hour of writing. */
  async #requireSpace(): Promise<void> {
    const freeBytes = await this.#target.freeBytes()
    if (freeBytes === undefined || freeBytes >= this.#disk.sizeBytes) return
    let neededBytes = 0
    const span = { from: 0, to: this.#map.counts(this.#index).blocks }
    const work = diskWork({
      map: this.#map,
      index: this.#index,
      disk: this.#disk,
      span,
      zeroingBytes: null,
      onDamage: () => undefined,
    })
    for await (const { records } of work) {
      for (const { block } of records) neededBytes += blockRange(this.#disk, block, 1).lengthBytes
    }
    if (neededBytes > freeBytes) {
      throw new StrataError(
        'E_TARGET_FULL',
        `${this.#target.path} would need ${String(neededBytes)} bytes, and its file system has ${String(freeBytes)} left`,
        { details: { neededBytes, freeBytes } },
      )
    }
  }

  async #blankFirstBlock(pool: ReadPool): Promise<void> {
    const { fd, sizeBytes } = this.#target
    const length = Math.min(this.#disk.blockBytes, sizeBytes)
    const { writeFailure } = await pool.zero({ fd, ranges: Float64Array.of(0, length) })
    if (writeFailure !== null) throw this.#target.failure(writeFailure)
    await this.#target.sync()
  }

  async #writeSpan(pool: ReadPool, span: BlockSpan): Promise<void> {
    const { repository, point, signal } = this.#options
    const onDamage = (damage: Damage): void => {
      this.damage.add(damage)
      this.#lostBytes += damage.lengthBytes
    }
    const reader = new RecordReader({
      store: repository.store,
      pool,
      keys: this.#keys,
      repairs: this.#repairs,
      disk: this.#disk,
      blockDigestKey: repository.digestKeysOf(point.set).block,
      target: this.#target,
      signal,
      isStopped: () => this.#mustStop,
      onDamage,
      onProgress: ({ checkedBytes }) => {
        this.#earlySync.written(this.#checkedBefore + checkedBytes)
        this.#report(checkedBytes)
      },
    })
    const work = diskWork({
      map: this.#map,
      index: this.#index,
      disk: this.#disk,
      span,
      zeroingBytes: this.#target.needsZeros ? this.#target.sizeBytes : null,
      onDamage,
      onZeros: (bytes) => {
        this.zeroBytes += bytes
      },
    })
    await reader.run(work)
    if (this.#mustStop) throw new PointDamagedError(this.#options.point, this.damage.report())
    this.writtenBytes += reader.totals.writtenBytes
    this.#checkedBefore += reader.totals.checkedBytes
    this.#report(0)
  }

  get #mustStop(): boolean {
    return !this.#options.allowDamaged && !this.damage.isEmpty
  }

  #report(checkedBytes: number): void {
    const doneBytes = this.#checkedBefore + checkedBytes + this.zeroBytes + this.#lostBytes
    this.#options.onProgress?.({ doneBytes, totalBytes: this.#disk.sizeBytes })
  }
}
