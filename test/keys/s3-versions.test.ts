import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  CreateBucketCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { s3ClientConfig } from '@strata/shared/store/s3-client.ts'
import { deleteS3Versions, findS3Locks } from '@strata/shared/store/s3-versions.ts'
import { parseStoreUrl, type S3Location } from '@strata/shared/store/store-url.ts'
import { cephRgwRequirement, startCephRgw, type CephRgw } from '../servers/ceph-rgw.ts'
import { describeWith } from '../servers/require-server.ts'

/** A delete takes nothing away where a bucket keeps versions: keys that are destroyed must be gone all the same. */
describeWith(cephRgwRequirement, 'versions of objects', () => {
  let server: CephRgw
  let location: S3Location
  let store: ObjectStore
  let client: S3Client

  before(async () => {
    server = await startCephRgw()
    await server.createBucket('bucket')
    const url = server.storeUrl('bucket', 'place')
    const parsed = parseStoreUrl(url)
    assert.ok(parsed.kind === 's3')
    location = parsed
    store = await openStore(url, { env: server.env, clock: systemClock, randomBytes: systemRandomBytes })
    client = new S3Client(s3ClientConfig(location, server.env))
  })
  after(async () => {
    client.destroy()
    await store.close()
    await server.stop()
  })

  async function versions(): Promise<string[]> {
    const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: 'bucket' }))
    return [...Versions, ...DeleteMarkers].map(({ Key }) => Key ?? '').sort()
  }

  test('without versions there is one of each, and it goes', async () => {
    await store.put('tenants/a/keys/00000001', [Buffer.from('1')])
    await deleteS3Versions({ location, env: server.env }, 'tenants/a/keys/')
    assert.deepEqual(await versions(), [])
    await deleteS3Versions({ location, env: server.env }, 'tenants/a/keys/')
  })

  test('every version and every delete marker below the prefix goes, and nothing else', async () => {
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await client.send(new PutBucketVersioningCommand({ Bucket: 'bucket', VersioningConfiguration }))
    for (const name of ['tenants/a/keys/00000001', 'tenants/a/keys/00000002', 'tenants/b/keys/00000001']) {
      await store.put(name, [Buffer.from('first')])
      await store.put(name, [Buffer.from('second')])
      await store.delete(name)
    }
    assert.equal((await versions()).length, 9)
    await deleteS3Versions({ location, env: server.env }, 'tenants/a/keys/')
    assert.deepEqual(await versions(), Array<string>(3).fill('place/tenants/b/keys/00000001'))
  })

  test('locks and legal holds are found, and hold', async () => {
    await client.send(new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }))
    const place = { location: { ...location, bucket: 'locked' }, env: server.env }
    const now = Date.now()
    const retention = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date(now + 3600_000) } as const
    const holds = [
      ['1', retention],
      ['2', { ObjectLockLegalHoldStatus: 'ON' }],
      ['3', {}],
    ] as const
    for (const [name, lock] of holds) {
      const Key = `place/tenants/a/keys/0000000${name}`
      await client.send(new PutObjectCommand({ Bucket: 'locked', Key, Body: 'x', ...lock }))
    }
    const found = await findS3Locks(place, 'tenants/a/keys/', now)
    assert.match(
      found.join('; '),
      /^a lock on tenants\/a\/keys\/00000001 until 20.*; a legal hold on tenants\/a\/keys\/00000002$/,
    )
    assert.deepEqual(await findS3Locks(place, 'tenants/b/keys/', now), [])
    await assert.rejects(deleteS3Versions(place, 'tenants/a/keys/'), { code: 'E_STORE_DENIED' })
  })
})
