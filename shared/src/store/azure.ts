import { RestError } from '@azure/storage-blob'
import type { BlobDownloadResponseParsed, ContainerClient } from '@azure/storage-blob'
import type { Clock } from '../clock.ts'
import { StrataError } from '../errors.ts'
import { storeRequestTimeoutMs } from '../limits.ts'
import { azureContainerClient } from './azure-client.ts'
import { AzureComposer, azureCopying } from './azure-compose.ts'
import { azureFailureOf, isBlobMissing, isBrokenOff } from './azure-errors.ts'
import { AzureListing, objectInfo } from './azure-list.ts'
import { checkCompose } from './copy-rules.ts'
import type { Environment } from './environment.ts'
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
  ObjectInfo,
  ObjectStore,
  PutOptions,
  WholeObject,
} from './object-store.ts'
import { checkTags } from './object-tags.ts'
import type { ObjectTags } from './object-tags.ts'
import { StoreClock } from './store-clock.ts'
import { observed } from './store-requests.ts'
import type { StoreObserver, StoreRequestKind } from './store-requests.ts'
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
      request: async (doing, send) => await this.#request('list', doing, undefined, send),
    })
    this.#composer = new AzureComposer({
      container: this.#container,
      keyPrefix: location.prefix,
      description: this.description,
      nowMs: () => options.clock.nowMs(),
      request: async (kind, doing, bytes, send) => await this.#request(kind, doing, bytes, send),
      head: async (name) => await this.head(name),
    })
    this.#clock = options.clock
    this.#storeClock = new StoreClock(options.clock)
    this.#onRequest = options.onRequest
    this.#idleMs = options.requestTimeoutMs ?? storeRequestTimeoutMs
    this.#deletesSnapshots = options.deletesSnapshots ?? false
  }

  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    checkObjectName(name)
    const bytes = byteCount(parts)
    await this.#request(
      'put',
      `writing ${name}`,
      () => ({ sent: bytes }),
      async (signal, progress) => {
        const blob = this.#container.getBlockBlobClient(this.#prefix + name)
        try {
          const answer = await blob.upload(() => uploadStream(parts, progress), bytes, {
            abortSignal: signal,
            ...(options.ifAbsent === true ? { conditions: { ifNoneMatch: '*' } } : {}),
          })
          this.#observeDate(answer.date)
        } catch (error) {
          const { status, code } = azureFailureOf(error)
          const exists = code === 'BlobAlreadyExists' || status === 412
          throw options.ifAbsent === true && exists ? existsError(this.description, name) : error
        }
      },
    )
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
    return await this.#request('get', `reading ${name}`, received, async (signal, progress) => {
      const answer = await this.#startGet(name, wanted.range, signal)
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
    return await this.#request('head', `looking at ${name}`, undefined, async (signal) => {
      const blob = this.#container.getBlobClient(this.#prefix + name)
      try {
        const answer = await blob.getProperties({ abortSignal: signal })
        this.#observeDate(answer.date)
        return objectInfo(name, answer.contentLength, answer.lastModified)
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
    yield* this.#listing.objects(prefix, startAfter)
  }

  async *listDirectories(prefix: string, options: ListOptions = {}): AsyncIterable<string> {
    const startAfter = options.startAfter ?? ''
    checkDirectory(prefix)
    checkListPrefix(startAfter)
    yield* this.#listing.directories(prefix, startAfter)
  }

  async setTags(name: string, tags: ObjectTags): Promise<void> {
    checkObjectName(name)
    checkTags(tags)
    const blob = this.#container.getBlobClient(this.#prefix + name)
    await this.#tagging(name, async (abortSignal) => {
      await blob.setTags({ ...tags }, { abortSignal })
    })
  }

  async tags(name: string): Promise<ObjectTags> {
    checkObjectName(name)
    const blob = this.#container.getBlobClient(this.#prefix + name)
    return await this.#tagging(name, async (abortSignal) => (await blob.getTags({ abortSignal })).tags)
  }

  async #tagging<Result>(name: string, send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    return await this.#request('tag', `tags of ${name}`, undefined, async (signal) => {
      try {
        return await send(signal)
      } catch (error) {
        throw isBlobMissing(error) ? missingError(this.description, name) : error
      }
    })
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    await this.#request('delete', `deleting ${name}`, undefined, async (signal) => {
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
    await this.#request('head', 'asking the time', undefined, async (signal) => {
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
    doing: string,
    bytes: ((result: Result) => { sent?: number; received?: number }) | undefined,
    request: (signal: AbortSignal, progress: () => void) => Promise<Result>,
  ): Promise<Result> {
    const limited = async (): Promise<Result> => await withIdleLimit(this.#idleMs, request)
    try {
      return await this.#gate.run(async () => await observed(this.#onRequest, kind, limited, bytes))
    } catch (error) {
      const what = `${doing} in ${this.description}`
      if (isBrokenOff(error)) throw brokenBodyError(error, what)
      throw httpError(error, { ...azureFailureOf(error), aheadMs: this.#aheadMsOf(error) }, what)
    }
  }

  async #startGet(
    name: string,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<BlobDownloadResponseParsed> {
    const blob = this.#container.getBlobClient(this.#prefix + name)
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
