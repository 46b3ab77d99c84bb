import { errorFromDocument, StrataError } from '@strata/shared/errors.ts'
import { decodeDocument, documentObjectBytesMax } from '@strata/shared/format/document.ts'
import { attemptFromBytes, packName, sessionName, type SessionPlace } from '@strata/shared/format/names.ts'
import { sessionType, type Session } from '@strata/shared/format/session.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import type { IngestJob, IngestResult } from '@strata/shared/queue/ingest-job.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'
import { asId, type ChainId, type SessionId, type SetId } from '@strata/shared/types.ts'
import type { SegmentAnswer, SegmentTask } from './ingest-thread.ts'
import { ThreadPool } from '@strata/shared/threads/pool.ts'
import { segmentPathOf } from '../local/session-hand-over.ts'
import { packRoomBytes } from './pack-room.ts'
import { SessionKeys } from './session-keys.ts'

/** Level 1 stores some 8 % more than level 3 and is 1.6 times as fast: docs/decisions/0006-compression.md. */
const compressionLevel = 1
const attemptBytes = 8
const sessionsKeptMax = 64

/** Turns segments into packs: one job, one attempt, one pack of its own name. */
export class Ingest {
  readonly #repository: Repository
  readonly #handOverDirectory: string
  readonly #pool: ThreadPool<SegmentTask, SegmentAnswer>
  readonly #sessions = new RecentlyUsed<SessionId, Promise<Session>>(sessionsKeptMax)
  readonly #keys = new SessionKeys()
  /**
   * Memory for packs, used again: as much as there were jobs at a time. Shared, since memory that changes hands makes the
   * garbage collectors of both threads believe that so much came or went, and start.
   */
  readonly #rooms: SharedArrayBuffer[] = []

  constructor(repository: Repository, handOverDirectory: string, threads: number) {
    this.#repository = repository
    this.#handOverDirectory = handOverDirectory
    this.#pool = new ThreadPool<SegmentTask, SegmentAnswer>({
      module: new URL('./ingest-thread.ts', import.meta.url),
      threadsMax: threads,
      // A backup that finds nothing new needs none.
      threadsAtOnce: 0,
      // By messages: an idle thread then costs no CPU.
      waitsInPlace: false,
    })
  }

  async run(job: IngestJob): Promise<IngestResult> {
    const repository = this.#repository
    if (job.tenant !== repository.tenant) throw new StrataError('E_BUG', `a job of tenant ${job.tenant}`)
    const place: SessionPlace = {
      ...repository.placeOf(asId<SetId>(job.set)),
      chain: asId<ChainId>(job.chain),
      session: asId<SessionId>(job.session),
    }
    const session = await this.#session(place)
    const dataKey = await this.#keys.keyOf(repository, place.session)
    const attempt = attemptFromBytes(repository.random(attemptBytes))
    const name = packName(place, 'data', { session: place.session, number: job.segment, attempt })
    const { ingestKeys } = repository
    const room = this.#rooms.pop() ?? new SharedArrayBuffer(packRoomBytes)
    const task: SegmentTask = {
      segmentPath: segmentPathOf(this.#handOverDirectory, job),
      session: job.session,
      segment: job.segment,
      disks: session.disks.map(({ blockBytes, sizeBytes }) => ({ blockBytes, sizeBytes })),
      packName: name,
      dataKey,
      blockDigestKey: repository.digestKeysOf(place.set).block,
      indexKey: currentIndexKey(repository),
      indexKeyGeneration: ingestKeys.currentGeneration,
      compressionLevel,
      room,
    }
    const answer = await this.#pool.run(task)
    if ('error' in answer) throw errorFromDocument(answer.error)
    const { packBytes } = answer
    await repository.store.put(name, [new Uint8Array(room, 0, packBytes)], { ifAbsent: true })
    this.#rooms.push(room)
    return { packBytes }
  }

  async close(): Promise<void> {
    await this.#pool.close({ letEnd: true })
  }

  /** Session documents never change, so one read serves all segments of a session. */
  #session(place: SessionPlace): Promise<Session> {
    return this.#sessions.get(place.session, () => {
      const session = readSession(this.#repository, place)
      session.catch(() => {
        this.#sessions.delete(place.session)
      })
      return session
    })
  }
}

async function readSession(repository: Repository, place: SessionPlace): Promise<Session> {
  const name = sessionName(place, place.session)
  const bytes = await repository.store.get(name, { bytesMax: documentObjectBytesMax })
  return decodeDocument(sessionType, name, bytes, repository.indexKeys)
}

function currentIndexKey(repository: Repository): Uint8Array {
  const { indexKeys, currentGeneration } = repository.ingestKeys
  const key = indexKeys.get(currentGeneration)
  if (key === undefined) throw new StrataError('E_BUG', 'a tenant without its current index key')
  return key
}
