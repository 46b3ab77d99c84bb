import { attemptFromBytes, packName, type ChainPlace, type PackReference } from '../format/names.ts'
import { sealMapFooter, type MapPiece } from '../format/map-footer.ts'
import { encodePackTail, packKinds, type Piece } from '../format/pack.ts'
import { sealedHash } from '../format/digest.ts'
import type { Place } from '../format/page.ts'
import { pagePackBytesMax } from '../limits.ts'
import type { SessionId } from '../types.ts'
import type { Repository } from './repository.ts'

const attemptBytes = 8

/**
 * Collects sealed pages, nodes and the root of one session into page packs. A piece has its place as soon as it is
 * added; it is stored when its pack is, at the latest with `finish`.
 */
export class PagePackWriter {
  readonly #repository: Repository
  readonly #place: ChainPlace
  readonly #session: SessionId
  readonly #attempt: string
  #number = 0
  #bytes: Uint8Array[] = []
  #pieces: Piece[] = []
  #described: MapPiece[] = []
  #size = 0
  #storedBytes = 0
  readonly #written: PackReference[] = []

  constructor(repository: Repository, place: ChainPlace, session: SessionId) {
    this.#repository = repository
    this.#place = place
    this.#session = session
    this.#attempt = attemptFromBytes(repository.random(attemptBytes))
  }

  /** Bytes of the page packs written so far. */
  get storedBytes(): number {
    return this.#storedBytes
  }

  /** Those written so far. */
  get written(): readonly PackReference[] {
    return this.#written
  }

  async add(box: Uint8Array, description: MapPiece): Promise<Place> {
    if (this.#size > 0 && this.#size + box.length > pagePackBytesMax) await this.#write()
    const place: Place = { pack: this.#reference(), offset: this.#size, length: box.length }
    this.#pieces.push({ offset: place.offset, length: place.length, hash: sealedHash(box) })
    this.#bytes.push(box)
    this.#described.push(description)
    this.#size += box.length
    return place
  }

  /** Writes what has not been written yet. */
  async finish(): Promise<void> {
    if (this.#size > 0) await this.#write()
  }

  #reference(): PackReference {
    return { session: this.#session, number: this.#number, attempt: this.#attempt }
  }

  async #write(): Promise<void> {
    const name = packName(this.#place, 'map', this.#reference())
    const seal = sealMapFooter(name, this.#described, this.#repository.indexKeys, this.#repository.nonce())
    const tail = encodePackTail(packKinds.map, this.#size, this.#pieces, seal)
    await this.#repository.store.put(name, [...this.#bytes, tail], { ifAbsent: true })
    this.#storedBytes += this.#size + tail.length
    this.#written.push(this.#reference())
    this.#number += 1
    this.#bytes = []
    this.#pieces = []
    this.#described = []
    this.#size = 0
  }
}
