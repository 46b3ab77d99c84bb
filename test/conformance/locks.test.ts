import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { describeLocks, type LockedStoreUnderTest } from './locks-suite.ts'
import { rejects } from './store-helpers.ts'

describe('memory store that locks', () => {
  describeLocks(startMemory)
})

describeWith(cephRgwRequirement, 'S3 store on Ceph RGW with Object Lock', () => {
  describeLocks(startRgw)
  describe('with the checksums that old servers know', () => {
    describeLocks(() => startRgw('&checksums=when_required'))
  })
})

describe('a store that cannot lock says why', () => {
  async function refuses(store: ObjectStore, why: RegExp): Promise<void> {
    const lockability = await store.lockability()
    assert.ok(!lockability.canLock)
    assert.match(lockability.why, why)
    await store.put('object', [Buffer.from('x')])
    await rejects(store.lock('object', { mode: 'governance', untilMs: Date.now() + 60_000 }), 'E_STORE_NO_LOCK')
    await rejects(store.setLegalHold('object', true), 'E_STORE_NO_LOCK')
    assert.equal(await store.lockOf('object'), undefined)
    await store.close()
  }

  async function onServer(server: StoreServer): Promise<ObjectStore> {
    await server.createBucket('bucket')
    return await openStore(server.storeUrl('bucket'), {
      env: server.env,
      clock: systemClock,
      randomBytes: systemRandomBytes,
    })
  }

  test('a directory', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strata-locks-'))
    const options = { env: {}, clock: systemClock, randomBytes: systemRandomBytes }
    await refuses(await openStore(pathToFileURL(directory).href, options), /whoever may write/)
    await rm(directory, { recursive: true })
  })

  test('memory', async () => {
    await refuses(new MemoryStore({ clock: systemClock }), /no versions/)
  })

  test('Azurite, which has no immutability', async () => {
    const server = await startAzurite()
    await refuses(await onServer(server), /no version-level immutability/)
    await server.stop()
  })

  describeWith(cephRgwRequirement, 'Ceph RGW', () => {
    test('a bucket without Object Lock', async () => {
      const server = await startCephRgw()
      await refuses(await onServer(server), /the bucket has no Object Lock/)
      await server.stop()
    })
  })
})

async function startMemory(): Promise<LockedStoreUnderTest> {
  const stores = new Map<string, MemoryStore>()
  const storeOf = (place: string): MemoryStore => {
    const store = stores.get(place) ?? new MemoryStore({ clock: systemClock, locks: true })
    stores.set(place, store)
    return store
  }
  return await Promise.resolve({
    open: (place) => Promise.resolve(storeOf(place)),
    overwrite: (place, name) => storeOf(place).put(name, [Buffer.from('overwritten')]),
    deleteVersions: (place, name) => {
      storeOf(place).deleteVersions(name)
      return Promise.resolve()
    },
    stop: () => Promise.resolve(),
  })
}

async function startRgw(parameters = ''): Promise<LockedStoreUnderTest> {
  const server = await startCephRgw()
  await server.createLockedBucket('locked')
  const client = server.client()
  const prefixOf = (place: string): string => `a+b=c@d/${place}`
  const keyOf = (place: string, name: string): { Bucket: string; Key: string } => {
    return { Bucket: 'locked', Key: `${prefixOf(place)}/${name}` }
  }
  return {
    open: async (place) =>
      await openStore(server.storeUrl('locked', prefixOf(place)) + parameters, {
        env: server.env,
        clock: systemClock,
        randomBytes: systemRandomBytes,
      }),
    overwrite: async (place, name) => {
      await client.send(new PutObjectCommand({ ...keyOf(place, name), Body: 'overwritten' }))
    },
    deleteVersions: async (place, name) => {
      const { Bucket, Key } = keyOf(place, name)
      const { Versions = [], DeleteMarkers = [] } = await client.send(
        new ListObjectVersionsCommand({ Bucket, Prefix: Key }),
      )
      for (const { Key: key, VersionId } of [...Versions, ...DeleteMarkers]) {
        if (key !== Key) continue
        try {
          await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true }))
        } catch (error) {
          if (!(error instanceof S3ServiceException && error.name === 'AccessDenied')) throw error
        }
      }
    },
    stop: async () => {
      client.destroy()
      await server.stop()
    },
  }
}
