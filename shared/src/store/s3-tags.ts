import { DeleteObjectTaggingCommand, GetObjectTaggingCommand, PutObjectTaggingCommand } from '@aws-sdk/client-s3'
import type { S3Client } from '@aws-sdk/client-s3'
import { missingError } from './object-errors.ts'
import type { ObjectTags } from './object-tags.ts'
import { s3FailureOf } from './s3-errors.ts'
import type { StoreRequester } from './store-requests.ts'

export interface S3TagsPlace {
  readonly client: S3Client
  readonly bucket: string
  readonly keyPrefix: string
  readonly description: string
  readonly request: StoreRequester
}

/** The tags of a bucket's objects. */
export class S3Tags {
  readonly #place: S3TagsPlace

  constructor(place: S3TagsPlace) {
    this.#place = place
  }

  async set(name: string, version: string | undefined, tags: ObjectTags): Promise<void> {
    const { client } = this.#place
    const object = this.#object(name, version)
    const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
    await this.#request(`tagging ${name}`, name, async (abortSignal) => {
      // Not every server takes an empty set.
      if (TagSet.length === 0) await client.send(new DeleteObjectTaggingCommand(object), { abortSignal })
      else await client.send(new PutObjectTaggingCommand({ ...object, Tagging: { TagSet } }), { abortSignal })
    })
  }

  async get(name: string, version: string | undefined): Promise<ObjectTags> {
    const command = new GetObjectTaggingCommand(this.#object(name, version))
    return await this.#request(`reading the tags of ${name}`, name, async (abortSignal) => {
      const { TagSet = [] } = await this.#place.client.send(command, { abortSignal })
      return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]))
    })
  }

  async #request<Result>(doing: string, name: string, send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    return await this.#place.request('tag', name, doing, undefined, async (signal) => {
      try {
        return await send(signal)
      } catch (error) {
        const isMissing = ['NoSuchKey', 'NoSuchVersion'].includes(s3FailureOf(error).code ?? '')
        throw isMissing ? missingError(this.#place.description, name) : error
      }
    })
  }

  #object(name: string, version: string | undefined): { Bucket: string; Key: string; VersionId?: string } {
    const { bucket, keyPrefix } = this.#place
    return { Bucket: bucket, Key: keyPrefix + name, ...(version === undefined ? {} : { VersionId: version }) }
  }
}
