import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { packName } from '@strata/shared/format/names.ts'
import { diskCounts } from '@strata/shared/format/root.ts'
import { requireSameTenant } from '@strata/shared/keys/ingest-keys.ts'
import type { TenantPrivateKey } from '@strata/shared/keys/tenant-private-key.ts'
import { damageListMax, damagePerPointListMax } from '@strata/shared/limits.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import {
  chainPlaceOf,
  isReadable,
  listPoints,
  pointId,
  type Point,
  type PointEntry,
} from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { whichAreThere, withPin } from '@strata/shared/repository/retention/pins.ts'
import { asId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { DamageList, isDamage, mergeDamage, type Damage, type DamageReport } from '../../read/damage.ts'
import { DataKeyRing } from '../../read/data-key-ring.ts'
import { withReadPool, type ReadPool } from '../../read/read-pool.ts'
import { RecordRepairs } from '../../read/record-repairs.ts'
import { blockRange, type ReadDisk } from '../../read/record-opener.ts'
import { RecordReader } from '../../read/record-reader.ts'
import { ChainRun } from './chain-run.ts'
import type { DamagedPlaces } from './damaged-places.ts'
import { checkHistory, type HistoryDamage } from './history.ts'
import { PointCheck } from './point-check.ts'

/**
 * Reads everything that points need and checks every digest; what points share is read once. Says which blocks are
 * lost, where the bad bytes lie, and which points they hit, those that were not asked for included.
 */
export interface VerifyOptions {
  readonly repository: Repository
  readonly privateKey: TenantPrivateKey
  /** Points that are gone are no points: asked for by name they are refused (E_POINT_RETIRED), else left out. */
  readonly points: readonly Point[] | 'all'
  readonly clock: Clock
  /** What is not as it should be with the verification itself. */
  readonly onWarning?: ((warning: Warning) => void) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined
  /** For several runs one after the other. Left out: one of its own. */
  readonly pool?: ReadPool | undefined
}

export interface VerifyProgress {
  readonly pointsDone: number
  readonly pointsTotal: number
  readonly checkedBytes: number
}

export interface VerifyResult {
  /** `intact`: no point that was asked for has damage, and the history of their sets is whole. */
  readonly state: 'intact' | 'damaged'
  readonly points: readonly PointVerification[]
  /** Points that were not asked for and are hit by the damage that was found. */
  readonly otherPoints: readonly PointVerification[]
  /** Of all points, by disk and offset; bounded, as `damageTruncated` says. */
  readonly damage: readonly VerifiedDamage[]
  readonly damageTruncated: boolean
  readonly history: readonly HistoryDamage[]
  readonly blocksChecked: number
  readonly bytesChecked: number
}

export interface PointVerification {
  readonly point: SessionId
  readonly set: SetId
  readonly setName: string
  readonly sequence: number
  readonly state: 'intact' | 'damaged'
  /** Read for this point; what it shares with an earlier one was counted there. */
  readonly blocksChecked: number
  readonly bytesChecked: number
  readonly damage: DamageReport
}

export interface VerifiedDamage extends Damage {
  readonly points: readonly string[]
}

export async function verifyPoints(options: VerifyOptions): Promise<VerifyResult> {
  requireSameTenant('the private key', options.privateKey, options.repository.ingestKeys)
  return withReadPool(options.pool, async (pool) => {
    const run = new VerifyRun(options, pool)
    for await (const entries of setsOf(options)) await run.verifySet(entries)
    return run.result()
  })
}

/** All points of each set concerned, one set after the other. */
async function* setsOf({ repository, points }: VerifyOptions): AsyncGenerator<PointEntry[]> {
  if (points !== 'all') {
    for (const set of new Set(points.map((point) => point.set)))
      yield await Array.fromAsync(listPoints(repository, set))
    return
  }
  let entries: PointEntry[] = []
  for await (const entry of listPoints(repository)) {
    if (entries[0] !== undefined && entries[0].set !== entry.set) {
      yield entries
      entries = []
    }
    entries.push(entry)
  }
  if (entries.length > 0) yield entries
}

class VerifyRun {
  readonly #options: VerifyOptions
  readonly #pool: ReadPool
  readonly #selected: ReadonlySet<string> | undefined
  readonly #points: PointVerification[] = []
  readonly #otherPoints: PointVerification[] = []
  readonly #history: HistoryDamage[] = []
  readonly #damage: VerifiedDamage[] = []
  #damageTruncated = false
  #blocksChecked = 0
  #bytesChecked = 0
  #pointsTotal: number

  constructor(options: VerifyOptions, pool: ReadPool) {
    this.#options = options
    this.#pool = pool
    this.#selected = options.points === 'all' ? undefined : new Set(options.points.map(pointId))
    this.#pointsTotal = options.points === 'all' ? 0 : options.points.length
  }

  async verifySet(entries: readonly PointEntry[]): Promise<void> {
    this.#history.push(...checkHistory(entries))
    const [first] = entries
    if (first === undefined) return
    const { repository, clock, onWarning = () => undefined } = this.#options
    const state = await new RetentionLedger(repository).readIfUsable(first.set, onWarning)
    const isThere = await whichAreThere(repository, state)
    const isWanted = (point: Point): boolean => this.#selected?.has(pointId(point)) === true || isThere(point.sequence)
    const points = entries.filter(isReadable).filter(isWanted)
    if (this.#selected === undefined) this.#pointsTotal += points.length
    const sequences = points.map(({ sequence }) => sequence)
    await withPin(repository, { set: first.set, sequences, purpose: 'verify', clock, onWarning }, async () => {
      for (const chain of new Set(points.map(({ manifest }) => manifest.chain))) {
        await this.#verifyChain(points.filter(({ manifest }) => manifest.chain === chain))
      }
    })
  }

  result(): VerifyResult {
    const isIntact = this.#history.length === 0 && this.#points.every(({ state }) => state === 'intact')
    return {
      state: isIntact ? 'intact' : 'damaged',
      points: this.#points,
      otherPoints: this.#otherPoints,
      damage: this.#damage,
      damageTruncated: this.#damageTruncated,
      history: this.#history,
      blocksChecked: this.#blocksChecked,
      bytesChecked: this.#bytesChecked,
    }
  }

  /** By ascending sequence number, so a base comes before what is built on it. */
  async #verifyChain(points: readonly Point[]): Promise<void> {
    const chain = new ChainRun(this.#options.repository)
    const isSelected = (point: Point): boolean => this.#selected?.has(pointId(point)) ?? true
    for (const point of points.filter(isSelected)) {
      this.#points.push(await this.#verifyPoint(chain, point))
      this.#report(0)
    }
    if (chain.places.isEmpty) return
    for (const point of points.filter((other) => !isSelected(other))) {
      const found = await this.#lookUp(chain, point)
      if (found.state === 'damaged') this.#otherPoints.push(found)
    }
    this.#listDamage(chain.places)
  }

  async #verifyPoint(chain: ChainRun, point: Point): Promise<PointVerification> {
    const damage = new DamageList(damagePerPointListMax)
    const opened = await this.#open(chain, point, damage)
    if (opened === undefined) return verification(point, damage, 0, 0)
    const reference = await chain.referenceOf(opened)
    const check = new PointCheck({ map: opened, reference, places: chain.places, lookUpOnly: false }, damage)
    let blocks = 0
    let bytes = 0
    for (const context of check.disks) {
      const reader = this.#reader(opened, context.disk, check)
      await reader.run(check.work(context))
      blocks += reader.totals.checkedBlocks
      bytes += reader.totals.checkedBytes
      this.#blocksChecked += reader.totals.checkedBlocks
      this.#bytesChecked += reader.totals.checkedBytes
    }
    chain.checked(opened)
    return verification(point, damage, blocks, bytes)
  }

  #reader(map: PointMap, disk: ReadDisk, check: PointCheck): RecordReader {
    const { repository, privateKey, signal } = this.#options
    return new RecordReader({
      store: repository.store,
      pool: this.#pool,
      keys: new DataKeyRing(privateKey, repository.tenant, map.root.keys),
      repairs: new RecordRepairs(repository, map.place),
      disk,
      blockDigestKey: repository.digestKeysOf(map.point.set).block,
      target: null,
      signal,
      onDamage: check.lose,
      onProgress: ({ checkedBytes }) => {
        this.#report(checkedBytes)
      },
    })
  }

  async #lookUp(chain: ChainRun, point: Point): Promise<PointVerification> {
    const damage = new DamageList(damagePerPointListMax)
    const opened = await this.#open(chain, point, damage)
    if (opened !== undefined) {
      const check = new PointCheck({ map: opened, reference: null, places: chain.places, lookUpOnly: true }, damage)
      for (const context of check.disks) for await (const _ of check.work(context));
    }
    return verification(point, damage, 0, 0)
  }

  /** A root that cannot be read takes all of the point's disks with it. */
  async #open(chain: ChainRun, point: Point, list: DamageList): Promise<PointMap | undefined> {
    if (this.#options.signal?.aborted === true) {
      throw new StrataError('E_INTERRUPTED', 'verifying was interrupted', { cause: this.#options.signal.reason })
    }
    try {
      return await PointMap.open(this.#options.repository, point)
    } catch (error) {
      if (!isDamage(error)) throw error
      for (const damage of damageOfRoot(this.#options.repository, point, error)) {
        chain.places.addFor(pointId(point), damage)
        list.add(damage)
      }
      return undefined
    }
  }

  #listDamage(places: DamagedPlaces): void {
    this.#damageTruncated ||= places.overflowed
    const flat = Array.from(places.all(), ({ damage, points }): VerifiedDamage => ({ ...damage, points }))
    for (const damage of mergeDamage(flat, (a, b) => sameItems(a.points, b.points))) {
      if (this.#damage.length < damageListMax) this.#damage.push(damage)
      else this.#damageTruncated = true
    }
  }

  #report(checkedBytes: number): void {
    this.#options.onProgress?.({
      pointsDone: this.#points.length,
      pointsTotal: this.#pointsTotal,
      checkedBytes: this.#bytesChecked + checkedBytes,
    })
  }
}

function damageOfRoot(repository: Repository, point: Point, { code, message }: StrataError): Damage[] {
  const { session, number, attempt, offset, length } = point.manifest.root
  const reference = { session: asId<SessionId>(session), number, attempt }
  const pack = packName(chainPlaceOf(repository, point), 'map', reference)
  const where = { pack, packOffsetBytes: offset, packLengthBytes: length }
  return point.manifest.disks.map((disk) => {
    const { blocks } = diskCounts(disk.sizeBytes, disk.blockBytes)
    return { ...blockRange(disk, 0, blocks), ...where, code, message }
  })
}

function verification(
  point: Point,
  damage: DamageList,
  blocksChecked: number,
  bytesChecked: number,
): PointVerification {
  return {
    point: pointId(point),
    set: point.set,
    setName: point.manifest.setName,
    sequence: point.sequence,
    state: damage.isEmpty ? 'intact' : 'damaged',
    blocksChecked,
    bytesChecked,
    damage: damage.report(),
  }
}

function sameItems(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}
