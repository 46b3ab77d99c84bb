import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import {
  freePort,
  makeServerDirectory,
  removeServerDirectory,
  startProcess,
  waitUntilReady,
  withPortRetries,
} from './processes.ts'
import type { StoreServer } from './store-server.ts'

/**
 * Azurite, Microsoft's emulator of Azure Blob Storage, with everything in memory. Unlike Azure it has no versions, soft
 * delete or immutability, and does not check the sizes of pages and the number of blocks.
 */
export interface AzuriteOptions {
  /** What the objects may fill. Left out: half of the machine's memory. */
  readonly memoryBytesMax?: number
}

export interface Azurite extends StoreServer {
  readonly account: string
  readonly key: string
}

const require = createRequire(import.meta.url)

const MiB = 1024 ** 2
const readyPatienceMs = 30_000
const account = 'stratatest'

export async function startAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  return await withPortRetries(async () => await startOnce(options))
}

async function startOnce(options: AzuriteOptions): Promise<Azurite> {
  const directory = await makeServerDirectory('azurite')
  const key = randomBytes(64).toString('base64')
  const port = String(await freePort())
  const limit = options.memoryBytesMax
  const program = require.resolve('azurite/dist/src/blob/main.js')
  const flags = ['--inMemoryPersistence', '--skipApiVersionCheck', '--disableTelemetry', '--silent']
  const place = ['--blobHost', '127.0.0.1', '--blobPort', port]
  const memory = limit === undefined ? [] : ['--extentMemoryLimit', String(Math.ceil(limit / MiB))]
  const server = startProcess({
    program: process.execPath,
    args: [program, ...flags, ...place, ...memory],
    directory,
    name: 'azurite',
    env: { AZURITE_ACCOUNTS: `${account}:${key}`, NODE_OPTIONS: '' },
  })
  const stop = async (): Promise<void> => {
    await server.stop()
    await removeServerDirectory(directory)
  }
  const endpoint = `http://127.0.0.1:${port}/${account}`
  try {
    await waitUntilReady(server, 'azurite', readyPatienceMs, async () => await knowsUs(endpoint, key))
  } catch (error) {
    await stop()
    throw error
  }
  return describeServer(endpoint, key, stop)
}

/** Somebody else's server could answer there as well, but not to our key. */
async function knowsUs(endpoint: string, key: string): Promise<boolean> {
  const credential = new StorageSharedKeyCredential(account, key)
  const service = new BlobServiceClient(endpoint, credential, { retryOptions: { maxTries: 1 } })
  return await service.getProperties().then(
    () => true,
    () => false,
  )
}

function describeServer(endpoint: string, key: string, stop: () => Promise<void>): Azurite {
  return {
    endpoint,
    account,
    key,
    env: { AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_KEY: key },
    storeUrl: (container, prefix = '') => {
      const parameters = new URLSearchParams({ endpoint })
      return `azure://${container}${prefix === '' ? '' : `/${prefix}`}?${parameters.toString()}`
    },
    createBucket: async (container) => {
      const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential(account, key))
      await service.createContainer(container)
    },
    stop,
  }
}
