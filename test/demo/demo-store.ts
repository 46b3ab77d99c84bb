import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { missingPrograms } from '../servers/processes.ts'
import type { StoreServer } from '../servers/store-server.ts'
import type { StoreKind } from './options.ts'

/** Where the demo backs up to. */
export interface DemoStore {
  readonly url: string
  /** What it is, in words. */
  readonly description: string
  /** Variables that hold the credentials. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

const GiB = 1024 ** 3
const bucket = 'strata-demo'

/** @param dataBytes what may be backed up, so that a server that keeps objects in memory allows as much */
export async function openDemoStore(kind: StoreKind, directory: string, dataBytes: number): Promise<DemoStore> {
  const memoryBytesMax = 2 * dataBytes + 2 * GiB
  switch (kind) {
    case 'directory': {
      const url = pathToFileURL(join(directory, 'store')).href
      return { url, description: 'a directory', env: {}, stop: () => Promise.resolve() }
    }
    case 's3': {
      const missing = missingPrograms(cephRgwRequirement.programs)
      if (missing.length > 0) throw new Error(`there is no ${missing.join(', ')}: ${cephRgwRequirement.remedy}`)
      return await withBucket(await startCephRgw({ memoryBytesMax }), 'S3: a Ceph RGW of our own')
    }
    case 'azure':
      return await withBucket(await startAzurite({ memoryBytesMax }), 'Azure Blob: an Azurite of our own')
  }
}

async function withBucket(server: StoreServer, what: string): Promise<DemoStore> {
  try {
    await server.createBucket(bucket)
  } catch (error) {
    await server.stop()
    throw error
  }
  const description = `${what} at ${server.endpoint}, with everything in memory`
  return { url: server.storeUrl(bucket), description, env: server.env, stop: () => server.stop() }
}
