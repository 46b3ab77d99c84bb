import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import type { Clock } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { storeRequestTimeoutMs } from '../limits.ts'
import { checkCompose } from './copy-rules.ts'
import type { Environment } from './environment.ts'
import { FirstVersions } from './first-versions.ts'
import { receiveObject } from './http-download.ts'
import { RequestGate, withIdleLimit } from './http-transfer.ts'
import { byteCount, existsError, missingError, truncatedError, wantedFrom } from './object-errors.ts'
import { checkDirectory, checkListPrefix, checkObjectName } from './object-names.ts'
import type {
  ByteRange,
  CopyRange,
  ListOptions,
  Lockability,
  ObjectInfo,
  ObjectLock,
  ObjectStore,
  PutOptions,
  WholeObject,
} from './object-store.ts'
import { checkTags } from './object-tags.ts'
import type { ObjectTags } from './object-tags.ts'
import { namingPermission } from './permissions.ts'
import { lockedBodyChecksum, s3Body, sha256Of } from './s3-checksums.ts'
import { s3ClientConfig } from './s3-client.ts'
import { S3Clock } from './s3-clock.ts'
import { S3Composer, s3Copying } from './s3-compose.ts'
import { s3Error, s3FailureOf } from './s3-errors.ts'
import { S3Listing, objectInfo } from './s3-list.ts'
import { orNotPermitted, S3Locks, s3LockMembers } from './s3-locks.ts'
import { S3Tags } from './s3-tags.ts'
import { S3VersionListing } from './s3-version-listing.ts'
import { observed } from './store-requests.ts'
import type { StoreObserver, StoreRequestKind, StoreRequester } from './store-requests.ts'
import type { S3Location } from './store-url.ts'

/**
 * Objects in a bucket of S3 or of a server that speaks its protocol.
 *
 * The SDK tries nothing twice (`maxAttempts: 1`): after a lost answer its own second conditional put would meet the
 * first one's object and report a conflict that is none. Every method here is one request (but `head` of a missing
 * object, which may ask once whether the bucket is there, and `compose`). In a bucket that locks it may be one more, for
 * the version that counts (first-versions.ts).
 */
export interface S3StoreOptions {
  readonly env: Environment
  readonly clock: Clock
  readonly onRequest?: StoreObserver | undefined
  /** ms without progress after which a request is given up */
  readonly requestTimeoutMs?: number | undefined
  /** `head` gives the SHA-256 of objects that were put with one, where the store keeps it. */
  readonly headSha256?: boolean | undefined
  /** In a bucket that locks, names mean the versions that format/history.ts says. Else always the newest. */
  readonly heedsHistory?: boolean | undefined
}

/** No request is made. Without keys in `env` the SDK looks where it always does: profiles, instance roles. */
export function openS3Store(location: S3Location, options: S3StoreOptions): ObjectStore {
  return new S3Store(location, options)
}

class S3Store implements ObjectStore {
  readonly description: string
  readonly copying = s3Copying
  readonly listTagged = undefined
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string
  readonly #listing: S3Listing
  readonly #composer: S3Composer
  readonly #tags: S3Tags
  readonly #locks: S3Locks
  readonly #first: FirstVersions
  readonly #heedsHistory: boolean
  readonly #checksums: S3Location['checksums']
  readonly #gate = new RequestGate()
  readonly #clock: S3Clock
  readonly #onRequest: StoreObserver | undefined
  readonly #idleMs: number
  readonly #headSha256: boolean
  /** The bucket has answered once, so a missing object is no missing bucket. */
  #bucketSeen = false

