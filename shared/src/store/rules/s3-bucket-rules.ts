import {
  DeleteBucketLifecycleCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { LifecycleRule, TransitionDefaultMinimumObjectSize } from '@aws-sdk/client-s3'
import { StrataError } from '../../errors.ts'
import { storeRequestTimeoutMs } from '../../limits.ts'
import type { Environment } from '../environment.ts'
import { withIdleLimit } from '../http-transfer.ts'
import { s3ClientConfig } from '../s3-client.ts'
import { s3Error, s3FailureOf, whoLacksLocks } from '../s3-errors.ts'
import type { S3Location } from '../store-url.ts'
import type { BucketRules, BucketState } from './bucket-rules.ts'
import { watchLifecycleAnswers } from './s3-lifecycle-answer.ts'

/** The lifecycle configuration of a bucket. Nothing is tried twice here. */
export function openS3BucketRules(location: S3Location, env: Environment): BucketRules<LifecycleRule> {
  return new S3BucketRules(location, env)
}

class S3BucketRules implements BucketRules<LifecycleRule> {
  readonly description: string
  readonly #client: S3Client
  readonly #bucket: string
  readonly #answers

  constructor(location: S3Location, env: Environment) {
    const config = s3ClientConfig(location, env)
    this.description = `bucket ${location.bucket}${typeof config.endpoint === 'string' ? ` at ${config.endpoint}` : ''}`
    this.#client = new S3Client(config)
    this.#bucket = location.bucket
    this.#answers = watchLifecycleAnswers(this.#client)
  }

  async read(): Promise<BucketState<LifecycleRule>> {
    const versions = await this.#versions()
    const locks = await this.#locks()
    return { ...(await this.#rules()), versions, locks }
  }

  async write(rules: readonly LifecycleRule[], { kept }: BucketState<LifecycleRule>): Promise<void> {
    await this.#request('writing the lifecycle rules', 's3:PutLifecycleConfiguration', async (abortSignal) => {
      // A list without rules is refused.
      if (rules.length === 0) {
        await this.#client.send(new DeleteBucketLifecycleCommand({ Bucket: this.#bucket }), { abortSignal })
        return
      }
      const command = new PutBucketLifecycleConfigurationCommand({
        Bucket: this.#bucket,
        LifecycleConfiguration: { Rules: [...rules] },
        // Left out, S3 would set it to what it is by default.
        ...(kept === undefined
          ? {}
          : { TransitionDefaultMinimumObjectSize: kept as TransitionDefaultMinimumObjectSize }),
      })
      await this.#client.send(command, { abortSignal })
    })
  }

  async close(): Promise<void> {
    this.#client.destroy()
    await Promise.resolve()
  }

  async #rules(): Promise<Pick<BucketState<LifecycleRule>, 'rules' | 'unknownMembers' | 'kept'>> {
    const command = new GetBucketLifecycleConfigurationCommand({ Bucket: this.#bucket })
    const none = { rules: [], unknownMembers: [], kept: undefined }
    return await this.#request('reading the lifecycle rules', 's3:GetLifecycleConfiguration', async (abortSignal) => {
      try {
        const answer = await this.#client.send(command, { abortSignal })
        return {
          rules: answer.Rules ?? [],
          unknownMembers: this.#answers.unknownMembers(),
          kept: answer.TransitionDefaultMinimumObjectSize,
        }
      } catch (error) {
        if (s3FailureOf(error).code === 'NoSuchLifecycleConfiguration') return none
        throw error
      }
    })
  }

  async #versions(): Promise<BucketState<LifecycleRule>['versions']> {
    const command = new GetBucketVersioningCommand({ Bucket: this.#bucket })
    const { Status } = await this.#request('asking for versions', 's3:GetBucketVersioning', (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    )
    if (Status === undefined) return 'never'
    return Status === 'Enabled' ? 'kept' : 'suspended'
  }

  async #locks(): Promise<boolean> {
    const command = new GetObjectLockConfigurationCommand({ Bucket: this.#bucket })
    return await this.#request('asking for locks', 's3:GetBucketObjectLockConfiguration', async (abortSignal) => {
      try {
        const { ObjectLockConfiguration } = await this.#client.send(command, { abortSignal })
        return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled'
      } catch (error) {
        if (whoLacksLocks(error) !== undefined) return false
        throw error
      }
    })
  }

  async #request<Result>(
    doing: string,
    permission: string,
    send: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await withIdleLimit(storeRequestTimeoutMs, send)
    } catch (error) {
      const coded = s3Error(error, undefined, `${doing} of ${this.description}`)
      if (coded.code !== 'E_STORE_DENIED') throw coded
      throw new StrataError('E_STORE_DENIED', `${coded.message}: it takes the permission ${permission}`, {
        hint: `Run it with credentials that have ${permission} on this bucket, or check the credentials.`,
        details: { ...coded.details, permission },
      })
    }
  }
}
