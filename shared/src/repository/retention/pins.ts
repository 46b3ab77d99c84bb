import type { Clock } from '../../clock.ts'
import { hasCode, StrataError, toStrataError } from '../../errors.ts'
import { decodeDocument, documentObjectBytesMax, encodeDocument } from '../../format/document.ts'
import type { Warning } from '../../format/manifest.ts'
import { pinName, pinOf, pinsPrefix, sessionPlaceOf, setSessionsPrefix } from '../../format/names.ts'
import { numbersIn, rangesOf } from '../../format/number-ranges.ts'
import { pinType, type Pin } from '../../format/retention.ts'
import { sessionType } from '../../format/session.ts'
import { pinLifeMs, pinRenewalMs, storeRequestsInFlightMax } from '../../limits.ts'
import type { ObjectInfo } from '../../store/object-store.ts'
import { idBytes, idFromBytes, type Id, type SetId } from '../../types.ts'
import { mapConcurrently } from '../concurrency.ts'
import type { Repository } from '../repository.ts'
import { instant } from '../registry/registry.ts'
import { isGone, markOf, RetentionLedger, type RetentionState } from './ledger.ts'

export interface PinOptions {
  readonly set: SetId
  readonly sequences: readonly number[]
  /** A few words for whoever wonders why a point does not go. */
  readonly purpose: string
  readonly clock: Clock
  /** What keeps it from being pinned where that is no reason not to read: a store that may only be read. */
  readonly onWarning: (warning: Warning) => void
}

/**
 * Runs `work` while points cannot go: the pin comes first, then the look whether they are still there. Whatever is marked
 * from then on meets the pin. Points that are gone, or so near to it that the pin may have been missed: E_POINT_RETIRED.
 */
export async function withPin<T>(repository: Repository, options: PinOptions, work: () => Promise<T>): Promise<T> {
  const pin = new HeldPin(repository, options)
  await pin.begin()
  try {
    const state = await new RetentionLedger(repository).readIfUsable(options.set, options.onWarning)
    await requireAllThere(repository, state, options.sequences)
    return await work()
  } finally {
    await pin.end()
  }
}

/**
 * Runs `work` while nobody else has those objects in hand that only points need which are gone: a prune tags them, and a
 * copy into this store writes those anew that it needs again. undefined: somebody else has. Whoever comes writes its pin
 * first, and looks for pins of others then: of two, one at least sees the other.
 * @param options.sequences of one chain: the points that are gone, and whatever else may go meanwhile
 */
export async function aloneWithGone<T>(
  repository: Repository,
  options: PinOptions,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const { set, sequences, clock } = options
  const pin = new HeldPin(repository, options)
  await pin.begin()
  try {
    const nowMs = Math.min(await repository.store.now(), clock.nowMs())
    for await (const { sequence } of ofPins(repository, set, nowMs, pin.name)) {
      if (sequences.includes(sequence)) return undefined
    }
    return await work()
  } finally {
    await pin.end()
  }
}

class HeldPin {
  readonly name: string
  readonly #repository: Repository
  readonly #options: PinOptions
  readonly #id: Id
  readonly #ended = new AbortController()
  #renewing: Promise<void> | undefined