  constructor(location: S3Location, options: S3StoreOptions) {
    const config = s3ClientConfig(location, options.env)
    this.description = `s3://${location.bucket}/${location.prefix}${typeof config.endpoint === 'string' ? ` at ${config.endpoint}` : ''}`
    this.#client = new S3Client(config)
    this.#bucket = location.bucket
    this.#prefix = location.prefix
    const place = {
      client: this.#client,
      bucket: location.bucket,
      keyPrefix: location.prefix,
      description: this.description,
    }
    this.#listing = new S3Listing({
      ...place,
      request: async (prefix, doing, send) => await this.#request('list', prefix, doing, undefined, send),
    })
    this.#checksums = location.checksums
    const { checksums } = location
    const request: StoreRequester = async (...parts) => await this.#request(...parts)
    this.#composer = new S3Composer({
      ...place,
      checksums,
      request,
      head: async (name) => await this.head(name),
      versionOf: async (name) => await this.#versionOf(name),
    })
    this.#tags = new S3Tags({ ...place, request })
    this.#locks = new S3Locks({ ...place, request })
    this.#first = new FirstVersions(new S3VersionListing({ ...place, request }), this.description)
    this.#heedsHistory = options.heedsHistory ?? false
    this.#clock = new S3Clock(this.#client, options.clock)
    this.#onRequest = options.onRequest
    this.#idleMs = options.requestTimeoutMs ?? storeRequestTimeoutMs
    this.#headSha256 = options.headSha256 ?? false
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    checkObjectName(name)
    const bytes = byteCount(parts)
    const doing = `writing ${name}`
    const version = await this.#request(
      'put',
      name,
      doing,
      () => ({ sent: bytes }),
      async (signal, progress) => {
        const command = new PutObjectCommand({
          ...this.#object(name),
          ...s3Body(parts, this.#checksums, progress),
          ...(options.ifAbsent === true ? { IfNoneMatch: '*' } : {}),
          ...(options.lock === undefined ? {} : lockedBodyChecksum(parts, this.#checksums)),
          ...s3LockMembers(options.lock),
        })
        try {
          return (await this.#client.send(command, { abortSignal: signal })).VersionId
        } catch (error) {
          throw this.#putError(error, name, options)
        }
      },
    )
    if (options.ifAbsent !== true || !(await this.#hasHistory())) return
    if (!(await this.#first.hasCreated(name, version))) throw existsError(this.description, name)
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    checkCompose(this.copying, this.description, { name, ranges, parts })
    if (ranges.length === 0) await this.put(name, parts)
    else await this.#composer.compose(name, ranges, parts)
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    checkObjectName(name)
    const wanted = wantedFrom(part)
    const doing = `reading ${name}`
    const received = (bytes: Uint8Array): { received: number } => ({ received: bytes.byteLength })
    const version = await this.#versionOf(name)
    return await this.#request('get', name, doing, received, async (signal, progress) => {
      const output = await this.#startGet(name, version, wanted.range, signal)
      progress()
      const answer = {
        contentRange: output.ContentRange,
        contentLength: output.ContentLength,
        body: output.Body as (AsyncIterable<Uint8Array> & { destroy(): void }) | undefined,
      }
      return await receiveObject({ name, where: this.description, ...wanted }, answer, progress)
    })
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    checkObjectName(name)
    let version: string | undefined
    try {
      version = await this.#versionOf(name)
    } catch (error) {
      if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
      throw error
    }
    const command = new HeadObjectCommand({
      ...this.#object(name, version),
      ...(this.#headSha256 ? { ChecksumMode: 'ENABLED' } : {}),
    })
    const info = await this.#request('head', name, `looking at ${name}`, undefined, async (signal) => {
      try {
        const output = await this.#client.send(command, { abortSignal: signal })
        const sha256 = sha256Of(output.ChecksumSHA256)
        const known = objectInfo(name, { ...output, Size: output.ContentLength })
        return sha256 === undefined ? known : { ...known, sha256 }
      } catch (error) {
        if (s3FailureOf(error).status === 404) return undefined
        throw error
      }
    })
    // The answer to a HEAD has no body that could say what is missing.
    if (info === undefined && !this.#bucketSeen) await this.#askBucket('looking for the bucket')
    return info
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const startAfter = options.startAfter ?? ''
    checkListPrefix(prefix)
    checkListPrefix(startAfter)
    const kept = (await this.#hasHistory()) ? this.#first.objects(prefix, startAfter) : undefined
    yield* kept ?? this.#listing.objects(prefix, startAfter)
  }

  async *listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    const startAfter = options.startAfter ?? ''
    checkDirectory(prefix)
    checkListPrefix(startAfter)
    const kept = (await this.#hasHistory()) ? this.#first.directories(prefix, startAfter) : undefined
    yield* kept ?? this.#listing.directories(prefix, startAfter)
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    checkObjectName(name)
    checkTags(tags)
    await this.#tags.set(name, await this.#versionOf(name), tags)
  }

  async tags(name: string): Promise<ObjectTags> {
    checkObjectName(name)
    return await this.#tags.get(name, await this.#versionOf(name))
  }

  async lockability(): Promise<Lockability> {
    return await this.#locks.lockability()
  }

  async lock(name: string, lock: ObjectLock): Promise<void> {
    checkObjectName(name)
    await this.#locks.set(name, await this.#versionOf(name), lock)
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    checkObjectName(name)
    if (!(await this.#locks.lockability()).canLock) return undefined
    return await this.#locks.get(name, await this.#versionOf(name))
  }

  async setLegalHold(name: string, on: boolean): Promise<void> {
    checkObjectName(name)
    await this.#locks.hold(name, await this.#versionOf(name), on)
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    this.#first.forget(name)
    await this.#request('delete', name, `deleting ${name}`, undefined, async (signal) => {
      try {
        await this.#client.send(new DeleteObjectCommand(this.#object(name)), { abortSignal: signal })
      } catch (error) {
        if (s3FailureOf(error).code !== 'NoSuchKey') throw error
      }
    })
  }

  async now(): Promise<number> {
    const known = this.#clock.current()
    if (known !== undefined) return known
    await this.#askBucket('asking the time')
    const asked = this.#clock.current()
    if (asked === undefined) throw this.#protocolError('asking the time: the answer has no date')
    return asked
  }

  async close(): Promise<void> {
    this.#client.destroy()
    await Promise.resolve()
  }

  /** One request: gated, watched for idleness, counted, and its errors given their codes. */
  async #request<Result>(
    kind: StoreRequestKind,
    name: string,
    doing: string,
    bytes: ((result: Result) => { sent?: number; received?: number }) | undefined,
    request: (signal: AbortSignal, progress: () => void) => Promise<Result>,
  ): Promise<Result> {
    const limited = async (): Promise<Result> => await withIdleLimit(this.#idleMs, request)
    try {
      const result = await this.#gate.run(async () => await observed(this.#onRequest, kind, name, limited, bytes))
      if (kind !== 'head') this.#bucketSeen = true
      return result
    } catch (error) {
      if (error instanceof StrataError) throw error
      const failure = s3Error(error, this.#clock.aheadMsOf(error), `${doing} in ${this.description}`)
      throw namingPermission(failure, 's3', kind)
    }
  }

  #object(name: string, version?: string): { Bucket: string; Key: string; VersionId?: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + name, ...(version === undefined ? {} : { VersionId: version }) }
  }

  async #hasHistory(): Promise<boolean> {
    return this.#heedsHistory && (await this.#locks.lockability()).canLock
  }

  /** undefined: the newest. */
  async #versionOf(name: string): Promise<string | undefined> {
    return (await this.#hasHistory()) ? await this.#first.versionOf(name) : undefined
  }

  #putError(error: unknown, name: string, { ifAbsent, lock }: PutOptions): unknown {
    const { status, code } = s3FailureOf(error)
    if (lock !== undefined && code === 'AccessDenied') {
      const doing = `writing ${name} with a lock in ${this.description}`
      return orNotPermitted(error, doing, 'the permissions s3:PutObject and s3:PutObjectRetention')
    }
    if (ifAbsent !== true) return error
    if (status === 412) return existsError(this.description, name)
    if (code === 'NotImplemented') {
      return new StrataError(
        'E_STORE_UNCONDITIONAL',
        `${this.description} has no create-if-absent: HTTP ${String(status)}`,
      )
    }
    return error
  }

  async #startGet(
    name: string,
    version: string | undefined,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<GetObjectCommandOutput> {
    const lastByte = range === undefined ? 0 : range.offset + range.length - 1
    const header = range === undefined ? {} : { Range: `bytes=${String(range.offset)}-${String(lastByte)}` }
    try {
      return await this.#client.send(new GetObjectCommand({ ...this.#object(name, version), ...header }), {
        abortSignal: signal,
      })
    } catch (error) {
      const { status, code } = s3FailureOf(error)
      const isMissing = code === 'NoSuchKey' || code === 'NoSuchVersion' || (status === 404 && code === 'NotFound')
      if (isMissing) throw missingError(this.description, name)
      if (status === 416 && range !== undefined) throw truncatedError(this.description, name, range)
      if (version === undefined) throw error
      const doing = `reading ${name} in ${this.description}`
      throw orNotPermitted(error, doing, 'the permission s3:GetObjectVersion')
    }
  }

  async #askBucket(doing: string): Promise<void> {
    await this.#request('head', '', doing, undefined, async (signal) => {
      try {
        await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }), { abortSignal: signal })
      } catch (error) {
        if (s3FailureOf(error).status !== 404) throw error
        throw new StrataError('E_STORE_MISSING', `there is no bucket ${this.#bucket} (${this.description})`)
      }
    })
    this.#bucketSeen = true
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `${what} (${this.description})`)
  }
}
