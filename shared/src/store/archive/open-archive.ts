import type { Environment } from '../environment.ts'
import { parseStoreUrl } from '../store-url.ts'
import type { ArchiveAccess } from './archive-access.ts'

/** By a store's URL; undefined where nothing can be frozen. No request is made. */
export async function openArchiveAccess(url: string, env: Environment): Promise<ArchiveAccess | undefined> {
  const location = parseStoreUrl(url)
  switch (location.kind) {
    case 'file':
      return undefined
    case 's3': {
      const { openS3Archive } = await import('./s3-archive.ts')
      return openS3Archive(location, env)
    }
    case 'azure': {
      const { openAzureArchive } = await import('./azure-archive.ts')
      return openAzureArchive(location, env)
    }
  }
}
