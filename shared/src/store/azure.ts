import { RestError } from '@azure/storage-blob'
import type { BlobClient, BlobDownloadResponseParsed, ContainerClient } from '@azure/storage-blob'
import type { Clock } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { storeRequestTimeoutMs } from '../limits.ts'
import { azureContainerClient } from './azure-client.ts'
import { AzureComposer, azureCopying } from './azure-compose.ts'
import { azureFailureOf, isBlobMissing, isBrokenOff } from './azure-errors.ts'
import { AzureListing, objectInfo } from './azure-list.ts'
import { AzureLocks, azureLockOptions } from './azure-locks.ts'
import { AzureVersionListing } from './azure-version-listing.ts'
import { checkCompose } from './copy-rules.ts'
import type { Environment } from './environment.ts'
import { FirstVersions } from './first-versions.ts'
import { receiveObject } from './http-download.ts'
import { brokenBodyError, httpError } from './http-errors.ts'
import { RequestGate, httpAgents, uploadStream, withIdleLimit } from './http-transfer.ts'
import type { HttpAgents } from './http-transfer.ts'
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
import { StoreClock } from './store-clock.ts'
import { observed } from './store-requests.ts'
import type { StoreObserver, StoreRequestKind, StoreRequester } from './store-requests.ts'
import type { AzureLocation } from './store-url.ts'

/**
 * Objects as block blobs in a container of Azure Blob Storage. The SDK tries nothing twice, for the reason given in
 * s3.ts; every method but `compose` is one request, and every page of a listing.
 */
export interface AzureStoreOptions {
  readonly env: Environment
  readonly clock: Clock
  readonly onRequest?: StoreObserver | undefined
  /** ms without progress after which a request is given up */
  readonly requestTimeoutMs?: number | undefined
  /** `delete` takes the snapshots of an object along; else an object that has some is not deleted. */
  readonly deletesSnapshots?: boolean | undefined
  /** In a container that locks, names mean the versions that format/history.ts says. Else always the newest. */
  readonly heedsHistory?: boolean | undefined
}

/**
 * No request is made. Credentials, in this order: AZURE_STORAGE_CONNECTION_STRING (not when the URL names an endpoint),
 * AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; without: E_STORE_DENIED.
 */
export function openAzureStore(location: AzureLocation, options: AzureStoreOptions): ObjectStore {
  return new AzureStore(location, options)
}

class AzureStore implements ObjectStore {
  readonly description: string
  readonly copying = azureCopying
  readonly listTagged = undefined
  readonly #container: ContainerClient
  readonly #agents: HttpAgents
  readonly #prefix: string
  readonly #listing: AzureListing
  readonly #composer: AzureComposer
  readonly #locks: AzureLocks
  readonly #first: FirstVersions
  readonly #heedsHistory: boolean
  readonly #gate = new RequestGate()
  readonly #clock: Clock
  readonly #storeClock: StoreClock
  readonly #onRequest: StoreObserver | undefined
  readonly #idleMs: number
  readonly #deletesSnapshots: boolean

