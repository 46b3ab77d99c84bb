import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3'
import { StrataError } from '../errors.ts'
import { copiesInFlightMax, copyGapBytesMax, copyRangeBytesMax, copyRangesMax, s3PartBytesMin } from '../limits.ts'
import { atOnce } from './at-once.ts'
import { noCopyError, wholeSource, whyNotCopied } from './copy-rules.ts'
import { byteCount, missingError, truncatedError } from './object-errors.ts'
import type { CopyRange, CopyRules, ObjectInfo } from './object-store.ts'
import { s3Body } from './s3-checksums.ts'
import { s3FailureOf } from './s3-errors.ts'
import type { StoreRequester } from './store-requests.ts'
import type { S3Location } from './store-url.ts'

export const s3Copying: CopyRules = {
  rangeBytesMin: s3PartBytesMin,
  rangeBytesMax: copyRangeBytesMax,
  rangesMax: copyRangesMax,
  gapBytesMax: copyGapBytesMax,
}

export interface S3ComposePlace {
  readonly client: S3Client
  readonly bucket: string
  readonly keyPrefix: string
  readonly description: string
  readonly checksums: S3Location['checksums']
  readonly request: StoreRequester
  readonly head: (name: string) => Promise<ObjectInfo | undefined>
  /** Which one is copied; undefined: the newest. */
  readonly versionOf: (name: string) => Promise<string | undefined>
}

/** An object in the making: nobody sees it before it is completed. */
interface Upload {
  readonly name: string
  readonly id: { readonly Bucket: string; readonly Key: string; readonly UploadId: string }
}

/**
 * Objects whose parts the server copies: a multipart upload, each range a part of it, and our bytes the last one. (The
 * server refuses shorter parts than `s3PartBytesMin` in any other place.) What is not completed is aborted; where even
 * that fails, the bucket's own rule for unfinished uploads takes it. An object that is another one's copy is one request
 * (CopyObject), and servers such as Ceph's need not move a byte for it.
 */
export class S3Composer {
  readonly #place: S3ComposePlace

