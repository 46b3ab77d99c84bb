import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, StrataError, toStrataError } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax, encodeDocument } from '@strata/shared/format/document.ts'
import {
  chainPrefix,
  packsPrefix,
  sessionEndName,
  sessionName,
  sessionObjectsPrefix,
  sessionOverName,
  sessionPlaceOf,
  tenantSessionsPrefix,
  type SessionDocumentName,
  type SessionPlace,
} from '@strata/shared/format/names.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { sessionLateMs, sessionLifeMs } from '@strata/shared/limits.ts'
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
 * 3. where it is a void, the session's document is kept as `over`;
 * 4. `end` goes, and `open` last: as long as anything is left, the next sweep finds the session and goes on;
 * 5. a day later whatever a worker has stored meanwhile, that had been stalled, goes as well, and `over` last.
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
  /** Sessions without a point that are over now; all that they had stored is gone. */
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
      counts[await new SessionSweep(repository, found, signal).run(found, clock)] += 1
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

/** Gives a session up that is not over yet, as the sweep does with those that are. One with a point stays as it is. */
export async function giveUpSession(repository: Repository, set: SetId, session: SessionId): Promise<void> {
  await new SessionSweep(repository, { set, session }, undefined).giveUp()
}

/** Else it is the store's trouble, or ours: the other sessions would fare no better. */
function isAboutOneSession({ code, kind }: StrataError): boolean {
  return kind !== 'bug' && code !== 'E_INTERRUPTED' && !code.startsWith('E_STORE')
}

interface SessionRef {
  readonly set: SetId
  readonly session: SessionId
}

/** `document`: what is left of it; `end` only where there is no `open`. */
interface FoundSession extends SessionRef {
  readonly document: SessionDocumentName
  /** When that was written, by the store's clock. */
  readonly writtenMs: number
}

/** What is left of all sessions of a tenant. `end` comes right before `open` in the order of the names. */
async function* sessionsOf({ store, tenant }: Repository): AsyncGenerator<FoundSession> {
  let ended: FoundSession | undefined
  for await (const { name, modifiedMs } of store.list(tenantSessionsPrefix(tenant))) {
    const place = sessionPlaceOf(tenant, name)
    if (place === undefined) continue
    const found = { ...place, writtenMs: modifiedMs }
    if (ended !== undefined && !(found.document === 'open' && ended.session === found.session)) yield ended
    ended = found.document === 'end' ? found : undefined
    if (ended === undefined) yield found
  }
  if (ended !== undefined) yield ended
}

class SessionSweep {
  readonly #repository: Repository
  readonly #ref: SessionRef
  readonly #signal: AbortSignal | undefined
  readonly #openName: string
  readonly #endName: string
  readonly #overName: string

  constructor(repository: Repository, ref: SessionRef, signal: AbortSignal | undefined) {
    this.#repository = repository
    this.#ref = ref
    this.#signal = signal
    const place = repository.placeOf(ref.set)
    this.#openName = sessionName(place, ref.session)
    this.#endName = sessionEndName(place, ref.session)
    this.#overName = sessionOverName(place, ref.session)
  }

  async run({ document, writtenMs }: FoundSession, clock: Clock): Promise<Outcome> {
    if (document === 'end') return await this.#removeLoneEnd()
    const ageMs = (await this.#repository.store.now()) - writtenMs
    if (document === 'over') return ageMs < sessionLateMs ? 'gone' : await this.#removeLate()
    // Most sessions of a busy tenant are young, and the listing says so: none of them costs a request.
    if (ageMs < sessionLifeMs) return 'kept'
    const open = await this.#read(this.#openName)
    if (open === undefined) return 'gone'
    if (!(await this.#isOver(open, clock))) return 'kept'
    return await this.#end(open)
  }

  async giveUp(): Promise<Outcome> {
    const open = await this.#read(this.#openName)
    return open === undefined ? 'gone' : await this.#end(open)
  }

  async #removeLate(): Promise<Outcome> {
    const { store } = this.#repository
    const session = await this.#read(this.#overName)
    if (session === undefined) return 'gone'
    const isLate =
      isVoid(await this.#ownNumber(session)) &&
      (await removeSessionObjects(store, this.#objectsPrefix(session), this.#signal)) > 0
    // Where there was something, there may be more: the next sweep looks again.
    if (!isLate) await store.delete(this.#overName)
    return 'gone'
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
  async #read(name: string): Promise<Session | undefined> {
    const { store, indexKeys } = this.#repository
    try {
      const bytes = await store.get(name, { bytesMax: documentObjectBytesMax })
      const open = decodeDocument(sessionType, name, bytes, indexKeys)
      if (open.session === this.#ref.session) return open
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
    const { set, session } = this.#ref
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
    const { store, indexKeys } = this.#repository
    await removeSessionObjects(store, this.#objectsPrefix(open), this.#signal)
    const over = encodeDocument(sessionType, this.#overName, open, indexKeys, this.#repository.nonce())
    await store.put(this.#overName, [over])
    return await this.#removeDocuments('cleared')
  }

  #place({ chain }: Session): SessionPlace {
    const { set, session } = this.#ref
    return { ...this.#repository.placeOf(set), chain: asId<ChainId>(chain), session }
  }

  /** A copy was to begin its chain, and has also brought what lies there under the names of other sessions. */
  #objectsPrefix(session: Session): string {
    const place = this.#place(session)
    return session.copyOf === undefined ? sessionObjectsPrefix(place) : chainPrefix(place)
  }

  async #removeDocuments(outcome: Outcome): Promise<Outcome> {
    const { store } = this.#repository
    await store.delete(this.#endName)
    await store.delete(this.#openName)
    return outcome
  }
}
