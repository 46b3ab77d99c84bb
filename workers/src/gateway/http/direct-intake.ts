import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { handOverFileBytesMax, handOverFullRetryMs } from '@strata/shared/limits.ts'
import type { UploadAnswer, UploadRequest } from '@strata/shared/protocol/wire.ts'
import { removeSessionHandOver, sessionHandOver } from '../../local/session-hand-over.ts'
import type { Admission } from '../admission.ts'
import type { Gateway } from '../gateway.ts'
import { unknownSession, type SessionRef } from '../live-sessions.ts'
import { requireAdmitted } from './admitted.ts'
import type { SegmentIntake } from './handlers.ts'

/**
 * Segments in the requests of agents, for stores without a staging area: through this host's hand-over directory to the
 * workers of this host. A segment is acknowledged when its pack is stored.
 */
export class DirectIntake implements SegmentIntake {
  readonly #handOverDirectory: string
  readonly #admission: Admission
  #files = 0

  constructor(handOverDirectory: string, admission: Admission) {
    this.#handOverDirectory = handOverDirectory
    this.#admission = admission
  }

  async grant(gateway: Gateway, ref: SessionRef, segment: number, what: UploadRequest): Promise<UploadAnswer> {
    const { tenant } = gateway.repository
    const upload = { tenant, session: ref.session, segment, bytes: what.bytes }
    await requireAdmitted(this.#admission, upload)
    // The segment itself may come to another gateway, which counts for itself: a permit that stays here would be in the
    // way of the session's next segments until it runs out.
    await this.#admission.release(upload)
    return { to: 'service' }
  }

  async staged(): Promise<void> {
    return Promise.reject(new StrataError('E_REQUEST_INVALID', 'this service has no staging area'))
  }

  async receive(
    gateway: Gateway,
    ref: SessionRef,
    segment: number,
    body: Readable,
    what: UploadRequest,
  ): Promise<void> {
    requireSize(what)
    const { tenant } = gateway.repository
    const upload = { tenant, session: ref.session, segment, bytes: what.bytes }
    await requireAdmitted(this.#admission, upload)
    const directory = sessionHandOver(this.#handOverDirectory, ref.session)
    this.#files += 1
    const segmentFile = `${ref.session}-${String(this.#files)}.segment`
    const path = join(directory, segmentFile)
    try {
      await make(directory, ref)
      await write(path, body, what, ref)
      const priority = await this.#admission.queued(upload)
      await gateway.handedOver(ref, segment, { segmentFile, sealed: true, bytes: what.bytes, priority })
    } finally {
      await rm(path, { force: true })
      await this.#admission.release(upload)
    }
  }

  /** The session sends no more. */
  async forget({ session }: SessionRef): Promise<void> {
    await removeSessionHandOver(sessionHandOver(this.#handOverDirectory, session))
  }
}

/** E_SESSION_UNKNOWN: it is given up at this moment, and its directory went while it was looked at. */
async function make(directory: string, ref: SessionRef): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw systemErrorCode(error) === 'ENOENT' ? unknownSession(ref, error) : error
  }
}

/** E_LIMIT. */
function requireSize({ bytes }: UploadRequest): void {
  if (bytes >= 1 && bytes <= handOverFileBytesMax) return
  throw new StrataError('E_LIMIT', `a segment of ${String(bytes)} bytes; at most ${String(handOverFileBytesMax)}`)
}

/** E_REQUEST_INVALID: not what was announced. E_SERVICE_BUSY: there is no room. E_SESSION_UNKNOWN: it was just given up. */
async function write(path: string, body: Readable, { bytes, sha256 }: UploadRequest, ref: SessionRef): Promise<void> {
  const hash = createHash('sha256')
  let received = 0
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length
      hash.update(chunk)
      done(received > bytes ? new StrataError('E_REQUEST_INVALID', 'more bytes than announced') : null, chunk)
    },
  })
  try {
    // Where it cannot be written the connection stays: the agent is to hear why.
    const pieces = body.iterator({ destroyOnReturn: false })
    await pipeline(pieces, counted, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
  } catch (error) {
    body.resume()
    if (systemErrorCode(error) === 'ENOSPC') throw noSpace(error)
    // Its directory goes with it.
    if (systemErrorCode(error) === 'ENOENT') throw unknownSession(ref, error)
    if (error instanceof StrataError || !body.readableAborted) throw error
    throw new StrataError('E_REQUEST_INVALID', 'the request ended before its segment', { cause: error })
  }
  if (received !== bytes || hash.digest('hex') !== sha256) {
    throw new StrataError('E_REQUEST_INVALID', 'the segment is not the one that the token was made for')
  }
}

/** There is room again when others' segments are packed; no agent needs to give up for it. */
function noSpace(cause: unknown): StrataError {
  const message = 'the gateway has no room for the segment at the moment'
  return new StrataError('E_SERVICE_BUSY', message, { cause, details: { retryAfterMs: handOverFullRetryMs } })
}