  constructor(repository: Repository, options: PinOptions) {
    this.#repository = repository
    this.#options = options
    this.#id = idFromBytes<Id>(repository.random(idBytes))
    this.name = pinName(repository.placeOf(options.set), this.#id)
  }

  async begin(): Promise<void> {
    try {
      await this.#write()
    } catch (error) {
      // The point must be restorable all the same.
      if (!hasCode(error, 'E_STORE_DENIED', 'E_STORE_READ_ONLY', 'E_STORE_FULL')) throw error
      const message = `the point is read without a pin, so a prune would not wait for it: ${error.message}`
      this.#options.onWarning({ code: 'W_NOT_PINNED', message })
      return
    }
    this.#renewing = this.#renew()
  }

  async end(): Promise<void> {
    if (this.#renewing === undefined) return
    this.#ended.abort()
    await this.#renewing
    try {
      await this.#repository.store.delete(this.name)
    } catch (error) {
      // It expires by itself.
      const { message } = toStrataError(error)
      this.#options.onWarning({ code: 'W_LEFT_OVER', message: `a pin stays until it expires: ${message}` })
    }
  }

  async #renew(): Promise<void> {
    const { clock, onWarning } = this.#options
    for (;;) {
      try {
        await clock.sleep(pinRenewalMs, this.#ended.signal)
      } catch (error) {
        if (this.#ended.signal.aborted) return
        throw error
      }
      try {
        await this.#write()
      } catch (error) {
        onWarning({ code: 'W_NOT_PINNED', message: `the pin could not be renewed: ${toStrataError(error).message}` })
      }
    }
  }

  async #write(): Promise<void> {
    const { store, indexKeys } = this.#repository
    const { sequences, purpose } = this.#options
    const madeMs = await store.now()
    const document: Pin = {
      strata: 'pin',
      version: 1,
      pin: this.#id,
      points: rangesOf(sequences),
      purpose,
      madeAt: instant(madeMs),
      expiresAt: instant(madeMs + pinLifeMs),
    }
    await store.put(this.name, [encodeDocument(pinType, this.name, document, indexKeys, this.#repository.nonce())])
  }
}

/** Error: E_POINT_RETIRED. Whoever asks has pinned them, or opened a session that names them. */
export async function requireThere(repository: Repository, set: SetId, sequences: readonly number[]): Promise<void> {
  const { state } = await new RetentionLedger(repository).read(set)
  await requireAllThere(repository, state, sequences)
}

async function requireAllThere(
  repository: Repository,
  state: RetentionState,
  sequences: readonly number[],
): Promise<void> {
  const isThere = await whichAreThere(repository, state)
  const missing = sequences.find((sequence) => !isThere(sequence))
  if (missing === undefined) return
  const dueAt = markOf(state, missing)?.dueAt
  const what = dueAt === undefined ? 'is gone' : `was let go, and may be gone from ${dueAt} on`
  throw new StrataError('E_POINT_RETIRED', `by its retention, point number ${String(missing)} of the set ${what}`)
}

/** Which points can be pinned: not those that are gone, or so near to it that a prune may not see the pin any more. */
export async function whichAreThere(
  repository: Repository,
  state: RetentionState,
): Promise<(sequence: number) => boolean> {
  // Most sets have no mark, and a store that may only be read cannot tell the time.
  if (state.marked.length === 0) return (sequence) => !isGone(state, sequence)
  const nowMs = await timeOf(repository)
  return (sequence) => isThere(state, sequence, nowMs)
}

/** The same of one point, at a time. */
export function isThere(state: RetentionState, sequence: number, nowMs: number): boolean {
  const mark = markOf(state, sequence)
  return !isGone(state, sequence) && (mark === undefined || Date.parse(mark.dueAt) - nowMs >= pinLifeMs)
}

/** Who cannot write has no pin that could be missed. */
async function timeOf({ store }: Repository): Promise<number> {
  try {
    return await store.now()
  } catch (error) {
    if (hasCode(error, 'E_STORE_DENIED', 'E_STORE_READ_ONLY')) return -Infinity
    throw error
  }
}

/** Which points of a set are pinned, and by what. */
export interface PinnedPoint {
  readonly sequence: number
  readonly by: string
}

/**
 * Pins that have not expired, and the points that sessions which are not over build on or copy. Two listings, and one
 * request for each of those. Clocks: a pin counts until both the store's clock and `clock` are past its end.
 */
export async function* pinnedPoints(repository: Repository, set: SetId, clock: Clock): AsyncGenerator<PinnedPoint> {
  const nowMs = Math.min(await repository.store.now(), clock.nowMs())
  yield* ofPins(repository, set, nowMs)
  yield* ofSessions(repository, set)
}

/** @param own the name of a pin that does not count */
async function* ofPins(repository: Repository, set: SetId, nowMs: number, own?: string): AsyncGenerator<PinnedPoint> {
  const place = repository.placeOf(set)
  // One that was not renewed for so long needs not be read, whatever is in it.
  const isFresh = ({ name, modifiedMs }: ObjectInfo): boolean =>
    name !== own && pinOf(place, name) !== undefined && modifiedMs + pinLifeMs > nowMs
  const names = namesIn(repository, pinsPrefix(place), isFresh)
  const read = async (name: string): Promise<Pin | undefined> => {
    const bytes = await bytesOf(repository, name)
    return bytes === undefined ? undefined : decodeDocument(pinType, name, bytes, repository.indexKeys)
  }
  for await (const pin of mapConcurrently(names, storeRequestsInFlightMax, read)) {
    if (pin === undefined || Date.parse(pin.expiresAt) <= nowMs) continue
    for (const sequence of numbersIn(pin.points)) yield { sequence, by: pin.purpose }
  }
}

/** A session is over when the sweep has cleared it away, whatever the time. */
async function* ofSessions(repository: Repository, set: SetId): AsyncGenerator<PinnedPoint> {
  const { tenant } = repository
  const isOpen = ({ name }: ObjectInfo): boolean => sessionPlaceOf(tenant, name)?.document === 'open'
  const names = namesIn(repository, setSessionsPrefix(repository.placeOf(set)), isOpen)
  const read = async (name: string): Promise<PinnedPoint[]> => {
    const bytes = await bytesOf(repository, name)
    if (bytes === undefined) return []
    const { base, copyOf } = decodeDocument(sessionType, name, bytes, repository.indexKeys)
    return [
      ...(base === null ? [] : [{ sequence: base.sequence, by: 'a backup that is under way' }]),
      ...(copyOf === undefined ? [] : [{ sequence: copyOf.sequence, by: 'a synthetic full that is under way' }]),
    ]
  }
  for await (const found of mapConcurrently(names, storeRequestsInFlightMax, read)) yield* found
}

async function* namesIn(
  { store }: Repository,
  prefix: string,
  isWanted: (info: ObjectInfo) => boolean,
): AsyncGenerator<string> {
  for await (const info of store.list(prefix)) if (isWanted(info)) yield info.name
}

/** undefined: it is over. */
async function bytesOf({ store }: Repository, name: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(name, { bytesMax: documentObjectBytesMax })
  } catch (error) {
    if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
    throw error
  }
}
