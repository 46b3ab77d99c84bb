import { retiredExpiryDays, retiredVersionDays } from '../limits.ts'
import type { ChainPoint } from '../policy/chain-due.ts'
import type { RetainedPoint } from '../policy/retention.ts'
import { dayMs } from '../policy/wall-time.ts'
import type { Batch, StoredObjects } from './stored-objects.ts'

/** A point of a forecast, there already or still to come. */
export interface ForeseenPoint extends RetainedPoint, ChainPoint {
  readonly objects: number
}

interface Chain {
  /** Points whose objects are needed, the newest of which is there. By number, as all here. */
  readonly living: { readonly sequence: number; readonly batch: Batch }[]
  /** All that were ever made in it. */
  readonly all: ForeseenPoint[]
  horizonMs: number
}

/**
 * The chains of a set, and what of them is stored. What a point has stored stays while that point or a later one of the
 * chain is there: an upper bound, since a later point need not use all of it, and nobody knows which.
 */
export class ForeseenChains {
  readonly #stored: StoredObjects
  readonly #chains = new Map<string, Chain>()
  readonly #gone = new Set<number>()
  #newest: Chain | undefined

  constructor(stored: StoredObjects) {
    this.#stored = stored
  }

  /** All points of the newest chain, those that are gone as well. */
  get newest(): readonly ForeseenPoint[] {
    return this.#newest?.all ?? []
  }

  isGone(sequence: number): boolean {
    return this.#gone.has(sequence)
  }

  /** @param point with a higher number than all before */
  add(point: ForeseenPoint): void {
    const chain = this.#chains.get(point.chain) ?? { living: [], all: [], horizonMs: 0 }
    this.#chains.set(point.chain, chain)
    this.#newest = chain
    if (point.lock !== undefined) chain.horizonMs = Date.parse(point.lock.until)
    const batch = this.#stored.add(point.storedBytes, point.objects, Date.parse(point.createdAt))
    chain.all.push(point)
    chain.living.push({ sequence: point.sequence, batch })
  }

  /** Gives how many objects are tagged with it. */
  goes({ chain, sequence }: Pick<ForeseenPoint, 'chain' | 'sequence'>, nowMs: number): number {
    this.#gone.add(sequence)
    return this.#collect(this.#chains.get(chain), nowMs)
  }

  #collect(chain: Chain | undefined, nowMs: number): number {
    let objects = 0
    if (chain === undefined) return objects
    for (let last = chain.living.at(-1); last !== undefined && this.isGone(last.sequence); last = chain.living.at(-1)) {
      chain.living.pop()
      objects += last.batch.objects
      this.#stored.retire(last.batch, deletedMs(chain, nowMs))
    }
    return objects
  }
}

/** Rules delete what is tagged; where objects are locked they only hide it, and delete it when the lock is over. */
function deletedMs({ horizonMs }: Chain, taggedMs: number): number {
  const expiredMs = taggedMs + retiredExpiryDays * dayMs
  return horizonMs === 0 ? expiredMs : Math.max(horizonMs, expiredMs + retiredVersionDays * dayMs)
}
