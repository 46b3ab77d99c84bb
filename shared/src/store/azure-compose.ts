import { createHash } from 'node:crypto'
import { BlobSASPermissions, SASProtocol, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { BlobClient, BlockBlobClient, ContainerClient } from '@azure/storage-blob'
import { StrataError } from '../errors.ts'
import { copiesInFlightMax, copyGapBytesMax, copyGrantLifeMs, copyRangeBytesMax, copyRangesMax } from '../limits.ts'
import { atOnce } from './at-once.ts'
import { azureFailureOf } from './azure-errors.ts'
import { noCopyError, whyNotCopied } from './copy-rules.ts'
import { uploadStream } from './http-transfer.ts'
import { byteCount, missingError, truncatedError } from './object-errors.ts'
import type { CopyRange, CopyRules, ObjectInfo } from './object-store.ts'
import type { StoreRequester } from './store-requests.ts'

export const azureCopying: CopyRules = {
  rangeBytesMin: 1,
  rangeBytesMax: copyRangeBytesMax,
  rangesMax: copyRangesMax,
  gapBytesMax: copyGapBytesMax,
}

export interface AzureComposePlace {
  readonly container: ContainerClient
  readonly keyPrefix: string
  readonly description: string
  readonly nowMs: () => number
  readonly request: StoreRequester
  readonly head: (name: string) => Promise<ObjectInfo | undefined>
  /** The version that is copied. */
  readonly blobOf: (name: string) => Promise<BlobClient>
}

interface CopiedBlock {
  readonly id: string
  readonly range: CopyRange
}

/**
 * Blobs whose blocks the server copies: each range a block, our bytes the last one, and then the list that makes them an
 * object. Until then they are nothing that anybody sees; blocks that no list takes are gone after a week.
 *
 * A block is named by what it is made of: two attempts at one object may meet, and then have the same blocks.
 */
export class AzureComposer {
  readonly #place: AzureComposePlace

  constructor(place: AzureComposePlace) {
    this.#place = place
  }

  async compose(name: string, ranges: readonly CopyRange[], parts: readonly Uint8Array[]): Promise<void> {
    const blob = this.#place.container.getBlockBlobClient(this.#place.keyPrefix + name)
    const copied = ranges.map((range, index) => ({ id: copiedBlockId(range, index), range }))
    await atOnce(copied, copiesInFlightMax, async (block) => {
      await this.#copy(blob, name, block)
    })
    const ids = copied.map(({ id }) => id)
    if (byteCount(parts) > 0) ids.push(await this.#send(blob, name, parts))
    await this.#checkLengths(blob, name, copied)
    await this.#place.request('put', name, `completing ${name}`, undefined, async (signal) => {
      await blob.commitBlockList(ids, { abortSignal: signal })
    })
  }

  async #copy(blob: BlockBlobClient, name: string, { id, range }: CopiedBlock): Promise<void> {
    const { description, request, head } = this.#place
    const { source, offset, length } = range
    const url = await this.#readableUrl(source)
    try {
      await request('copy', name, `copying from ${source} to ${name}`, undefined, async (signal) => {
        try {
          await blob.stageBlockFromURL(id, url, offset, length, { abortSignal: signal })
        } catch (error) {
          throw this.#copyError(error, range)
        }
      })
    } catch (error) {
      throw await whyNotCopied(error, description, range, head)
    }
  }

  /** The server reads the source as a stranger would; a SAS token of ours is in all our URLs. */
  async #readableUrl(name: string): Promise<string> {
    const { container, blobOf, nowMs } = this.#place
    const blob = await blobOf(name)
    if (!(container.credential instanceof StorageSharedKeyCredential)) return blob.url
    return await blob.generateSasUrl({
      permissions: BlobSASPermissions.parse('r'),
      // Azurite has no https unless it is given a certificate.
      protocol: container.url.startsWith('http:') ? SASProtocol.HttpsAndHttp : SASProtocol.Https,
      expiresOn: new Date(nowMs() + copyGrantLifeMs),
    })
  }

  #copyError(error: unknown, range: CopyRange): unknown {
    const { description } = this.#place
    const { status, code } = azureFailureOf(error)
    if (code === 'NotImplemented' || status === 501) return noCopyError(description, `HTTP ${String(status)}`)
    if (code === 'BlobNotFound') return missingError(description, range.source)
    if (status === 416) return truncatedError(description, range.source, range)
    if (code !== 'CannotVerifyCopySource') return error
    if (status === 404) return missingError(description, range.source)
    // Nothing else of a blob that we may read is in conflict with reading it.
    if (status === 409) return new StrataError('E_OBJECT_ARCHIVED', `${range.source} in ${description} is archived`)
    return error
  }

  async #send(blob: BlockBlobClient, name: string, parts: readonly Uint8Array[]): Promise<string> {
    const id = sentBlockId(parts)
    const bytes = byteCount(parts)
    const sent = (): { sent: number } => ({ sent: bytes })
    await this.#place.request('put', name, `writing the end of ${name}`, sent, async (signal, progress) => {
      await blob.stageBlock(id, () => uploadStream(parts, progress), bytes, { abortSignal: signal })
    })
    return id
  }

  /** A range that is read over HTTP may pass the end without an error, and is shorter then. */
  async #checkLengths(blob: BlockBlobClient, name: string, copied: readonly CopiedBlock[]): Promise<void> {
    const { description, request } = this.#place
    const { uncommittedBlocks = [] } = await request('list', name, `checking ${name}`, undefined, async (signal) => {
      return await blob.getBlockList('uncommitted', { abortSignal: signal })
    })
    const lengths = new Map(uncommittedBlocks.map((block) => [block.name, block.size]))
    for (const { id, range } of copied) {
      if (lengths.get(id) !== range.length) throw truncatedError(description, range.source, range)
    }
  }
}

/** The number tells two blocks of one range apart. All ids of a blob have one length, as they must. */
function copiedBlockId({ source, offset, length }: CopyRange, index: number): string {
  const made = `${String(index)} ${source} ${String(offset)} ${String(length)}`
  return createHash('sha256').update(made).digest('base64')
}

function sentBlockId(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('base64')
}
