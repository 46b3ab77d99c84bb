import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { Environment } from '../store/environment.ts'
import { s3ClientConfig } from '../store/s3-client.ts'
import { s3Error } from '../store/s3-errors.ts'
import type { S3Location } from '../store/store-url.ts'
import type { StagedContent, UploadGrant } from './staging-area.ts'
import type { GrantLife, UploadSigner } from './upload-signer.ts'

/**
 * Presigned PUTs. The signature covers the method, the key, the query, and the headers below with their values: an
 * upload with another one, or without one, is refused (403) before its body counts.
 *
 * A header that is not signed may be added. AWS refuses that for all of its own (x-amz-…). Ceph RGW does not: there the
 * holder of a grant can add x-amz-copy-source, and so fill his object, even replace it, with a copy of any object that
 * the signing credentials can read; he cannot read it, and what is in it is sealed. Therefore credentials for staging
 * should reach nothing but the staging bucket.
 */
export function s3UploadSigner(location: S3Location, env: Environment): UploadSigner {
  return new S3UploadSigner(location, env)
}

const checksumHeader = 'x-amz-checksum-sha256'

class S3UploadSigner implements UploadSigner {
  /** Sends no request and so opens no connection; it has endpoint, region and credentials in the form the SDK wants. */
  readonly #client: S3Client
  readonly #location: S3Location

  constructor(location: S3Location, env: Environment) {
    this.#client = new S3Client(s3ClientConfig(location, env))
    this.#location = location
  }

  async sign(name: string, content: StagedContent, life: GrantLife): Promise<UploadGrant> {
    const checksum = Buffer.from(content.sha256).toString('base64')
    // Servers that need when_required may refuse a header that they do not know.
    const withChecksum = this.#location.checksums === 'when_supported'
    const command = new PutObjectCommand({
      Bucket: this.#location.bucket,
      Key: this.#location.prefix + name,
      ContentLength: content.bytes,
      ...(withChecksum ? { ChecksumSHA256: checksum } : {}),
      IfNoneMatch: '*',
    })
    const headers = {
      'content-length': String(content.bytes),
      ...(withChecksum ? { [checksumHeader]: checksum } : {}),
      'if-none-match': '*',
    }
    try {
      return { method: 'PUT', url: await this.#url(command, life), headers, expiresAtMs: await this.#end(life) }
    } catch (error) {
      throw s3Error(error, undefined, `signing an upload to s3://${this.#location.bucket}`)
    }
  }

  async #url(command: PutObjectCommand, { from, until }: GrantLife): Promise<string> {
    return await getSignedUrl(this.#client, command, {
      signingDate: from,
      expiresIn: (until.getTime() - from.getTime()) / 1000,
      // In the query the checksum would be a parameter that no server compares with anything.
      unhoistableHeaders: new Set([checksumHeader]),
    })
  }

  /** What was signed with credentials ends with them. */
  async #end({ until }: GrantLife): Promise<number> {
    const { expiration } = await this.#client.config.credentials()
    return Math.min(until.getTime(), expiration?.getTime() ?? Infinity)
  }
}
