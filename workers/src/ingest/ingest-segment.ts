import { errorFromDocument } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { attemptFromBytes, packName, sessionName } from '@strata/shared/format/names.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { indexKeyOf } from '@strata/shared/keys/ingest-keys.ts'
import { ingestSessionsKeptMax } from '@strata/shared/limits.ts'
import type { IngestResult, SegmentSize } from '@strata/shared/queue/ingest-job.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import type { SegmentAnswer, SegmentTask } from './ingest-thread.ts'
import { packRoomBytes } from './pack-room.ts'
import { SessionKeys } from './session-keys.ts'

/** Level 1 stores some 8 % more than level 3 and is 1.6 times as fast: docs/decisions/0006-compression.md. */
const compressionLevel = 1
const attemptBytes = 8

/** A segment in a file of this machine. */
export interface SegmentInFile {
  readonly set: SetId
  readonly session: SessionId
  readonly segment: number
  readonly path: string
  /** Sealed with the session's transport key; else plain. */
  readonly sealed: boolean
  /** Which threads pack it. */
  readonly size: SegmentSize
}

/** Turns segments into packs, of any tenant: one attempt, one pack of its own name. */
export class Ingest {
  /** Those for large ones step back: who packs a small one, takes requests or makes points goes first. */
  readonly #pools: Readonly<Record<SegmentSize, ThreadPool<SegmentTask, SegmentAnswer>>>
  readonly #sessions = new RecentlyUsed<string, Promise<Session>>(ingestSessionsKeptMax)
  readonly #keys = new SessionKeys()
  /**
   * Memory for packs, used again: as much as there were jobs at a time. Shared, since memory that changes hands makes the
   * garbage collectors of both threads believe that so much came or went, and start.
   */
  readonly #rooms: Readonly<Record<SegmentSize, SharedArrayBuffer[]>> = { large: [], small: [] }

  constructor(threads: number) {
    this.#pools = { large: poolOf(threads), small: poolOf(1) }
  }

  /** Resolves when the pack is stored. E_OBJECT_MISSING: the session is over. */
  async run(
    repository: Repository,
    { set, session, segment, path, sealed, size }: SegmentInFile,
  ): Promise<IngestResult> {
    const document = await this.#session(repository, set, session)
    const place = { ...repository.placeOf(set), chain: asId<ChainId>(document.chain), session }
    const dataKey = await this.#keys.keyOf(repository, session)
    const attempt = attemptFromBytes(repository.random(attemptBytes))
    const name = packName(place, 'data', { session, number: segment, attempt })
    const { ingestKeys } = repository
    const room = this.#rooms[size].pop() ?? new SharedArrayBuffer(packRoomBytes[size])
    try {
      const answer = await this.#pools[size].run({
        segmentPath: path,
        session,
        segment,
        ...(sealed ? { transportKey: repository.transportKeyOf(session) } : {}),
        disks: document.disks.map(({ blockBytes, sizeBytes }) => ({ blockBytes, sizeBytes })),
        packName: name,
        dataKey,
        blockDigestKey: repository.digestKeysOf(set).block,
        indexKey: indexKeyOf(ingestKeys, ingestKeys.currentGeneration),
        indexKeyGeneration: ingestKeys.currentGeneration,
        compressionLevel,
        stepsBack: size === 'large',
        room,
      })
      if ('error' in answer) throw errorFromDocument(answer.error)
      const { packBytes } = answer
      await repository.store.put(name, [new Uint8Array(room, 0, packBytes)], { ifAbsent: true })
      return { packBytes }
    } finally {
      this.#rooms[size].push(room)
    }
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#pools).map((pool) => pool.close({ letEnd: true })))
  }

  /** Session documents never change, so one read serves all segments of a session. */
  #session(repository: Repository, set: SetId, session: SessionId): Promise<Session> {
    const key = `${repository.tenant}/${session}`
    return this.#sessions.get(key, () => {
      const reading = readSession(repository, set, session)
      reading.catch(() => {
        this.#sessions.delete(key)
      })
      return reading
    })
  }
}

function poolOf(threadsMax: number): ThreadPool<SegmentTask, SegmentAnswer> {
  return new ThreadPool<SegmentTask, SegmentAnswer>({
    module: new URL('./ingest-thread.ts', import.meta.url),
    threadsMax,
    // A backup that finds nothing new needs none.
    threadsAtOnce: 0,
    // By messages: an idle thread then costs no CPU.
    waitsInPlace: false,
  })
}

async function readSession(repository: Repository, set: SetId, session: SessionId): Promise<Session> {
  const name = sessionName(repository.placeOf(set), session)
  const bytes = await repository.store.get(name, { bytesMax: documentObjectBytesMax })
  return decodeDocument(sessionType, name, bytes, repository.indexKeys)
}
