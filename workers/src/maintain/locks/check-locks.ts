import type { Clock } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { ChainLock, Warning } from '@strata/shared/format/manifest.ts'
import { manifestName, packName } from '@strata/shared/format/names.ts'
import { storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { pointLockEndMs } from '@strata/shared/policy/chain-lock.ts'
import type { Immutability } from '@strata/shared/policy/keeping-members.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { documentsOf } from '@strata/shared/repository/lock-documents.ts'
import {
  chainPlaceOf,
  isReadable,
  isUnreadable,
  listPoints,
  pointId,
  type Point,
} from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { isGone, RetentionLedger } from '@strata/shared/repository/retention/ledger.ts'
import { withPin } from '@strata/shared/repository/retention/pins.ts'
import type { ObjectLock } from '@strata/shared/store/object-store.ts'
import type { SetId } from '@strata/shared/types.ts'
import { liveObjects } from '../retention/live-objects.ts'

/**
 * Proves that every object behind every point is locked until the point is old enough, by walking from the points to what
 * they refer to, and asking the store for the lock of each. What the manifests say of locks is what is wanted, and no proof.
 */
export interface LockCheckOptions {
  readonly repository: Repository
  /** Left out: all sets. */
  readonly set?: SetId | undefined
  /** What the policy in force wants, for points that say nothing of locks themselves. */
  readonly immutability: Immutability | undefined
  readonly clock: Clock
  readonly onWarning: (warning: Warning) => void
  readonly onProgress?: ((objects: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface UnlockedObject {
  readonly object: string
  /** null: it has no lock. */
  readonly lockedUntil: string | null
  readonly mode: ObjectLock['mode'] | null
  /** Those that need it, and for longer, or in a stricter mode. */
  readonly points: readonly string[]
}

export interface LockCheck {
  /** Points that are to be locked now. */
  readonly points: number
  readonly objects: number
  readonly unlocked: readonly UnlockedObject[]
  /** When the last of the points is old enough; null: there is none. */
  readonly horizon: string | null
  /** Manifests that cannot be read: nobody knows what is behind them. */
  readonly unreadable: readonly StrataError[]
}

/** A point that is to be locked. */
interface WantedPoint {
  readonly point: Point
  readonly mode: ChainLock['mode']
  readonly endMs: number
}

/** E_STORE_NO_LOCK. */
export async function checkLocks(options: LockCheckOptions): Promise<LockCheck> {
  const { store } = options.repository
  const lockability = await store.lockability()
  if (!lockability.canLock) {
    throw new StrataError('E_STORE_NO_LOCK', `nothing is locked in ${store.description}: ${lockability.why}`)
  }
  return await new LockRun(options).run()
}

class LockRun {
  readonly #options: LockCheckOptions
  readonly #unlocked: UnlockedObject[] = []
  #objects = 0

  constructor(options: LockCheckOptions) {
    this.#options = options
  }

  async run(): Promise<LockCheck> {
    const { repository, set, clock, onWarning } = this.#options
    const entries = await Array.fromAsync(listPoints(repository, set))
    const wanted: WantedPoint[] = []
    for (const [of, points] of Map.groupBy(entries.filter(isReadable), (point) => point.set)) {
      const wantedOfSet = await this.#wantedOf(of, points)
      const sequences = wantedOfSet.map(({ point }) => point.sequence)
      await withPin(repository, { set: of, sequences, purpose: 'lock check', clock, onWarning }, async () => {
        for (const [, chain] of Map.groupBy(wantedOfSet, ({ point }) => point.manifest.chain)) await this.#chain(chain)
      })
      wanted.push(...wantedOfSet)
    }
    if (wanted.length > 0) await this.#documents(wanted)
    const endMs = wanted.reduce((latest, point) => Math.max(latest, point.endMs), 0)
    return {
      points: wanted.length,
      objects: this.#objects,
      unlocked: this.#unlocked,
      horizon: wanted.length === 0 ? null : new Date(endMs).toISOString(),
      unreadable: entries.filter(isUnreadable).map(({ error }) => error),
    }
  }

  /** Points that are there, and whose time is not over. */
  async #wantedOf(set: SetId, points: readonly Point[]): Promise<WantedPoint[]> {
    const { repository, immutability, onWarning } = this.#options
    const state = await new RetentionLedger(repository).readIfUsable(set, onWarning)
    const nowMs = await repository.store.now()
    return points
      .filter(({ sequence }) => !isGone(state, sequence))
      .flatMap((point) => {
        const terms = point.manifest.lock ?? immutability
        if (terms === undefined) return []
        return [{ point, mode: terms.mode, endMs: pointLockEndMs(terms, point.manifest.createdAt) }]
      })
      .filter(({ endMs }) => endMs > nowMs)
  }

  /** @param wanted points of one chain */
  async #chain(wanted: readonly WantedPoint[]): Promise<void> {
    const { repository, signal } = this.#options
    const names = await this.#namesBehind(wanted.map(({ point }) => point))
    const short: { name: string; lock: ObjectLock | undefined }[] = []
    for await (const found of this.#locksOf(names)) {
      if (wanted.some((point) => !isEnough(found.lock, point))) short.push(found)
    }
    if (short.length > 0) {
      // Which points need them, is looked for only now: nearly always there is nothing to tell.
      const behind = new Map<WantedPoint, ReadonlySet<string>>()
      for (const one of wanted) behind.set(one, await this.#namesBehind([one.point]))
      for (const { name, lock } of short) {
        this.#report(
          name,
          lock,
          wanted.filter((point) => behind.get(point)?.has(name) === true && !isEnough(lock, point)),
        )
      }
    }
    if (signal?.aborted === true) throw new StrataError('E_INTERRUPTED', 'the check of the locks was interrupted')
    const manifests = new Map(
      wanted.map((one) => [manifestName(repository.placeOf(one.point.set), one.point.sequence), one]),
    )
    for await (const { name, lock } of this.#locksOf(manifests.keys())) {
      const point = manifests.get(name)
      if (point !== undefined && !isEnough(lock, point)) this.#report(name, lock, [point])
    }
  }

  async #documents(wanted: readonly WantedPoint[]): Promise<void> {
    for await (const { name, lock } of this.#locksOf(documentsOf(this.#options.repository))) {
      this.#report(
        name,
        lock,
        wanted.filter((point) => !isEnough(lock, point)),
      )
    }
  }

  async #namesBehind(points: readonly Point[]): Promise<ReadonlySet<string>> {
    const { repository, signal } = this.#options
    const [first] = points
    if (first === undefined) return new Set()
    const place = chainPlaceOf(repository, first)
    const live = await liveObjects(repository, points, signal)
    return new Set([...live.all()].map(({ kind, reference }) => packName(place, kind, reference)))
  }

  async *#locksOf(
    names: Iterable<string> | AsyncIterable<string>,
  ): AsyncGenerator<{ name: string; lock: ObjectLock | undefined }> {
    const { store } = this.#options.repository
    const found = mapConcurrently(names, storeRequestsInFlightMax, async (name) => ({
      name,
      lock: await store.lockOf(name),
    }))
    for await (const one of found) {
      this.#objects += 1
      this.#options.onProgress?.(this.#objects)
      yield one
    }
  }

  #report(object: string, lock: ObjectLock | undefined, points: readonly WantedPoint[]): void {
    if (points.length === 0) return
    this.#unlocked.push({
      object,
      lockedUntil: lock === undefined ? null : new Date(lock.untilMs).toISOString(),
      mode: lock?.mode ?? null,
      points: points.map(({ point }) => pointId(point)),
    })
  }
}

function isEnough(lock: ObjectLock | undefined, { mode, endMs }: WantedPoint): boolean {
  if (lock === undefined || lock.untilMs < endMs) return false
  return lock.mode === 'compliance' || mode === 'governance'
}
