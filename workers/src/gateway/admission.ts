import { QueueKeys } from 'bullmq'
import type { Redis } from 'ioredis'
import type { RandomBytes } from '@strata/shared/clock.ts'
import { invariant } from '@strata/shared/errors.ts'
import {
  bytesInFlightInAllMax,
  fairBytes,
  fairBytesAhead,
  handOverFileBytesMax,
  jobPriorityMax,
  lineSeenMax,
  permitLifeMs,
  permitSweepMax,
  redisConnectTimeoutMs,
  retryAfterMsMax,
  retryAfterMsMin,
  retryGraceMs,
  segmentsInFlightMax,
  segmentsQueuedInAllMax,
  stagedBytesInAllMax,
  stagedLifeMs,
} from '@strata/shared/limits.ts'
import type { SessionId, TenantId } from '@strata/shared/types.ts'
import type { QueuePlace } from '../queue-place.ts'
import { connect, patient, redisError } from '../redis-connection.ts'
import { admitScript, queuedScript, releaseScript } from './admission-scripts.ts'

/** A segment that an agent wants to send. */
export interface Upload {
  readonly tenant: TenantId
  readonly session: SessionId
  readonly segment: number
  /** As it is sent; a repeat says the same. */
  readonly bytes: number
}

/** What was admitted is known by its segment: whoever finds that segment packed or gone can give the permit back. */
export type Permit = Pick<Upload, 'tenant' | 'session' | 'segment'>

export type Admitted = { readonly admitted: true; readonly permit: Permit } | Refused

interface Refused {
  readonly admitted: false
  readonly retryAfterMs: number
  /** What there is not enough of; `session`: it has enough in flight; `line`: too many are before it. */
  readonly reason: 'bytes' | 'segments' | 'staged' | 'session' | 'line'
}

export interface AdmissionLimits {
  readonly bytesMax: number
  readonly segmentsMax: number
  readonly stagedBytesMax: number
  readonly segmentsPerSessionMax: number
  readonly permitLifeMs: number
  readonly stagedLifeMs: number
  readonly retryAfterMsMin: number
  readonly retryAfterMsMax: number
  readonly retryGraceMs: number
}

const defaults: AdmissionLimits = {
  bytesMax: bytesInFlightInAllMax,
  segmentsMax: segmentsQueuedInAllMax,
  stagedBytesMax: stagedBytesInAllMax,
  segmentsPerSessionMax: segmentsInFlightMax,
  permitLifeMs,
  stagedLifeMs,
  retryAfterMsMin,
  retryAfterMsMax,
  retryGraceMs,
}

/**
 * Who may send now, and whose turn it is in the queue: the same for all gateways of an installation, and fair to its
 * tenants (docs/decisions/0017-admission.md).
 *
 * What Redis knows of it is a hint: when it is lost, the limits start from zero. All calls can be repeated, and reject
 * with E_REDIS_UNREACHABLE (within `redisConnectTimeoutMs`) or E_REDIS_REFUSES.
 */
export class Admission {
  readonly #place: QueuePlace
  readonly #client: Redis
  readonly #random: RandomBytes
  readonly #limits: AdmissionLimits
  readonly #queue: string

  /** For one queue at `place`. In a Redis Cluster the place's prefix has a hash tag, as BullMQ demands. */
  constructor(place: QueuePlace, queue: string, random: RandomBytes, limits: Partial<AdmissionLimits> = {}) {
    this.#limits = { ...defaults, ...limits }
    const { bytesMax, segmentsMax, stagedBytesMax } = this.#limits
    invariant(bytesMax >= handOverFileBytesMax && segmentsMax >= 1, 'one segment can be admitted')
    invariant(stagedBytesMax >= bytesMax, 'whatever is in flight may be staged')
    invariant(this.#limits.stagedLifeMs >= this.#limits.permitLifeMs, 'what is in flight counts as staged')
    this.#place = place
    this.#random = random
    this.#queue = queue
    this.#client = connect(place.address, { ...patient, commandTimeout: redisConnectTimeoutMs })
  }

  /**
   * Whether the agent may send this segment now. It then counts until `release`, or until `permitLifeMs` have passed;
   * asking again renews that. What was staged by then counts as staged for longer.
   */
  async admit(upload: Upload): Promise<Admitted> {
    const limits = this.#limits
    const [isAdmitted, retryAfterMs, reason] = (await this.#call(admitScript, upload, upload.bytes, [
      limits.bytesMax,
      limits.segmentsMax,
      limits.stagedBytesMax,
      limits.segmentsPerSessionMax,
      lineSeenMax,
      limits.retryAfterMsMin,
      limits.retryAfterMsMax,
      limits.retryGraceMs,
      this.#fraction(),
    ])) as [0 | 1, number, Refused['reason']]
    if (isAdmitted === 0) return { admitted: false, retryAfterMs, reason }
    const { tenant, session, segment } = upload
    return { admitted: true, permit: { tenant, session, segment } }
  }

  /**
   * To be asked when a segment is there and its job is about to be added: the job's priority. Counts the segment also
   * if it has no permit (any more), and renews the permit otherwise. A repeat answers the same.
   */
  async queued(upload: Upload): Promise<number> {
    return (await this.#call(queuedScript, upload, upload.bytes, [fairBytes, fairBytesAhead, jobPriorityMax])) as number
  }

  /** The segment is packed, or given up, and no longer staged. */
  async release(permit: Permit): Promise<void> {
    await this.#call(releaseScript, permit, 0, [])
  }

  close(): void {
    this.#client.disconnect()
  }

  async #call(
    script: string,
    { tenant, session, segment }: Permit,
    bytes: number,
    more: readonly number[],
  ): Promise<unknown> {
    invariant(Number.isInteger(bytes) && bytes >= 0 && bytes <= handOverFileBytesMax, 'a segment has a size')
    const keys = [...admissionKeys(this.#place, this.#queue, tenant), ...queueKeys(this.#place, this.#queue)]
    const lives = [this.#limits.permitLifeMs, this.#limits.stagedLifeMs, permitSweepMax]
    try {
      return await this.#client.eval(script, keys.length, ...keys, tenant, session, segment, bytes, ...lives, ...more)
    } catch (error) {
      throw redisError(this.#place.address, error)
    }
  }

  /** 0 to 1. */
  #fraction(): number {
    return Buffer.from(this.#random(4)).readUInt32BE() / 2 ** 32
  }
}

/** In the order in which the scripts name them. */
function admissionKeys({ prefix }: QueuePlace, queue: string, tenant: TenantId): string[] {
  const shared = ['permits', 'flight', 'staged', 'held', `order:${queue}`, 'waiting', 'wants']
  return [...shared, `line:${tenant}`, `asks:${tenant}`].map((key) => `${prefix}:admission:${key}`)
}

function queueKeys({ prefix }: QueuePlace, queue: string): string[] {
  const { wait, prioritized, delayed, active } = new QueueKeys(prefix).getKeys(queue)
  return [wait, prioritized, delayed, active].map((key) => {
    invariant(key !== undefined, 'BullMQ names its keys')
    return key
  })
}
