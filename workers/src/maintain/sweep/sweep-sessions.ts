import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import {
  packsPrefix,
  sessionEndName,
  sessionName,
  sessionPlaceOf,
  tenantSessionsPrefix,
  type SessionPlace,
} from '@strata/shared/format/names.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { sessionLifeMs } from '@strata/shared/limits.ts'
import { isVoid, latestSequence, type NumberEntry } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import { findOwnNumber, takeNumber, type NumberSearch } from '../../commit/take-number.ts'
import { removeSessionObjects, requireGoingOn } from './remove-session-objects.ts'

/**
 * Clears away what dead sessions have left. The order is what makes it safe, whoever dies or wakes up late:
 *
 * 1. the session's number is looked for, and taken with a void where there is none: from then on no commit of it can
 *    publish a point;
 * 2. its packs go, where the number is a void; those of a point stay;
 * 3. `end` goes, and `open` last: as long as anything is left, the next sweep finds the session and goes on.
 *
 * So any number of sweepers may run at once, and each may die anywhere.
 */
export interface SweepOptions {
  readonly repository: Repository
  /** Our own clock: nothing goes before both it and the store's say that it is time. */
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
}

export interface SweepResult {
  /** Sessions without a point that are gone now, with all that they had stored. */
  readonly cleared: number
  /** Sessions that had become points: their documents are gone, and nothing else. */
  readonly published: number
  /** Sessions that are not over yet. */
  readonly kept: number
  /** Sessions of which, or of whose set, something cannot be read: nothing of them was touched. */
  readonly unreadable: number
  /** Why the first of those could not be read. */
  readonly problem: StrataError | undefined
}

type Outcome = 'cleared' | 'published' | 'kept' | 'gone'

export async function sweepSessions({ repository, clock, signal }: SweepOptions): Promise<SweepResult> {
  const counts = { cleared: 0, published: 0, kept: 0, unreadable: 0, gone: 0 }
  let problem: StrataError | undefined
  for await (const found of sessionsOf(repository)) {
    requireGoingOn(signal)
    try {
      counts[await new SessionSweep(repository, found, signal).run(clock)] += 1
    } catch (error) {
      const known = toStrataError(error)
      if (!isAboutOneSession(known)) throw known
      counts.unreadable += 1
      problem ??= known
    }
  }
  const { cleared, published, kept, unreadable } = counts
  return { cleared, published, kept, unreadable, problem }
}

/**
 * Gives a session up that is not over yet, as the sweep does with those that are. It stays as it is where it has become
 * a point; where a worker goes on storing, the sweep finds the rest.
 */
export async function giveUpSession(repository: Repository, set: SetId, session: SessionId): Promise<void> {
  await new SessionSweep(repository, { set, session, openedMs: undefined }, undefined).giveUp()
}

/** Else it is the store's trouble, or ours: the other sessions would fare no better. */
function isAboutOneSession({ code, kind }: StrataError): boolean {
  return kind !== 'bug' && code !== 'E_INTERRUPTED' && !code.startsWith('E_STORE')
}

interface FoundSession {
  readonly set: SetId
  readonly session: SessionId
  /** When `open` was written, by the store's clock; undefined: there is only an `end`. */
  readonly openedMs: number | undefined
}

/** All sessions of a tenant that have a document left. `end` comes right before `open` in the order of the names. */
async function* sessionsOf({ store, tenant }: Repository): AsyncGenerator<FoundSession> {
  let ended: FoundSession | undefined
  for await (const { name, modifiedMs } of store.list(tenantSessionsPrefix(tenant))) {
    const place = sessionPlaceOf(tenant, name)
    if (place === undefined) continue
    const { set, session, document } = place
    if (ended !== undefined && ended.session !== session) yield ended
    ended = undefined
    if (document === 'end') ended = { set, session, openedMs: undefined }
    else yield { set, session, openedMs: modifiedMs }
  }
  if (ended !== undefined) yield ended
}

class SessionSweep {
  readonly #repository: Repository
  readonly #found: FoundSession
  readonly #signal: AbortSignal | undefined
  readonly #openName: string
  readonly #endName: string

