import { ListObjectsV2Command, RestoreObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { _Object as ListedObject, Tier } from '@aws-sdk/client-s3'
import { listPageObjectsMax, storeRequestTimeoutMs, thawedDays } from '../../limits.ts'
import type { Environment } from '../environment.ts'
import { withIdleLimit } from '../http-transfer.ts'
import { isObjectName } from '../object-names.ts'
import { s3ClientConfig } from '../s3-client.ts'
import { s3Error, s3FailureOf } from '../s3-errors.ts'
import type { S3Location } from '../store-url.ts'
import type { ArchiveAccess, ArchiveKind, FrozenObject, ThawSpeed } from './archive-access.ts'

/** Glacier and Deep Archive. A listing tells both the class and what became of a request to thaw. */
export function openS3Archive(location: S3Location, env: Environment): ArchiveAccess {
  return new S3Archive(location, env)
}

const kinds: Readonly<Record<string, ArchiveKind>> = { GLACIER: 's3 archive', DEEP_ARCHIVE: 's3 deep-archive' }
const tiers: Readonly<Record<ThawSpeed, Tier>> = { standard: 'Standard', bulk: 'Bulk', expedited: 'Expedited' }

class S3Archive implements ArchiveAccess {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #keyPrefix: string

  constructor(location: S3Location, env: Environment) {
    this.#client = new S3Client(s3ClientConfig(location, env))
    this.#bucket = location.bucket
    this.#keyPrefix = location.prefix
  }

  async *listFrozen(prefix: string): AsyncIterable<FrozenObject> {
    for (let token: string | undefined, more = true; more;) {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#keyPrefix + prefix,
        MaxKeys: listPageObjectsMax,
        OptionalObjectAttributes: ['RestoreStatus'],
        ...(token === undefined ? {} : { ContinuationToken: token }),
      })
      const page = await this.#request(`looking for archived objects below ${prefix}`, (abortSignal) =>
        this.#client.send(command, { abortSignal }),
      )
      for (const listed of page.Contents ?? []) {
        const frozen = this.#frozen(listed)
        if (frozen !== undefined) yield frozen
      }
      token = page.NextContinuationToken
      more = page.IsTruncated === true && token !== undefined
    }
  }

  async thaw({ name }: FrozenObject, speed: ThawSpeed): Promise<void> {
    const command = new RestoreObjectCommand({
      Bucket: this.#bucket,
      Key: this.#keyPrefix + name,
      RestoreRequest: { Days: thawedDays, GlacierJobParameters: { Tier: tiers[speed] } },
    })
    await this.#request(`thawing ${name} (s3:RestoreObject)`, async (abortSignal) => {
      try {
        await this.#client.send(command, { abortSignal })
      } catch (error) {
        if (s3FailureOf(error).code !== 'RestoreAlreadyInProgress') throw error
      }
    })
  }

  async close(): Promise<void> {
    this.#client.destroy()
    await Promise.resolve()
  }

  #frozen({ Key = '', Size = 0, StorageClass, RestoreStatus }: ListedObject): FrozenObject | undefined {
    const kind = kinds[StorageClass ?? '']
    const name = Key.slice(this.#keyPrefix.length)
    const isThawed = RestoreStatus?.IsRestoreInProgress === false && RestoreStatus.RestoreExpiryDate !== undefined
    if (kind === undefined || isThawed || !isObjectName(name)) return undefined
    return { name, sizeBytes: Size, kind, isThawing: RestoreStatus?.IsRestoreInProgress === true }
  }

  async #request<Result>(doing: string, send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    try {
      return await withIdleLimit(storeRequestTimeoutMs, send)
    } catch (error) {
      throw s3Error(error, undefined, `${doing} in bucket ${this.#bucket}`)
    }
  }
}
