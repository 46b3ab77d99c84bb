import { StrataError } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { Clock } from '@strata/shared/clock.ts'
import type { Retention } from '@strata/shared/policy/retention-rules.ts'
import { objectLockOf } from '@strata/shared/policy/chain-lock.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { readPoint, type Point } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { aloneWithGone, withPin } from '@strata/shared/repository/retention/pins.ts'
import type { ObjectLock } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { lockObjects } from '../../commit/chain-locking.ts'
import { isDamage } from '../../read/damage.ts'
import type { SetPoint } from '../retention/set-points.ts'
import { CopyDamageList, type CopyDamage } from './copy-damage.ts'
import { ObjectCopier } from './object-copier.ts'
import { neededObjects, type NeededObjects } from './needed-objects.ts'
import { planCopy, type MissingNumber, type SetCopyPlan } from './plan-copy.ts'
import { putNumber, replacedError, sayGone } from './publish-numbers.ts'

/**
 * Copies one set into another store, point by point, oldest first. docs/decisions/0025-copies.md.
 *
 * The order makes each step safe to die after, and safe beside prunes, backups and other copies. Of a point first come its
 * objects. Then the ledger of the copy says which numbers before it have no data there, as points that are gone; only
 * then the point's manifest makes it visible, and the manifests of those before it follow. So what is visible is whole,
 * and no prune takes objects of a number without data for dead before the point is there that needs them.
 */
export interface SetCopyOptions {
  readonly source: Repository
  /** The same tenant in the other store. */
  readonly target: Repository
  readonly set: SetId
  /** What is kept in the copy; undefined: all that is there in the source. */
  readonly retention: Retention | undefined
  readonly clock: Clock
  readonly hostName: string
  readonly onWarning: (warning: Warning) => void
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: SetCopyProgress) => void) | undefined
}

export interface SetCopyProgress {
  readonly pointsDone: number
  readonly pointsTotal: number
  /** Of this set. */
  readonly copiedBytes: number
}

export interface SetCopied {
  readonly set: SetId
  readonly setName: string | undefined
  /** Points whose data this run has brought. */
  readonly points: readonly SetPoint[]
  readonly objects: number
  readonly bytes: number
  readonly skippedObjects: number
  readonly damage: readonly CopyDamage[]
  /** Whether there is more than the list tells. */
  readonly damageTruncated: boolean
}

/** Errors: E_COPY_DIFFERS; E_COPY_INCOMPLETE where a prune is in the way; whatever the stores end with. */
export async function copySet(options: SetCopyOptions): Promise<SetCopied> {
  return await new SetCopy(options, await planned(options, new Set())).run()
}

async function planned(options: SetCopyOptions, damaged: ReadonlySet<number>): Promise<SetCopyPlan> {
  const { source, target, set, retention, clock } = options
  const times = [await target.store.now(), await source.store.now(), clock.nowMs()]
  const about = { source, target, set, retention, damaged }
  return await planCopy({ ...about, nowMs: Math.min(...times), latestMs: Math.max(...times) })
}

/** A point of the source, and the objects that the copy does not have by the points before it. */
interface ReadPoint {
  readonly point: Point
  readonly needed: NeededObjects
}

class SetCopy {
  readonly #options: SetCopyOptions
  #plan: SetCopyPlan
  readonly #copier: ObjectCopier
  readonly #points: SetPoint[] = []
  readonly #damage = new CopyDamageList()
  /** Numbers of damaged points that no point of the copy comes after. */
  readonly #waiting = new Set<number>()
  /** Points of the copy, also those without data: nobody takes objects of other sessions for dead there. */
  #known: SetPoint[] = []
  /** The newest point of each chain that is in the copy, whole and pinned. */
  #whole = new Map<string, number>()
  #objects = 0
  #bytes = 0
  #skippedObjects = 0
  #pointsDone = 0

  constructor(options: SetCopyOptions, plan: SetCopyPlan) {
    this.#options = options
    this.#plan = plan
    const { source, target, signal } = options
    const onCopied = (bytes: number): void => {
      this.#objects += 1
      this.#bytes += bytes
      this.#progress()
    }
    this.#copier = new ObjectCopier(source, target.store, { signal, onCopied })
  }

