import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { gatewaySessionsKeptMax } from '@strata/shared/limits.ts'
import { readingBase } from '@strata/shared/repository/base-errors.ts'
import { PointMap } from '@strata/shared/repository/point-map.ts'
import { readBase } from '@strata/shared/repository/points.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'

/** Names a session of a tenant. */
export interface SessionRef {
  readonly set: SetId
  readonly session: SessionId
}

/** A session as this gateway knows it: its document, and what serves the requests that come here. */
export interface LiveSession {
  readonly place: SessionPlace
  readonly document: Session
  /** The base's map; null for a full. Opened when it is asked for. */
  base(): Promise<PointMap | null>
  /** How often each segment was handed over here. */
  readonly sendings: Map<number, number>
  /** Segments that the workers of this host have. */
  readonly underWay: Set<Promise<unknown>>
  /** Everything was sent, as was said here. */
  ended: boolean
  /** Redis went while a worker had a segment of it: nobody heard how that ended, and its pack may still come. */
  isUnheardOf: boolean
}

/**
 * Sessions that are under way. What is kept of them was read from the store and can be read again, at any gateway; the
 * store says which sessions there are.
 */
export class LiveSessions {
  readonly #repository: Repository
  /** By set and session: whoever names another set for a session must be in nobody's way. */
  readonly #sessions = new RecentlyUsed<string, Promise<LiveSession>>(gatewaySessionsKeptMax)

  constructor(repository: Repository) {
    this.#repository = repository
  }

  /** Errors: E_SESSION_UNKNOWN when it was given up, has become a point, or has expired. */
  async find(ref: SessionRef): Promise<LiveSession> {
    const found = await this.#sessions.get(keyOf(ref), () => {
      const reading = this.#read(ref)
      reading.catch(() => {
        this.forget(ref)
      })
      return reading
    })
    if ((await this.#repository.store.now()) > Date.parse(found.document.expiresAt)) {
      throw new StrataError('E_SESSION_UNKNOWN', `session ${ref.session} has expired`)
    }
    return found
  }

  /** One that was opened here and now. */
  add(place: SessionPlace, document: Session, base: PointMap | null): LiveSession {
    const session = this.#live(place, document, base)
    this.forget(place)
    void this.#sessions.get(keyOf(place), () => Promise.resolve(session))
    return session
  }

  forget(ref: SessionRef): void {
    this.#sessions.delete(keyOf(ref))
  }

  async #read(ref: SessionRef): Promise<LiveSession> {
    const { store, indexKeys } = this.#repository
    const setPlace = this.#repository.placeOf(ref.set)
    const name = sessionName(setPlace, ref.session)
    let bytes: Uint8Array
    try {
      bytes = await store.get(name, { bytesMax: documentObjectBytesMax })
    } catch (error) {
      throw hasCode(error, 'E_OBJECT_MISSING') ? unknownSession(ref, error) : error
    }
    const document = decodeDocument(sessionType, name, bytes, indexKeys)
    const place = { ...setPlace, chain: asId<ChainId>(document.chain), session: ref.session }
    return this.#live(place, document, undefined)
  }

  #live(place: SessionPlace, document: Session, opened: PointMap | null | undefined): LiveSession {
    let base: Promise<PointMap | null> | undefined = opened === undefined ? undefined : Promise.resolve(opened)
    const open = (): Promise<PointMap | null> => {
      base ??= this.#openBase(place.set, document)
      base.catch(() => {
        base = undefined
      })
      return base
    }
    return { place, document, base: open, sendings: new Map(), underWay: new Set(), ended: false, isUnheardOf: false }
  }

  async #openBase(set: SetId, { base }: Session): Promise<PointMap | null> {
    if (base === null) return null
    return await readingBase(
      readBase(this.#repository, set, base).then((point) => PointMap.open(this.#repository, point)),
    )
  }
}

function keyOf({ set, session }: SessionRef): string {
  return `${set}/${session}`
}

export function unknownSession({ session }: SessionRef, cause?: unknown): StrataError {
  const message = `session ${session} was given up, has expired, or was never opened`
  return new StrataError('E_SESSION_UNKNOWN', message, { cause })
}
