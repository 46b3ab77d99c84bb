import { hasCode, StrataError } from '@strata/shared/errors.ts'
import { damaged } from '@strata/shared/format/bytes.ts'
import { digestBytes } from '@strata/shared/format/digest.ts'
import { packName, type ChainPlace, type PackReference } from '@strata/shared/format/names.ts'
import { RecentlyUsed } from '@strata/shared/format/recently-used.ts'
import type { WrappedDataKey } from '@strata/shared/format/wrapped-key.ts'
import { sourceEndsKeptMax, storeRequestsInFlightMax } from '@strata/shared/limits.ts'
import { mapConcurrently } from '@strata/shared/repository/concurrency.ts'
import { openPackEnd, readPackEnd, type PackEnd } from '@strata/shared/repository/pack-end.ts'
import type { Repository } from '@strata/shared/repository/repository.ts'

/** What is known of a stored record without the key to it. */
export interface KnownRecord {
  /** Unkeyed BLAKE3-256 of the record as it is stored. */
  readonly hash: Uint8Array
  readonly key: WrappedDataKey
}

/** The ends of the packs that a chain is copied from; those that are used again soon are kept. */
export class SourceEnds {
  readonly #repository: Repository
  readonly #chain: ChainPlace
  readonly #kept = new RecentlyUsed<string, Promise<SourceEnd>>(sourceEndsKeptMax)

  constructor(repository: Repository, chain: ChainPlace) {
    this.#repository = repository
    this.#chain = chain
  }

  nameOf(pack: PackReference): string {
    return packName(this.#chain, 'data', pack)
  }

  /** Several at a time: whoever asks for them one by one then need not wait. */
  async fetch(packs: Iterable<PackReference>): Promise<void> {
    const distinct = new Map(Array.from(packs, (pack) => [this.nameOf(pack), pack]))
    const fetching = mapConcurrently(distinct.values(), storeRequestsInFlightMax, (pack) => this.of(pack))
    for await (const _ of fetching);
  }

  /** One HEAD and one or two GETs. */
  async of(pack: PackReference): Promise<SourceEnd> {
    const name = this.nameOf(pack)
    return await this.#kept.get(name, () => {
      const reading = this.#read(name)
      reading.catch(() => {
        this.#kept.delete(name)
      })
      return reading
    })
  }

  async #read(name: string): Promise<SourceEnd> {
    const info = await this.#repository.store.head(name)
    if (info === undefined) throw new StrataError('E_OBJECT_MISSING', `${name} is gone, and a point needs it`)
    const bytes = await readPackEnd(this.#repository, name, info.sizeBytes)
    try {
      return new SourceEnd(name, info.sizeBytes, openPackEnd(this.#repository, name, info.sizeBytes, bytes))
    } catch (error) {
      if (!hasCode(error, 'E_SEAL_BROKEN')) throw error
      throw new StrataError('E_SEAL_BROKEN', `the end of ${name} does not open`, { cause: error })
    }
  }
}

/** The pieces of a pack, in little memory: thousands of packs are used by turns. */
export class SourceEnd {
  /** Of the pack. */
  readonly sizeBytes: number
  readonly canBeCopiedWhole: boolean
  readonly #name: string
  readonly #offsets: Uint32Array
  readonly #lengths: Uint32Array
  readonly #hashes: Uint8Array
  readonly #keyOf: Uint16Array
  readonly #keys: readonly WrappedDataKey[]

  constructor(name: string, sizeBytes: number, { footer, pieces, canBeCopiedWhole }: PackEnd) {
    this.sizeBytes = sizeBytes
    this.canBeCopiedWhole = canBeCopiedWhole
    this.#name = name
    this.#offsets = Uint32Array.from(pieces, ({ offset }) => offset)
    this.#lengths = Uint32Array.from(pieces, ({ length }) => length)
    this.#hashes = new Uint8Array(pieces.length * digestBytes)
    pieces.forEach(({ hash }, index) => {
      this.#hashes.set(hash, index * digestBytes)
    })
    this.#keyOf = new Uint16Array(pieces.length)
    for (const entry of footer.entries) if (entry.state === 'record') this.#keyOf[entry.piece] = entry.key
    this.#keys = footer.dataKeys.map(copied)
  }

  /** What the pack says of the record that a map has there. */
  record(offset: number, length: number): KnownRecord {
    const index = this.#indexOf(offset)
    const key = index === undefined ? undefined : this.#keys[this.#keyOf[index] ?? 0]
    if (index === undefined || key === undefined || this.#lengths[index] !== length) {
      throw damaged(
        this.#name,
        `has no record of ${String(length)} bytes at ${String(offset)}, where a map says there is one`,
      )
    }
    return { hash: this.#hashes.subarray(index * digestBytes, (index + 1) * digestBytes), key }
  }

  #indexOf(offset: number): number | undefined {
    let from = 0
    let to = this.#offsets.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if ((this.#offsets[middle] ?? 0) < offset) from = middle + 1
      else to = middle
    }
    return this.#offsets[from] === offset ? from : undefined
  }
}

/** Else a key would hold the whole end of its pack. */
function copied({ keyId, encapsulated, sealed }: WrappedDataKey): WrappedDataKey {
  return { keyId, encapsulated: encapsulated.slice(), sealed: sealed.slice() }
}