  async run(): Promise<SetCopied> {
    const { set, retention } = this.#options
    for (;;) {
      const waited = this.#waiting.size
      await this.#pass()
      if (this.#waiting.size === waited || retention === undefined) break
      // Where the newest is damaged, another one may be the newest of the copy.
      this.#plan = await planned(this.#options, this.#waiting)
    }
    return {
      set,
      setName: this.#plan.setName,
      points: this.#points,
      objects: this.#objects,
      bytes: this.#bytes,
      skippedObjects: this.#skippedObjects,
      ...this.#damage.ofSet(this.#plan.setName ?? set),
    }
  }

  async #pass(): Promise<void> {
    const { inTarget, thereInTarget, unreadable } = this.#plan
    this.#known = [...inTarget]
    const there = inTarget.filter(({ sequence }) => thereInTarget.has(sequence))
    this.#whole = new Map(there.map(({ chain, sequence }) => [chain, sequence]))
    this.#pointsDone = 0
    for (const { sequence, error } of unreadable) this.#damage.addError(error, `number ${String(sequence)} of the copy`)
    await this.#pinned(() => this.#copyMissing())
  }

  /** In the copy also what is to come: nothing of it may go while later points are compared with it. */
  async #pinned(work: () => Promise<void>): Promise<void> {
    const { source, target, set, clock, hostName, onWarning } = this.#options
    const { missing, thereInSource, thereInTarget } = this.#plan
    const wanted = missing.filter(({ isWanted }) => isWanted).map(({ sequence }) => sequence)
    if (wanted.length === 0) {
      await work()
      return
    }
    const purpose = `a copy into another store, on ${hostName}`
    const compared = [...thereInTarget].filter((sequence) => thereInSource.has(sequence))
    const pin = { set, purpose, clock, onWarning }
    await withPin(source, { ...pin, sequences: [...compared, ...wanted] }, () =>
      withPin(target, { ...pin, sequences: [...thereInTarget, ...wanted] }, work),
    )
  }

  async #copyMissing(): Promise<void> {
    let before: MissingNumber[] = []
    for (const number of this.#plan.missing) {
      const { error, point } = number
      if (error !== undefined) {
        // It is left out, and the copy shows that it is missing, until it can be read again.
        this.#damage.addError(error, String(number.sequence))
      } else if (point !== undefined && number.isWanted && (await this.#copyPoint(number, point, before))) before = []
      else before.push(number)
    }
    // What is damaged and has nothing behind it yet waits, since it may be mended; and so do points before it.
    for (const { sequence, isWanted } of before) if (isWanted) this.#waiting.add(sequence)
    const waits = before.some(({ isWanted }) => isWanted) ? before.findIndex(({ point }) => point !== undefined) : -1
    await this.#publishRest(waits === -1 ? before : before.slice(0, waits))
  }

  /** False: it is damaged, and not in the copy. */
  async #copyPoint(number: MissingNumber, about: SetPoint, before: readonly MissingNumber[]): Promise<boolean> {
    const read = await this.#readPoint(number, about)
    if (read === undefined) return false
    const { point, needed } = read
    const [fresh, loose] = this.#bySafety(point, needed)
    const isFreshWhole = await this.#copyObjects(point, fresh, about, false)
    if (loose.size === 0) return isFreshWhole && (await this.#publish(number, read, about, before))
    return await this.#aloneWithGone(about, async () => {
      const isLooseWhole = await this.#copyObjects(point, loose, about, true)
      return isFreshWhole && isLooseWhole && (await this.#publish(number, read, about, before))
    })
  }

  /** undefined: its manifest or its map is damaged. */
  async #readPoint({ sequence, digest }: MissingNumber, about: SetPoint): Promise<ReadPoint | undefined> {
    try {
      const point = await readPoint(this.#options.source, this.#options.set, sequence)
      if (point.digest !== digest) throw replacedError(`the manifest of number ${String(sequence)}`)
      return { point, needed: await this.#needed(point) }
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damage.addError(error, about.id)
      return undefined
    }
  }

  /** What is different from the newest point of the chain that the copy has. Where that cannot be read, it is all. */
  async #needed(point: Point): Promise<NeededObjects> {
    const { source, target, set, signal } = this.#options
    const map = await PointMap.open(source, point)
    const sequence = this.#whole.get(point.manifest.chain)
    if (sequence === undefined) return await neededObjects(map, undefined, signal)
    const isInSource = this.#plan.thereInSource.has(sequence)
    const repository = isInSource ? source : target
    try {
      const before = await PointMap.open(repository, await readPoint(repository, set, sequence))
      return await neededObjects(map, before, signal)
    } catch (error) {
      if (!isDamage(error)) throw error
      return await neededObjects(map, undefined, signal)
    }
  }

  /**
   * Objects of sessions of which the copy knows a point, of whatever chain, may be dead there, and tagged, or be so any moment:
   * not where all points of the chain are pinned. They are written anew, while no prune is at it.
   */
  #bySafety({ manifest }: Point, needed: NeededObjects): [NeededObjects, NeededObjects] {
    const isLoose = this.#looseNumbers(manifest.chain).length > 0
    const sessions = new Set<string>(isLoose ? this.#known.map(({ id }) => id) : [])
    const all = [...needed]
    return [
      new Map(all.filter(([session]) => !sessions.has(session))),
      new Map(all.filter(([session]) => sessions.has(session))),
    ]
  }

  /** Numbers of a chain that are gone in the copy, or may go meanwhile. */
  #looseNumbers(ofChain: string): number[] {
    const copied = new Set(this.#points.map(({ sequence }) => sequence))
    return this.#known
      .filter(
        ({ chain, sequence }) => chain === ofChain && !copied.has(sequence) && !this.#plan.thereInTarget.has(sequence),
      )
      .map(({ sequence }) => sequence)
  }

  async #aloneWithGone({ chain, sequence }: SetPoint, work: () => Promise<boolean>): Promise<boolean> {
    const { target, set, clock, hostName, onWarning } = this.#options
    const options = {
      set,
      sequences: this.#looseNumbers(chain),
      purpose: `a copy into this store, on ${hostName}`,
      clock,
      onWarning,
    }
    const done = await aloneWithGone(target, options, work)
    if (done !== undefined) return done
    throw new StrataError(
      'E_COPY_INCOMPLETE',
      `point number ${String(sequence)} has to wait: a prune, or another copy, is at what its chain has left in ${target.store.description}`,
      { hint: 'Copy again when that has ended. What died in the middle of it is in the way for six hours.' },
    )
  }

  async #copyObjects(point: Point, needed: NeededObjects, about: SetPoint, anew: boolean): Promise<boolean> {
    let isWhole = true
    for (const [session, objects] of needed) {
      const { skippedObjects, damage } = await this.#copier.copy(point, session, objects, anew)
      this.#skippedObjects += skippedObjects
      for (const found of damage) this.#damage.add(found, about.id)
      if (damage.length > 0) isWhole = false
    }
    return isWhole
  }

  /** False: its manifest was damaged just now. */
  async #publish(
    number: MissingNumber,
    read: ReadPoint,
    about: SetPoint,
    before: readonly MissingNumber[],
  ): Promise<boolean> {
    await sayGone(this.#options, before)
    if (!(await this.#putNumber(number, await this.#locked(read)))) return false
    this.#points.push(about)
    this.#known.push(about)
    this.#whole.set(about.chain, about.sequence)
    await this.#putRest(before)
    return true
  }

  /**
   * What is locked in the source is locked in a copy that can, until the same time: what the points before it have brought
   * is locked already. Gives what its manifest is put with.
   */
  async #locked({ point, needed }: ReadPoint): Promise<ObjectLock | undefined> {
    const { target, onWarning } = this.#options
    const { lock } = point.manifest
    if (lock === undefined || Date.parse(lock.until) <= (await target.store.now())) return undefined
    if (!(await target.store.lockability()).canLock) return undefined
    const objectLock = objectLockOf(lock)
    const names = [...needed.values()].flatMap((objects) => [...objects.keys()])
    const problem = await lockObjects(target, names, objectLock)
    if (problem === undefined) return objectLock
    onWarning(problem)
    return undefined
  }

  async #publishRest(numbers: readonly MissingNumber[]): Promise<void> {
    await sayGone(this.#options, numbers)
    await this.#putRest(numbers)
  }

  async #putRest(numbers: readonly MissingNumber[]): Promise<void> {
    for (const number of numbers) {
      await this.#putNumber(number)
      if (number.point !== undefined) this.#known.push(number.point)
    }
  }

  /** False: what lies in the source is damaged, and the number stays missing in the copy. */
  async #putNumber(number: MissingNumber, lock?: ObjectLock): Promise<boolean> {
    const error = await putNumber(this.#options, number, lock)
    if (error === undefined) return true
    this.#damage.addError(error, String(number.sequence))
    return false
  }

  #progress(): void {
    const pointsTotal = this.#plan.missing.filter(({ isWanted }) => isWanted).length
    this.#options.onProgress?.({ pointsDone: this.#pointsDone, pointsTotal, copiedBytes: this.#bytes })
  }
}
