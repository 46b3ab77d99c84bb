import assert from 'node:assert/strict'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { startAzurite } from '../servers/azurite.ts'

test('a listing of Azure says in which tier a blob lies', async () => {
  const server = await startAzurite()
  try {
    await server.createBucket('tiers')
    const store = await openStore(server.storeUrl('tiers'), {
      env: server.env,
      clock: systemClock,
      randomBytes: systemRandomBytes,
    })
    const tiers = { a: 'Hot', b: 'Cool', c: 'Cold', d: 'Archive' } as const
    const credential = new StorageSharedKeyCredential(server.account, server.key)
    const container = new BlobServiceClient(server.endpoint, credential).getContainerClient('tiers')
    for (const [name, tier] of Object.entries(tiers)) {
      await store.put(name, [Buffer.from(name)])
      await container.getBlobClient(name).setAccessTier(tier)
    }
    const listed = await Array.fromAsync(store.list(''), ({ name, storageClass }) => `${name} ${storageClass ?? ''}`)
    assert.deepEqual(listed, ['a ', 'b infrequent', 'c archive-instant', 'd archive'])
    await store.close()
  } finally {
    await server.stop()
  }
})