  constructor(place: S3ComposePlace) {
    this.#place = place
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    const whole = wholeSource({ name, ranges, parts })
    if (whole !== undefined) {
      await this.#copyWhole(name, whole)
      return
    }
    const upload = await this.#begin(name)
    try {
      const completed: CompletedPart[] = []
      await atOnce(ranges, copiesInFlightMax, async (range, index) => {
        completed[index] = await this.#copy(upload, index + 1, range)
      })
      if (byteCount(parts) > 0) completed.push(await this.#send(upload, ranges.length + 1, parts))
      await this.#complete(upload, completed)
    } catch (error) {
      // What went wrong first is what matters.
      await this.#abort(upload).catch(() => undefined)
      throw error
    }
  }

  async #copyWhole(name: string, range: CopyRange): Promise<void> {
    const { client, bucket, keyPrefix } = this.#place
    const command = new CopyObjectCommand({
      Bucket: bucket,
      Key: keyPrefix + name,
      CopySource: await this.#copySource(range.source),
      // Nobody's tags but its own. Ceph heeds only the one for metadata, AWS only the other.
      TaggingDirective: 'REPLACE',
      MetadataDirective: 'REPLACE',
    })
    await this.#copying(name, range, async (signal) => {
      const output = await client.send(command, { abortSignal: signal })
      // A server that does not know the header has taken it for an object without bytes.
      if (output.CopyObjectResult?.ETag === undefined) throw noCopyError(this.#place.description, 'nothing was copied')
    })
  }

  async #begin(name: string): Promise<Upload> {
    const { client, bucket, keyPrefix, checksums, request } = this.#place
    const object = { Bucket: bucket, Key: keyPrefix + name }
    const command = new CreateMultipartUploadCommand({
      ...object,
      // Its parts then have checksums too, also those that the server copies.
      ...(checksums === 'when_supported' ? { ChecksumAlgorithm: 'CRC32' } : {}),
    })
    return await request('put', name, `beginning ${name}`, undefined, async (signal) => {
      const { UploadId } = await client.send(command, { abortSignal: signal }).catch((error: unknown) => {
        throw this.#orNoCopy(error)
      })
      if (UploadId === undefined) throw this.#protocolError(`beginning ${name}: the answer names no upload`)
      return { name, id: { ...object, UploadId } }
    })
  }

  async #copy({ name, id }: Upload, number: number, range: CopyRange): Promise<CompletedPart> {
    const { client, description } = this.#place
    const { source, offset, length } = range
    const command = new UploadPartCopyCommand({
      ...id,
      PartNumber: number,
      CopySource: await this.#copySource(source),
      CopySourceRange: `bytes=${String(offset)}-${String(offset + length - 1)}`,
    })
    return await this.#copying(name, range, async (signal) => {
      const output = await client.send(command, { abortSignal: signal })
      // A server that does not know the header has taken it for a part without bytes.
      if (output.CopyPartResult?.ETag === undefined) throw noCopyError(description, 'no part was copied')
      return completedPart(number, output.CopyPartResult)
    })
  }

  async #copying<T>(name: string, range: CopyRange, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { description, request, head } = this.#place
    try {
      return await request('copy', name, `copying from ${range.source} to ${name}`, undefined, async (signal) => {
        return await send(signal).catch((error: unknown) => {
          throw this.#copyError(error, range)
        })
      })
    } catch (error) {
      throw await whyNotCopied(error, description, range, head)
    }
  }

  async #send({ name, id }: Upload, number: number, parts: readonly Uint8Array[]): Promise<CompletedPart> {
    const { client, checksums, request } = this.#place
    const sent = (): { sent: number } => ({ sent: byteCount(parts) })
    return await request('put', name, `writing the end of ${name}`, sent, async (signal, progress) => {
      const body = s3Body(parts, checksums, progress)
      const output = await client.send(new UploadPartCommand({ ...id, PartNumber: number, ...body }), {
        abortSignal: signal,
      })
      return completedPart(number, output)
    })
  }

  async #complete({ name, id }: Upload, parts: CompletedPart[]): Promise<void> {
    const command = new CompleteMultipartUploadCommand({ ...id, MultipartUpload: { Parts: parts } })
    await this.#place.request('put', name, `completing ${name}`, undefined, async (signal) => {
      await this.#place.client.send(command, { abortSignal: signal })
    })
  }

  async #abort({ name, id }: Upload): Promise<void> {
    await this.#place.request('delete', name, `giving up ${name}`, undefined, async (signal) => {
      await this.#place.client.send(new AbortMultipartUploadCommand(id), { abortSignal: signal })
    })
  }

  /** A header, and so encoded as a URL: keys can have characters in them that mean something there. */
  async #copySource(name: string): Promise<string> {
    const { bucket, keyPrefix, versionOf } = this.#place
    const version = await versionOf(name)
    const key = (keyPrefix + name).split('/').map(encodeURIComponent).join('/')
    return `${bucket}/${key}${version === undefined ? '' : `?versionId=${encodeURIComponent(version)}`}`
  }

  #copyError(error: unknown, range: CopyRange): unknown {
    const { description } = this.#place
    const { status, code } = s3FailureOf(error)
    if (code === 'NoSuchKey' || code === 'NoSuchVersion') return missingError(description, range.source)
    return status === 416 ? truncatedError(description, range.source, range) : this.#orNoCopy(error)
  }

  #orNoCopy(error: unknown): unknown {
    const { status, code } = s3FailureOf(error)
    const lacksIt = code === 'NotImplemented' || status === 501
    return lacksIt ? noCopyError(this.#place.description, `HTTP ${String(status)}`) : error
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `${what} (${this.#place.description})`)
  }
}

/** Where the server keeps checksums of parts, it wants to hear them again at the end. */
function completedPart(
  number: number,
  { ETag, ChecksumCRC32 }: { ETag?: string | undefined; ChecksumCRC32?: string | undefined },
): CompletedPart {
  return { PartNumber: number, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) }
}
