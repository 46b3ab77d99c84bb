import type { RandomBytes } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { uploadGrantLifeMs } from '@strata/shared/limits.ts'
import type { UploadAnswer, UploadRequest } from '@strata/shared/protocol/wire.ts'
import { stagedName } from '@strata/shared/staging/names.ts'
import type { StagedContent, StagingArea } from '@strata/shared/staging/staging-area.ts'
import type { StoreObserver } from '@strata/shared/store/store-requests.ts'
import type { Admission } from '../admission.ts'
import type { Gateway } from '../gateway.ts'
import type { SessionRef } from '../live-sessions.ts'
import { requireAdmitted } from './admitted.ts'
import type { SegmentIntake } from './handlers.ts'

const attemptBytes = 8

export interface StagedIntakeParts {
  readonly staging: StagingArea
  readonly admission: Admission
  readonly random: RandomBytes
  /** Told of the uploads of agents, which nobody else of us sees. */
  readonly onUploaded: StoreObserver
}

/**
 * Segments through the staging area. One is acknowledged when it was found there as it was announced, and its job is in
 * the queue. (The commit gives jobs again that Redis has lost.)
 */
export class StagedIntake implements SegmentIntake {
  readonly #parts: StagedIntakeParts

  constructor(parts: StagedIntakeParts) {
    this.#parts = parts
  }

  async grant(gateway: Gateway, ref: SessionRef, segment: number, what: UploadRequest): Promise<UploadAnswer> {
    const { staging, admission, random } = this.#parts
    const { tenant } = gateway.repository
    await requireAdmitted(admission, { tenant, session: ref.session, segment, bytes: what.bytes })
    const attempt = Buffer.from(random(attemptBytes)).toString('hex')
    const name = stagedName({ tenant, set: ref.set, session: ref.session, segment, attempt })
    const { method, url, headers, expiresAtMs } = await staging.grant(name, contentOf(what), uploadGrantLifeMs)
    return {
      to: 'staging',
      attempt,
      method,
      url,
      headers: { ...headers },
      expiresAt: new Date(expiresAtMs).toISOString(),
    }
  }

  async staged(
    gateway: Gateway,
    ref: SessionRef,
    segment: number,
    what: UploadRequest & { readonly attempt: string },
  ): Promise<void> {
    const { staging, admission, onUploaded } = this.#parts
    const { tenant } = gateway.repository
    const { attempt, bytes } = what
    const name = stagedName({ tenant, set: ref.set, session: ref.session, segment, attempt })
    const found = await staging.check(name, contentOf(what))
    if (found !== 'whole') {
      const how = found === undefined ? 'not there' : 'not what was announced'
      throw new StrataError('E_HANDOVER_LOST', `segment ${String(segment)} is ${how} in the staging area`)
    }
    onUploaded({ kind: 'put', name, bytesSent: bytes, bytesReceived: 0 })
    const priority = await admission.queued({ tenant, session: ref.session, segment, bytes })
    await gateway.staged(ref, segment, attempt, bytes, priority)
  }

  async receive(): Promise<void> {
    return Promise.reject(new StrataError('E_REQUEST_INVALID', 'segments go to the staging area of this service'))
  }

  /** What is staged is for the workers. */
  async forget(): Promise<void> {
    return Promise.resolve()
  }
}

function contentOf({ bytes, sha256 }: UploadRequest): StagedContent {
  return { bytes, sha256: new Uint8Array(Buffer.from(sha256, 'hex')) }
}
