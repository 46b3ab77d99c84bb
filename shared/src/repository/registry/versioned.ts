import { hasCode, invariant, StrataError, toStrataError } from '../../errors.ts'
import { damaged } from '../../format/bytes.ts'
import { decodeDocument, encodeDocument } from '../../format/document.ts'
import {
  registryDocumentName,
  registryDocumentOf,
  registryDocumentPrefix,
  registryPrefix,
  type RegistryPlace,
} from '../../format/names.ts'
import { registryObjectBytesMax, type RegistryType } from '../../format/registry-type.ts'
import type { Fitting, Schema } from '../../format/schema.ts'
import { storeRequestsInFlightMax } from '../../limits.ts'
import type { Id } from '../../types.ts'
import { mapConcurrently } from '../concurrency.ts'
import type { Repository } from '../repository.ts'

/** A document, and which of its versions this is. */
export interface Versioned<Document> {
  readonly id: Id
  readonly version: number
  readonly document: Document
}

/** One that is there and cannot be used: damaged, of a newer format, or with versions missing. */
export interface UnreadableDocument {
  readonly id: Id
  readonly error: StrataError
}

export function isUsable<D>(entry: Versioned<D> | UnreadableDocument): entry is Versioned<D> {
  return 'document' in entry
}

/**
 * Documents of one kind in numbered versions that never change; the highest number holds. A change is an object that is
 * created if absent under the next number: of several who change the same version exactly one succeeds, and the others
 * are told so (E_REGISTRY_CONFLICT). Versions have no gaps: one that is missing was deleted by somebody.
 */
export class VersionedDocuments<S extends Schema> {
  readonly #repository: Repository
  readonly #type: RegistryType<S>
  readonly #place: RegistryPlace

  constructor(repository: Repository, type: RegistryType<S>) {
    this.#repository = repository
    this.#type = type
    this.#place = { tenant: repository.tenant, folder: type.folder }
  }

  create(id: Id, document: Fitting<S>): Promise<Versioned<Fitting<S>>> {
    return this.append(id, 0, document)
  }

  /** Makes the version after `expectedVersion`, which is 0 for none. Somebody was faster: E_REGISTRY_CONFLICT. */
  async append(id: Id, expectedVersion: number, document: Fitting<S>): Promise<Versioned<Fitting<S>>> {
    invariant(this.#type.idOf(document) === id, 'a document lies under its own id')
    // What a reader has seen may still be lost, and would leave a gap.
    if (expectedVersion > 0) await this.settle(id, expectedVersion)
    const { store, indexKeys } = this.#repository
    const version = expectedVersion + 1
    const name = registryDocumentName(this.#place, id, version)
    const bytes = encodeDocument(this.#type, name, document, indexKeys, this.#repository.nonce())
    const bytesMax = registryObjectBytesMax(this.#type)
    if (bytes.length > bytesMax) {
      throw new StrataError('E_LIMIT', `${name}: at most ${String(bytesMax)} bytes fit`)
    }
    try {
      await store.put(name, [bytes], { ifAbsent: true })
    } catch (error) {
      if (!hasCode(error, 'E_OBJECT_EXISTS')) throw error
      throw new StrataError('E_REGISTRY_CONFLICT', `${name} was written by somebody else at the same time`, {
        cause: error,
      })
    }
    return { id, version, document }
  }

  /** The version `version`, or undefined when there is none. */
  async read(id: Id, version: number): Promise<Versioned<Fitting<S>> | undefined> {
    const { store, indexKeys } = this.#repository
    const name = registryDocumentName(this.#place, id, version)
    let bytes: Uint8Array
    try {
      bytes = await store.get(name, { bytesMax: registryObjectBytesMax(this.#type) })
    } catch (error) {
      if (hasCode(error, 'E_OBJECT_MISSING')) return undefined
      throw error
    }
    const document = decodeDocument(this.#type, name, bytes, indexKeys)
    if (this.#type.idOf(document) !== id) throw damaged(name, 'is of another id than its name')
    return { id, version, document }
  }

  /**
   * The version that holds, or undefined when there is none. From a version that is `known` it asks for the next one,
   * and so on: one request when nothing has changed. Without, a stranger's id costs one request, and no listing.
   */
  async latest(id: Id, known?: Versioned<Fitting<S>>): Promise<Versioned<Fitting<S>> | undefined> {
    if (known !== undefined) return await this.#walkUp(known)
    const first = await this.read(id, 1)
    if (first === undefined) return undefined
    const newest = await this.newestVersion(id, 1)
    return newest === 1 ? first : await this.#mustRead(id, newest)
  }

  /** The highest version of a document, or 0, by one listing. `after`: one that it is known to have. */
  async newestVersion(id: Id, after = 0): Promise<number> {
    const prefix = registryDocumentPrefix(this.#place, id)
    const options = after === 0 ? {} : { startAfter: registryDocumentName(this.#place, id, after) }
    let newest = after
    for await (const { name } of this.#repository.store.list(prefix, options)) {
      const version = registryDocumentOf(this.#place, name)?.version
      if (version === undefined) continue
      if (version !== newest + 1) throw this.#broken(id)
      newest = version
    }
    return newest
  }

  /** Makes sure that a version which was only read stays there, whatever dies now. */
  async settle(id: Id, version: number): Promise<void> {
    const name = registryDocumentName(this.#place, id, version)
    if ((await this.#repository.store.head(name)) === undefined) throw this.#broken(id)
  }

  /** All of them as they hold, by id; one listing, and one request each, several at the same time. */
  async *list(): AsyncGenerator<Versioned<Fitting<S>> | UnreadableDocument> {
    yield* mapConcurrently(this.newestVersions(), storeRequestsInFlightMax, async ({ id, version }) => {
      try {
        if (version === undefined) throw this.#broken(id)
        return await this.#mustRead(id, version)
      } catch (error) {
        const known = toStrataError(error)
        if (known.kind === 'transient' || known.code.startsWith('E_STORE') || known.kind === 'bug') throw known
        return { id, error: known }
      }
    })
  }

  /** The ids there are, each with its highest version; undefined where versions are missing. One listing. */
  async *newestVersions(idBeginning = ''): AsyncGenerator<{ id: Id; version: number | undefined }> {
    let last: { id: Id; version: number | undefined } | undefined
    for await (const { name } of this.#repository.store.list(registryPrefix(this.#place) + idBeginning)) {
      const found = registryDocumentOf(this.#place, name)
      if (found === undefined) continue
      if (last !== undefined && last.id !== found.id) yield last
      const before = last?.id === found.id ? last.version : 0
      const follows = before !== undefined && found.version === before + 1
      last = { id: found.id, version: follows ? found.version : undefined }
    }
    if (last !== undefined) yield last
  }

  async #walkUp(known: Versioned<Fitting<S>>): Promise<Versioned<Fitting<S>>> {
    let newest = known
    for (;;) {
      const next = await this.read(known.id, newest.version + 1)
      if (next === undefined) return newest
      newest = next
    }
  }

  async #mustRead(id: Id, version: number): Promise<Versioned<Fitting<S>>> {
    const found = await this.read(id, version)
    if (found === undefined) throw this.#broken(id)
    return found
  }

  #broken(id: Id): StrataError {
    const prefix = registryDocumentPrefix(this.#place, id)
    return new StrataError('E_HISTORY_BROKEN', `versions of ${prefix} are missing`, {
      hint: 'Somebody has deleted objects from the store. Find out who could, before trusting it.',
    })
  }
}
