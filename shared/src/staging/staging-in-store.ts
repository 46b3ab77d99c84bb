import type { Clock, RandomBytes } from '../clock.ts'
import { invariant } from '../errors.ts'
import { clockSkewWarnMs, uploadGrantLifeMsMax } from '../limits.ts'
import { probeCreateIfAbsent } from '../store/conditional-probe.ts'
import type { ByteRange, ListOptions, ObjectInfo, ObjectStore, WholeObject } from '../store/object-store.ts'
import { stagedSegmentOf } from './names.ts'
import type { StagedContent, StagingArea, UploadGrant } from './staging-area.ts'
import type { GrantLife, UploadSigner } from './upload-signer.ts'

interface StagingOptions {
  readonly clock: Clock
  readonly randomBytes: RandomBytes
}

/** A staging area: a store for what we do there ourselves, and a signer for what agents may do. */
export class StagingInStore implements StagingArea {
  readonly #store: ObjectStore
  readonly #signer: UploadSigner
  readonly #options: StagingOptions

  constructor(store: ObjectStore, signer: UploadSigner, options: StagingOptions) {
    this.#store = store
    this.#signer = signer
    this.#options = options
  }

  get description(): string {
    return this.#store.description
  }

  async grant(name: string, content: StagedContent, lifeMs: number): Promise<UploadGrant> {
    invariant(stagedSegmentOf(name) !== undefined, 'a grant is for a staged segment')
    checkContent(content)
    return await this.#signer.sign(name, content, grantLife(this.#options.clock.nowMs(), lifeMs))
  }

  async check(name: string, content: StagedContent): Promise<'whole' | 'different' | undefined> {
    checkContent(content)
    const info = await this.#store.head(name)
    if (info === undefined) return undefined
    const isSame = info.sizeBytes === content.bytes && isSameSha256(info.sha256, content.sha256)
    return isSame ? 'whole' : 'different'
  }

  async get(name: string, part?: ByteRange | WholeObject): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#store.get(name, part)
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return this.#store.list(prefix, options)
  }

  async delete(name: string): Promise<void> {
    invariant(stagedSegmentOf(name) !== undefined, 'only staged segments are deleted from staging')
    await this.#store.delete(name)
  }

  async now(): Promise<number> {
    return await this.#store.now()
  }

  async probe(): Promise<void> {
    await probeCreateIfAbsent(this.#store, this.#options.randomBytes)
  }

  async close(): Promise<void> {
    await this.#store.close()
  }
}

const sha256Bytes = 32

function checkContent({ bytes, sha256 }: StagedContent): void {
  invariant(Number.isSafeInteger(bytes) && bytes > 0, `a staged segment has ${String(bytes)} bytes`)
  invariant(sha256.byteLength === sha256Bytes, 'a SHA-256 has 32 bytes')
}

/** Begins earlier by as much as our clock may be ahead of the store's without anybody being warned. */
function grantLife(nowMs: number, lifeMs: number): GrantLife {
  invariant(lifeMs >= 1000 && lifeMs <= uploadGrantLifeMsMax, `a grant for ${String(lifeMs)} ms`)
  return { from: wholeSecond(nowMs - clockSkewWarnMs), until: wholeSecond(nowMs + lifeMs) }
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000)
}

/** Where the store keeps none there is nothing to compare. */
function isSameSha256(kept: Uint8Array | undefined, wanted: Uint8Array): boolean {
  return kept === undefined || Buffer.compare(kept, wanted) === 0
}
