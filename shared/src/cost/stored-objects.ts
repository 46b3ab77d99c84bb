import type { StorageClassMove } from '../lifecycle/rules.ts'
import { readBytesMax } from '../limits.ts'
import { dayMs } from '../policy/wall-time.ts'
import { Agenda } from './agenda.ts'
import type { ClassMoves } from './class-moves.ts'
import { billedBytes, priceOfEarlyLeave, priceOfMoves } from './price-of.ts'
import { archiveClasses, storedClasses, type StoredClass } from '../format/storage-class.ts'
import type { ProviderPrices } from './price-table.ts'

/**
 * What lies in a store on a day, by class. Objects that were made together go together, so a batch of them is one thing
 * here, all of one size; what happens to it waits in an agenda, and totals are kept, so that a day costs next to nothing
 * however much is stored.
 */
export interface Batch {
  readonly bytes: number
  readonly objects: number
  readonly createdMs: number
  storedClass: StoredClass
  /** Since when it is in that class. */
  sinceMs: number
  /** What its size allows. */
  readonly moves: readonly StorageClassMove[]
  nextMove: number
  state: 'live' | 'retired' | 'deleted'
}

/** Of one class. */
export interface ClassTotal {
  bytes: number
  objects: number
  billedBytes: number
  /** What one round of verification reads, and with how many requests. */
  checkedBytes: number
  checkReads: number
}

/** What a day has cost beside storage as such. */
export interface DayOfObjects {
  readonly moves: number
  readonly earlyLeaves: number
}

type Event = { readonly batch: Batch } & (
  { readonly kind: 'move'; readonly to: StoredClass } | { readonly kind: 'delete' }
)

export class StoredObjects {
  readonly totals: Readonly<Record<StoredClass, ClassTotal>>
  readonly #prices: ProviderPrices
  readonly #moves: ClassMoves
  readonly #startMs: number
  readonly #agenda: Agenda<Event>

  constructor(prices: ProviderPrices, moves: ClassMoves, startMs: number) {
    this.#prices = prices
    this.#moves = moves
    this.#startMs = startMs
    this.#agenda = new Agenda(startMs)
    this.totals = {
      standard: noTotal(),
      infrequent: noTotal(),
      'archive-instant': noTotal(),
      archive: noTotal(),
      'deep-archive': noTotal(),
    }
  }

  /** What is older than the forecast is in the class by now that rules have put it into. */
  add(bytes: number, objects: number, createdMs: number): Batch {
    const batch: Batch = {
      bytes,
      objects,
      createdMs,
      storedClass: 'standard',
      sinceMs: createdMs,
      moves: this.#moves.ofObjects(meanBytes(bytes, objects)),
      nextMove: 0,
      state: 'live',
    }
    for (const move of batch.moves) {
      const atMs = createdMs + move.afterDays * dayMs
      if (atMs > this.#startMs) break
      enter(batch, move.class, atMs)
    }
    this.#count(batch, 1)
    this.#plan(batch)
    return batch
  }

  /** No point needs it any more: it is not verified, and the store deletes it then. */
  retire(batch: Batch, deletedMs: number): void {
    this.#count(batch, -1)
    batch.state = 'retired'
    this.#count(batch, 1)
    this.#agenda.add(deletedMs, { kind: 'delete', batch })
  }

  /** Lets happen what is due. */
  pass(nowMs: number): DayOfObjects {
    let moves = 0
    let earlyLeaves = 0
    for (const event of this.#agenda.due(nowMs)) {
      const { batch } = event
      if (batch.state === 'deleted') continue
      this.#count(batch, -1)
      const daysInClass = (nowMs - batch.sinceMs) / dayMs
      earlyLeaves += priceOfEarlyLeave(this.#billed(batch), daysInClass, batch.storedClass, this.#prices)
      if (event.kind === 'delete') {
        batch.state = 'deleted'
        continue
      }
      enter(batch, event.to, nowMs)
      moves += priceOfMoves(batch.objects, event.to, this.#prices)
      this.#count(batch, 1)
      this.#plan(batch)
    }
    return { moves, earlyLeaves }
  }

  #plan(batch: Batch): void {
    const move = batch.moves[batch.nextMove]
    if (move === undefined) return
    this.#agenda.add(batch.createdMs + move.afterDays * dayMs, { kind: 'move', batch, to: move.class })
  }

  #billed({ bytes, objects, storedClass }: Batch): number {
    return billedBytes(bytes, objects, storedClass, this.#prices)
  }

  #count(batch: Batch, sign: 1 | -1): void {
    const { bytes, objects, storedClass, state } = batch
    const total = this.totals[storedClass]
    total.bytes += sign * bytes
    total.objects += sign * objects
    total.billedBytes += sign * this.#billed(batch)
    // What is archived cannot be read at once, so no verification does.
    if (state !== 'live' || archiveClasses.has(storedClass)) return
    total.checkedBytes += sign * bytes
    total.checkReads += sign * objects * Math.ceil(meanBytes(bytes, objects) / readBytesMax)
  }
}

export function byClass(valueOf: (storedClass: StoredClass) => number): Record<StoredClass, number> {
  return Object.fromEntries(storedClasses.map((storedClass) => [storedClass, valueOf(storedClass)])) as Record<
    StoredClass,
    number
  >
}

function enter(batch: Batch, storedClass: StoredClass, atMs: number): void {
  batch.storedClass = storedClass
  batch.sinceMs = atMs
  batch.nextMove += 1
}

function meanBytes(bytes: number, objects: number): number {
  return objects === 0 ? 0 : bytes / objects
}

function noTotal(): ClassTotal {
  return { bytes: 0, objects: 0, billedBytes: 0, checkedBytes: 0, checkReads: 0 }
}
