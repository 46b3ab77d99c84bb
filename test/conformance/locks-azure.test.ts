import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { BlobServiceClient, RestError, StorageSharedKeyCredential } from '@azure/storage-blob'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { startFakeAzureVersions, type FakeAzureVersions } from '../servers/fake-azure-versions.ts'
import { describeLocks, type LockedStoreUnderTest } from './locks-suite.ts'
import { rejects } from './store-helpers.ts'

/** Against a fake of our own (see there): Azurite has neither versions nor immutability, and no real account was tried. */
const env = { AZURE_STORAGE_ACCOUNT: 'account', AZURE_STORAGE_KEY: Buffer.from('a key').toString('base64') }

async function openAt(fake: FakeAzureVersions, place: string): Promise<ObjectStore> {
  const parameters = new URLSearchParams({ endpoint: fake.endpoint })
  return await openStore(`azure://locked/${place}?${parameters.toString()}`, {
    env,
    clock: systemClock,
    randomBytes: systemRandomBytes,
  })
}

describe('Azure store on a fake of version-level immutability', () => {
  describeLocks(start, { composes: false })
})

describe('the requests that lock on Azure', () => {
  let fake: FakeAzureVersions
  before(async () => {
    fake = await startFakeAzureVersions()
  })
  after(async () => {
    await fake.stop()
  })

  test('name the version, the end and the mode', async () => {
    const store = await openAt(fake, 'requests')
    const untilMs = Date.UTC(2126, 0, 2, 3, 4, 5)
    await store.put('manifest', [Buffer.from('x')], { lock: { mode: 'compliance', untilMs } })
    await store.put('pack', [Buffer.from('x')])
    fake.taken()
    await store.lock('pack', { mode: 'governance', untilMs })
    await store.setLegalHold('pack', true)
    await store.setLegalHold('pack', false)
    assert.deepEqual(await store.lockOf('manifest'), { mode: 'compliance', untilMs })
    const date = 'Wed, 02 Jan 2126 03:04:05 GMT'
    assert.deepEqual(fake.taken(), [
      `PUT requests/pack immutabilityPolicies version x-ms-immutability-policy-mode=Unlocked x-ms-immutability-policy-until-date=${date}`,
      'PUT requests/pack legalhold version x-ms-legal-hold=true',
      'PUT requests/pack legalhold version x-ms-legal-hold=false',
      'HEAD requests/manifest version',
    ])
    await store.put('other', [Buffer.from('x')], { ifAbsent: true, lock: { mode: 'compliance', untilMs } })
    assert.deepEqual(fake.taken(), [
      `PUT requests/other x-ms-immutability-policy-mode=Locked x-ms-immutability-policy-until-date=${date}`,
    ])
  })

  test('say which right is missing', async () => {
    const store = await openAt(fake, 'denied')
    await store.put('pack', [Buffer.from('x')])
    fake.deny()
    await assert.rejects(store.lock('pack', { mode: 'governance', untilMs: Date.now() + 60_000 }), /SAS: i/)
    await rejects(store.setLegalHold('pack', true), 'E_STORE_DENIED')
  })
})

async function start(): Promise<LockedStoreUnderTest> {
  const fake = await startFakeAzureVersions()
  const credential = new StorageSharedKeyCredential('account', env.AZURE_STORAGE_KEY)
  const container = new BlobServiceClient(fake.endpoint, credential).getContainerClient('locked')
  return {
    open: async (place) => await openAt(fake, place),
    overwrite: async (place, name) => {
      await container.getBlockBlobClient(`${place}/${name}`).upload('overwritten', 11)
    },
    deleteVersions: async (place, name) => {
      const key = `${place}/${name}`
      for await (const { name: found, versionId = '' } of container.listBlobsFlat({
        prefix: key,
        includeVersions: true,
      })) {
        if (found !== key) continue
        try {
          await container.getBlobClient(key).withVersion(versionId).delete()
        } catch (error) {
          if (!(error instanceof RestError && error.code === 'BlobImmutableDueToPolicy')) throw error
        }
      }
    },
    stop: async () => {
      await fake.stop()
    },
  }
}
