import { BlobSASPermissions, SASProtocol, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { ContainerClient } from '@azure/storage-blob'
import { StrataError } from '../errors.ts'
import { azureContainerClient } from '../store/azure-client.ts'
import type { Environment } from '../store/environment.ts'
import { httpAgents } from '../store/http-transfer.ts'
import type { AzureLocation } from '../store/store-url.ts'
import type { StagedContent, UploadGrant } from './staging-area.ts'
import type { GrantLife, UploadSigner } from './upload-signer.ts'

/**
 * Shared access signatures (SAS) for one blob, with the permission to create only: a blob that is there is not replaced,
 * also when the If-None-Match below is left out (403 UnauthorizedBlobOverwrite).
 *
 * A SAS covers no header, so neither length nor checksum nor the kind of blob. The holder of a grant can stage something
 * of another length, which `check` finds, or a page or append blob, which is none of the right bytes. He can also make
 * snapshots of what he has staged, so a delete takes them along.
 *
 * Throws E_STORE_DENIED where there is no account key. (With a SAS token nothing can be signed. A user delegation key
 * would need an Entra credential, which no store of ours takes.)
 */
export function azureUploadSigner(location: AzureLocation, env: Environment): UploadSigner {
  const container = azureContainerClient(location, env, httpAgents())
  if (!(container.credential instanceof StorageSharedKeyCredential)) throw noKeyError(location)
  return new AzureUploadSigner(container, location.prefix)
}

class AzureUploadSigner implements UploadSigner {
  readonly #container: ContainerClient
  readonly #prefix: string
  readonly #protocol: SASProtocol

  constructor(container: ContainerClient, prefix: string) {
    this.#container = container
    this.#prefix = prefix
    // Azurite has no https unless it is given a certificate.
    this.#protocol = container.url.startsWith('http:') ? SASProtocol.HttpsAndHttp : SASProtocol.Https
  }

  async sign(name: string, content: StagedContent, { from, until }: GrantLife): Promise<UploadGrant> {
    const url = await this.#container.getBlobClient(this.#prefix + name).generateSasUrl({
      permissions: BlobSASPermissions.parse('c'),
      protocol: this.#protocol,
      startsOn: from,
      expiresOn: until,
    })
    const headers = {
      'content-length': String(content.bytes),
      'x-ms-blob-type': 'BlockBlob',
      'if-none-match': '*',
    }
    return { method: 'PUT', url, headers, expiresAtMs: until.getTime() }
  }
}

function noKeyError({ container }: AzureLocation): StrataError {
  return new StrataError('E_STORE_DENIED', `uploads to azure://${container} can only be signed with an account key`, {
    hint: 'Set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or a connection string with an AccountKey; a SAS token is not enough for a staging area.',
  })
}