  constructor(location: AzureLocation, options: AzureStoreOptions) {
    this.#agents = httpAgents()
    this.#container = azureContainerClient(location, options.env, this.#agents)
    const { origin } = new URL(this.#container.url)
    this.description = `azure://${location.container}/${location.prefix} at ${origin}`
    this.#prefix = location.prefix
    this.#listing = new AzureListing({
      container: this.#container,
      keyPrefix: location.prefix,
      description: this.description,
      request: async (prefix, doing, send) => await this.#request('list', prefix, doing, undefined, send),
    })
    const request: StoreRequester = async (...parts) => await this.#request(...parts)
    const place = {
      container: this.#container,
      keyPrefix: location.prefix,
      description: this.description,
      request,
    }
    this.#composer = new AzureComposer({
      ...place,
      nowMs: () => options.clock.nowMs(),
      head: async (name) => await this.head(name),
      blobOf: async (name) => await this.#blob(name),
    })
    this.#locks = new AzureLocks(place)
    this.#first = new FirstVersions(new AzureVersionListing(place), this.description)
    this.#heedsHistory = options.heedsHistory ?? false
    this.#clock = options.clock
    this.#storeClock = new StoreClock(options.clock)
    this.#onRequest = options.onRequest
    this.#idleMs = options.requestTimeoutMs ?? storeRequestTimeoutMs
    this.#deletesSnapshots = options.deletesSnapshots ?? false
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    checkObjectName(name)
    const bytes = byteCount(parts)
    const version = await this.#request(
      'put',
      name,
      `writing ${name}`,
      () => ({ sent: bytes }),
      async (signal, progress) => {
        const blob = this.#container.getBlockBlobClient(this.#prefix + name)
        try {
          const answer = await blob.upload(() => uploadStream(parts, progress), bytes, {
            abortSignal: signal,
            ...(options.ifAbsent === true ? { conditions: { ifNoneMatch: '*' } } : {}),
            ...azureLockOptions(options.lock),
          })
          this.#observeDate(answer.date)
          return answer.versionId
        } catch (error) {
          const { status, code } = azureFailureOf(error)
          const exists = code === 'BlobAlreadyExists' || status === 412
          throw options.ifAbsent === true && exists ? existsError(this.description, name) : error
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
    const received = (bytes: Uint8Array): { received: number } => ({ received: bytes.byteLength })
    const blob = await this.#blob(name)
    return await this.#request('get', name, `reading ${name}`, received, async (signal, progress) => {
      const answer = await this.#startGet(name, blob, wanted.range, signal)
      progress()
      const { contentRange, contentLength } = answer
      const body = answer.readableStreamBody as (AsyncIterable<Uint8Array> & { destroy(): void }) | undefined
      return await receiveObject(
        { name, where: this.description, ...wanted },
        { contentRange, contentLength, body },
        progress,
      )
    })
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    checkObjectName(name)
    let blob: BlobClient
    try {
      blob = await this.#blob(name)
    } catch (error) {
      if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
      throw error
    }
    return await this.#request('head', name, `looking at ${name}`, undefined, async (signal) => {
      try {
        const answer = await blob.getProperties({ abortSignal: signal })
        this.#observeDate(answer.date)
        return objectInfo(name, answer)
      } catch (error) {
        if (isBlobMissing(error)) return undefined
        throw error
      }
    })
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
    const blob = await this.#blob(name)
    await this.#tagging(name, async (abortSignal) => {
      await blob.setTags({ ...tags }, { abortSignal })
    })
  }

  async tags(name: string): Promise<ObjectTags> {
    checkObjectName(name)
    const blob = await this.#blob(name)
    return await this.#tagging(name, async (abortSignal) => (await blob.getTags({ abortSignal })).tags)
  }

  async #tagging<Result>(name: string, send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    return await this.#request('tag', name, `tags of ${name}`, undefined, async (signal) => {
      try {
        return await send(signal)
      } catch (error) {
        throw isBlobMissing(error) ? missingError(this.description, name) : error
      }
    })
  }

  async lockability(): Promise<Lockability> {
    return await this.#locks.lockability()
  }

  async lock(name: string, lock: ObjectLock): Promise<void> {
    checkObjectName(name)
    await this.#locks.set(name, await this.#blob(name), lock)
  }

  async lockOf(name: string): Promise<ObjectLock | undefined> {
    checkObjectName(name)
    if (!(await this.#locks.lockability()).canLock) return undefined
    return await this.#locks.get(name, await this.#blob(name))
  }

  async setLegalHold(name: string, on: boolean): Promise<void> {
    checkObjectName(name)
    await this.#locks.hold(name, await this.#blob(name), on)
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    this.#first.forget(name)
    await this.#request('delete', name, `deleting ${name}`, undefined, async (signal) => {
      try {
        await this.#container.deleteBlob(this.#prefix + name, {
          abortSignal: signal,
          ...(this.#deletesSnapshots ? { deleteSnapshots: 'include' } : {}),
        })
      } catch (error) {
        if (!isBlobMissing(error)) throw error
      }
    })
  }

  async now(): Promise<number> {
    const known = this.#storeClock.current()
    if (known !== undefined) return known
    await this.#request('head', '', 'asking the time', undefined, async (signal) => {
      const answer = await this.#container.getProperties({ abortSignal: signal })
      this.#observeDate(answer.date)
    })
    const asked = this.#storeClock.current()
    if (asked === undefined) throw this.#protocolError('asking the time: the answer has no date')
    return asked
  }

  async close(): Promise<void> {
    this.#agents.http.destroy()
    this.#agents.https.destroy()
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
      return await this.#gate.run(async () => await observed(this.#onRequest, kind, name, limited, bytes))
    } catch (error) {
      const what = `${doing} in ${this.description}`
      if (isBrokenOff(error)) throw brokenBodyError(error, what)
      if (error instanceof StrataError) throw error
      const failure = httpError(error, { ...azureFailureOf(error), aheadMs: this.#aheadMsOf(error) }, what)
      throw namingPermission(failure, 'azure', kind)
    }
  }

  async #hasHistory(): Promise<boolean> {
    return this.#heedsHistory && (await this.#locks.lockability()).canLock
  }

  /** The version that counts. */
  async #blob(name: string): Promise<BlobClient> {
    const version = (await this.#hasHistory()) ? await this.#first.versionOf(name) : undefined
    const blob = this.#container.getBlobClient(this.#prefix + name)
    return version === undefined ? blob : blob.withVersion(version)
  }

  async #startGet(
    name: string,
    blob: BlobClient,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<BlobDownloadResponseParsed> {
    try {
      const answer = await blob.download(range?.offset, range?.length, { abortSignal: signal, maxRetryRequests: 0 })
      this.#observeDate(answer.date)
      return answer
    } catch (error) {
      if (isBlobMissing(error)) throw missingError(this.description, name)
      if (azureFailureOf(error).status === 416 && range !== undefined)
        throw truncatedError(this.description, name, range)
      throw error
    }
  }

  #observeDate(date: Date | undefined): void {
    if (date !== undefined) this.#storeClock.observe(date.getTime())
  }

  #aheadMsOf(error: unknown): number | undefined {
    const date = error instanceof RestError ? error.response?.headers.get('date') : undefined
    const dateMs = Date.parse(date ?? '')
    return Number.isFinite(dateMs) ? this.#clock.nowMs() - dateMs : undefined
  }

  #protocolError(what: string): StrataError {
    return new StrataError('E_STORE_PROTOCOL', `${what} (${this.description})`)
  }
}
