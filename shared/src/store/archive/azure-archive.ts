import type { BlobItem, ContainerClient } from '@azure/storage-blob'
import { listPageObjectsMax } from '../../limits.ts'
import { azureContainerClient } from '../azure-client.ts'
import { azureFailureOf } from '../azure-errors.ts'
import type { Environment } from '../environment.ts'
import { httpError } from '../http-errors.ts'
import { httpAgents, type HttpAgents } from '../http-transfer.ts'
import { isObjectName } from '../object-names.ts'
import type { AzureLocation } from '../store-url.ts'
import type { ArchiveAccess, FrozenObject, ThawSpeed } from './archive-access.ts'

/** Azure's archive tier. What is thawed goes to the hot tier, and stays there. */
export function openAzureArchive(location: AzureLocation, env: Environment): ArchiveAccess {
  return new AzureArchive(location, env)
}

class AzureArchive implements ArchiveAccess {
  readonly #agents: HttpAgents = httpAgents()
  readonly #container: ContainerClient
  readonly #keyPrefix: string

  constructor(location: AzureLocation, env: Environment) {
    this.#container = azureContainerClient(location, env, this.#agents)
    this.#keyPrefix = location.prefix
  }

  async *listFrozen(prefix: string): AsyncIterable<FrozenObject> {
    const pages = this.#container
      .listBlobsFlat({ prefix: this.#keyPrefix + prefix })
      .byPage({ maxPageSize: listPageObjectsMax })
    try {
      for await (const { segment } of pages) {
        for (const item of segment.blobItems) {
          const frozen = this.#frozen(item)
          if (frozen !== undefined) yield frozen
        }
      }
    } catch (error) {
      throw this.#coded(error, `looking for archived objects below ${prefix}`)
    }
  }

  async thaw({ name, isThawing }: FrozenObject, speed: ThawSpeed): Promise<void> {
    // Asking once more would only change how fast it is.
    if (isThawing) return
    const rehydratePriority = speed === 'expedited' ? 'High' : 'Standard'
    try {
      const blob = this.#container.getBlobClient(this.#keyPrefix + name)
      await blob.setAccessTier('Hot', { rehydratePriority })
    } catch (error) {
      throw this.#coded(error, `thawing ${name}`)
    }
  }

  async close(): Promise<void> {
    this.#agents.http.destroy()
    this.#agents.https.destroy()
    await Promise.resolve()
  }

  #frozen({ name: key, properties }: BlobItem): FrozenObject | undefined {
    const name = key.slice(this.#keyPrefix.length)
    if (properties.accessTier !== 'Archive' || !isObjectName(name)) return undefined
    const isThawing = properties.archiveStatus !== undefined
    return { name, sizeBytes: properties.contentLength ?? 0, kind: 'azure archive', isThawing }
  }

  #coded(error: unknown, doing: string): Error {
    return httpError(error, azureFailureOf(error), `${doing} in container ${this.#container.containerName}`)
  }
}
