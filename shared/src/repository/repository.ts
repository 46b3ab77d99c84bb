import * as v from 'valibot'
import { type Fitting, wholeNumber } from '../format/schema.ts'
import type { RandomBytes } from '../clock.ts'
import { hasCode, StrataError } from '../errors.ts'
import { documentHead, idSchema, instantSchema, parseDocument } from '../format/document.ts'
import type { IndexKeys } from '../format/box.ts'
import { repositoryName, type SetPlace } from '../format/names.ts'
import { repositoryDocumentBytesMax } from '../limits.ts'
import { nonceBytes, SealingKey } from '../format/xaes.ts'
import {
  blockDigestKey,
  registryHash,
  reportKeySeed,
  sessionIdFromAttempt,
  setIdFromName,
  transportKey,
  treeDigestKey,
} from '../keys/derive.ts'
import type { IngestKeys } from '../keys/tenant-keys.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { idBytes, idFromBytes, type Id, type SessionId, type SetId, type TenantId } from '../types.ts'

/** The repository's own document: plain, written once by `strata init`. docs/format.md, "Repository". */
const repositorySchema = v.object({
  ...documentHead('repository', 1),
  repository: idSchema,
  /** Version of the format that writers use; raised only when every reader can read it. */
  writeVersion: wholeNumber(1),
  createdAt: instantSchema,
})
export type RepositoryDocument = Fitting<typeof repositorySchema>
const writeVersion = 1
const repositoryType = { title: 'repository', version: 1, schema: repositorySchema } as const

export async function readRepositoryDocument(store: ObjectStore): Promise<RepositoryDocument> {
  let bytes: Uint8Array
  try {
    bytes = await store.get(repositoryName, { bytesMax: repositoryDocumentBytesMax })
  } catch (error) {
    if (hasCode(error, 'E_OBJECT_MISSING')) {
      throw new StrataError('E_REPOSITORY_MISSING', `there is no Strata repository in ${store.description}`, {
        cause: error,
      })
    }
    throw error
  }
  const document = parseDocument(repositoryType, repositoryName, bytes)
  if (document.writeVersion > writeVersion) {
    throw new StrataError(
      'E_FORMAT_NEWER',
      `${store.description} is written in version ${String(document.writeVersion)}, and this program knows up to ${String(writeVersion)}`,
    )
  }
  return document
}

/** Creates the repository's document; when there is one already, that one is returned unchanged. */
export async function createRepositoryDocument(store: ObjectStore, random: RandomBytes): Promise<RepositoryDocument> {
  const document: RepositoryDocument = {
    strata: 'repository',
    version: 1,
    repository: idFromBytes<Id>(random(idBytes)),
    writeVersion,
    createdAt: new Date(await store.now()).toISOString(),
  }
  try {
    await store.put(repositoryName, [Buffer.from(JSON.stringify(document), 'utf8')], { ifAbsent: true })
    return document
  } catch (error) {
    if (hasCode(error, 'E_OBJECT_EXISTS')) return readRepositoryDocument(store)
    throw error
  }
}

/** One tenant's part of a repository, with the keys that ingest holds. Reading records needs more: see data-keys. */
export class Repository {
  readonly store: ObjectStore
  readonly ingestKeys: IngestKeys
  readonly indexKeys: IndexKeys
  readonly #random: RandomBytes

  constructor(store: ObjectStore, ingestKeys: IngestKeys, random: RandomBytes) {
    this.store = store
    this.ingestKeys = ingestKeys
    this.indexKeys = sealingKeysOf(ingestKeys)
    this.#random = random
  }

  get tenant(): TenantId {
    return this.ingestKeys.tenantId
  }

  placeOf(set: SetId): SetPlace {
    return { tenant: this.tenant, set }
  }

  setIdOf(name: string): SetId {
    return setIdFromName(this.#firstIndexKey(), name)
  }

  /** Digest keys of a set. They stay the same when the index key is replaced: a digest outlives it. */
  digestKeysOf(set: SetId): DigestKeys {
    const key = this.#firstIndexKey()
    return { block: blockDigestKey(key, set), tree: treeDigestKey(key, set) }
  }

  /** What a session's segments are sealed with when they come from afar. */
  transportKeyOf(session: SessionId): Buffer {
    return transportKey(this.#firstIndexKey(), session)
  }

  /** See `sessionIdFromAttempt`. */
  sessionIdOf(set: SetId, attempt: string): SessionId {
    return sessionIdFromAttempt(this.#firstIndexKey(), set, attempt)
  }

  /** 64 hex digits that say nothing to whoever has no index key. */
  registryHash(purpose: string, value: string): string {
    return registryHash(this.#firstIndexKey(), purpose, value)
  }

  /** See `reportKeySeed`. */
  reportKeySeed(): Buffer {
    return reportKeySeed(this.#firstIndexKey(), this.tenant)
  }

  random(count: number): Uint8Array {
    return this.#random(count)
  }

  /** A nonce for one box. */
  nonce(): Uint8Array {
    return this.#random(nonceBytes)
  }

  #firstIndexKey(): Uint8Array {
    const key = this.ingestKeys.indexKeys.get(1)
    if (key === undefined) throw new StrataError('E_BUG', 'a tenant without its first index key')
    return key
  }
}

export interface DigestKeys {
  readonly block: Buffer
  readonly tree: Buffer
}

function sealingKeysOf(ingest: IngestKeys): IndexKeys {
  const sealing = new Map([...ingest.indexKeys].map(([generation, key]) => [generation, new SealingKey(key)]))
  return {
    currentGeneration: ingest.currentGeneration,
    key: (generation) => sealing.get(generation),
    mayBeBehind: ingest.mayBeBehind === true,
  }
}

/** Opens a tenant's part of a repository after checking that store and keys belong together. */
export async function openRepository(
  store: ObjectStore,
  ingestKeys: IngestKeys,
  random: RandomBytes,
): Promise<Repository> {
  const document = await readRepositoryDocument(store)
  if (document.repository !== ingestKeys.repositoryId) {
    throw new StrataError(
      'E_KEY_FOREIGN',
      `the keyring is of repository ${ingestKeys.repositoryId}, and ${store.description} is repository ${document.repository}`,
    )
  }
  return new Repository(store, ingestKeys, random)
}