  constructor(repository: Repository, found: FoundSession, signal: AbortSignal | undefined) {
    this.#repository = repository
    this.#found = found
    this.#signal = signal
    const place = repository.placeOf(found.set)
    this.#openName = sessionName(place, found.session)
    this.#endName = sessionEndName(place, found.session)
  }

  async run(clock: Clock): Promise<Outcome> {
    const { openedMs } = this.#found
    if (openedMs === undefined) return await this.#removeLoneEnd()
    // Most sessions of a busy tenant are young, and the listing says so: none of them costs a request.
    if ((await this.#repository.store.now()) - openedMs < sessionLifeMs) return 'kept'
    const open = await this.#readOpen()
    if (open === undefined) return 'gone'
    if (!(await this.#isOver(open, clock))) return 'kept'
    return await this.#end(open)
  }

  async giveUp(): Promise<Outcome> {
    const open = await this.#readOpen()
    return open === undefined ? 'gone' : await this.#end(open)
  }

  async #end(open: Session): Promise<Outcome> {
    const number = await this.#ownNumber(open)
    return isVoid(number) ? await this.#clear(open) : await this.#removeDocuments('published')
  }

  /** A session whose `open` is gone is over, and of all that it had only this is left. */
  async #removeLoneEnd(): Promise<Outcome> {
    const { store } = this.#repository
    // A listing may miss what appears while it is made.
    if ((await store.head(this.#openName)) !== undefined) return 'kept'
    await store.delete(this.#endName)
    return 'gone'
  }

  /** undefined: another sweeper was quicker, or the session came to its end. */
  async #readOpen(): Promise<Session | undefined> {
    const { store, indexKeys } = this.#repository
    const name = this.#openName
    try {
      const bytes = await store.get(name, { bytesMax: documentObjectBytesMax })
      const open = decodeDocument(sessionType, name, bytes, indexKeys)
      if (open.session === this.#found.session) return open
    } catch (error) {
      if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
      throw error
    }
    throw new StrataError('E_FORMAT_DAMAGED', `${name}: is of another session`)
  }

  /** A clock that is wrong deletes nothing: it takes both. */
  async #isOver({ expiresAt }: Session, clock: Clock): Promise<boolean> {
    const expiresMs = Date.parse(expiresAt)
    return (await this.#repository.store.now()) > expiresMs && clock.nowMs() > expiresMs
  }

  /** What the session ended with: a point that a commit has published, or a void. */
  async #ownNumber(open: Session): Promise<NumberEntry> {
    const repository = this.#repository
    const { set, session } = this.#found
    // A number that cannot be read may be the session's point.
    const search: NumberSearch = { repository, set, session, unreadable: 'refused' }
    const last = await latestSequence(repository, set, open.sequenceAtOpen)
    const own = await findOwnNumber(search, open.sequenceAtOpen, last)
    if (own !== undefined && !isVoid(own)) return own
    // Packs without page packs are no point's. Where there are some, no number counts as foreign unseen.
    const earlier = (await this.#hasPagePacks(open)) ? await findOwnNumber(search, 0, open.sequenceAtOpen) : undefined
    const known = earlier ?? own
    if (known !== undefined) return known
    return await takeNumber(search, last, (facts) => ({ strata: 'void', version: 1, session, ...facts }))
  }

  async #hasPagePacks(open: Session): Promise<boolean> {
    for await (const _ of this.#repository.store.list(packsPrefix(this.#place(open), 'map'))) return true
    return false
  }

  async #clear(open: Session): Promise<Outcome> {
    // A worker that goes on storing is one that nobody has told yet: the next sweep finds the rest.
    const { store } = this.#repository
    if (!(await removeSessionObjects(store, this.#place(open), this.#signal))) return 'kept'
    await this.#removeDocuments('cleared')
    // One that was stored while `open` was still there: from now on whoever stores one removes it again.
    await removeSessionObjects(store, this.#place(open), this.#signal)
    return 'cleared'
  }

  #place({ chain }: Session): SessionPlace {
    const { set, session } = this.#found
    return { ...this.#repository.placeOf(set), chain: asId<ChainId>(chain), session }
  }

  async #removeDocuments(outcome: Outcome): Promise<Outcome> {
    const { store } = this.#repository
    await store.delete(this.#endName)
    await store.delete(this.#openName)
    return outcome
  }
}
