import {
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3'
import type { S3Client } from '@aws-sdk/client-s3'
import { StrataError } from '../errors.ts'
import { askedOnce } from './asked-once.ts'
import { missingError, noLockError } from './object-errors.ts'
import type { Lockability, ObjectLock } from './object-store.ts'
import { s3FailureOf, whoLacksLocks } from './s3-errors.ts'
import type { StoreRequester } from './store-requests.ts'

export interface S3LocksPlace {
  readonly client: S3Client
  readonly bucket: string
  readonly keyPrefix: string
  readonly description: string
  readonly request: StoreRequester
}

const modes = { governance: 'GOVERNANCE', compliance: 'COMPLIANCE' } as const

/** As a put says it. */
export function s3LockMembers(lock: ObjectLock | undefined) {
  return lock === undefined
    ? {}
    : { ObjectLockMode: modes[lock.mode], ObjectLockRetainUntilDate: new Date(lock.untilMs) }
}

/**
 * E_STORE_DENIED with the permission that is missing, where a server refuses what was asked, and not who asks or when.
 * @param permissions as AWS calls them
 */
export function orNotPermitted(error: unknown, doing: string, permissions: string): unknown {
  const { status, code } = s3FailureOf(error)
  if (status !== 403 || code !== 'AccessDenied') return error
  return new StrataError('E_STORE_DENIED', `${doing} was refused: it takes ${permissions}`, {
    details: { status, serverCode: code },
  })
}

/** The locks of a bucket's objects: S3 Object Lock. They are on versions. */
export class S3Locks {
  readonly #place: S3LocksPlace
  readonly lockability = askedOnce<Lockability>(() => this.#ask())

  constructor(place: S3LocksPlace) {
    this.#place = place
  }

  async #ask(): Promise<Lockability> {
    const { client, bucket: Bucket, request } = this.#place
    return await request('lock', '', 'asking whether the bucket locks', undefined, async (abortSignal) => {
      try {
        const command = new GetObjectLockConfigurationCommand({ Bucket })
        const { ObjectLockConfiguration } = await client.send(command, { abortSignal })
        return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled' ? { canLock: true } : withoutLocks
      } catch (error) {
        return whyNot(error)
      }
    })
  }

  async set(name: string, version: string | undefined, { mode, untilMs }: ObjectLock): Promise<void> {
    const Retention = { Mode: modes[mode], RetainUntilDate: new Date(untilMs) }
    const command = new PutObjectRetentionCommand({ ...this.#object(name, version), Retention })
    await this.#request(`locking ${name}`, name, 's3:PutObjectRetention', async (abortSignal) => {
      await this.#place.client.send(command, { abortSignal })
    })
  }

  async get(name: string, version: string | undefined): Promise<ObjectLock | undefined> {
    const command = new GetObjectRetentionCommand(this.#object(name, version))
    const permission = 's3:GetObjectRetention'
    return await this.#request(`reading the lock of ${name}`, name, permission, async (abortSignal) => {
      try {
        const { Retention } = await this.#place.client.send(command, { abortSignal })
        const untilMs = Retention?.RetainUntilDate?.getTime()
        if (untilMs === undefined) return undefined
        return { mode: Retention?.Mode === 'COMPLIANCE' ? 'compliance' : 'governance', untilMs }
      } catch (error) {
        if (whoLacksLocks(error) === 'bucket') return undefined
        throw error
      }
    })
  }

  async hold(name: string, version: string | undefined, on: boolean): Promise<void> {
    const LegalHold = { Status: on ? 'ON' : 'OFF' } as const
    const command = new PutObjectLegalHoldCommand({ ...this.#object(name, version), LegalHold })
    await this.#request(`holding ${name}`, name, 's3:PutObjectLegalHold', async (abortSignal) => {
      await this.#place.client.send(command, { abortSignal })
    })
  }

  async #request<Result>(
    doing: string,
    name: string,
    permission: string,
    send: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { description, request } = this.#place
    const asked = await this.lockability()
    if (!asked.canLock) throw noLockError(description, asked.why)
    return await request('lock', name, doing, undefined, async (signal) => {
      try {
        return await send(signal)
      } catch (error) {
        if (['NoSuchKey', 'NoSuchVersion'].includes(s3FailureOf(error).code ?? ''))
          throw missingError(description, name)
        throw orNotPermitted(error, `${doing} in ${description}`, `the permission ${permission}`)
      }
    })
  }

  #object(name: string, version: string | undefined): { Bucket: string; Key: string; VersionId?: string } {
    const { bucket, keyPrefix } = this.#place
    return { Bucket: bucket, Key: keyPrefix + name, ...(version === undefined ? {} : { VersionId: version }) }
  }
}

const withoutLocks: Lockability = { canLock: false, why: 'the bucket has no Object Lock' }

/** Whoever is not let in at all is told that. */
function whyNot(error: unknown): Lockability {
  const lacking = whoLacksLocks(error)
  if (lacking === 'bucket') return withoutLocks
  if (lacking === 'server') return { canLock: false, why: 'the server knows no Object Lock' }
  const { status, code } = s3FailureOf(error)
  if (status === 403 && code === 'AccessDenied') {
    return { canLock: false, why: 'to know it takes the permission s3:GetBucketObjectLockConfiguration' }
  }
  throw error
}
