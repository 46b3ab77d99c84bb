import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ErrorDocument } from '@strata/shared/errors.ts'
import { openArchiveAccess } from '@strata/shared/store/archive/open-archive.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { namesIn } from '../conformance/store-helpers.ts'
import { makeDisk, Place } from '../end-to-end/place.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw, type CephRgw } from '../servers/ceph-rgw.ts'
import { startFakeArchive, type FakeArchive } from '../servers/fake-archive.ts'
import { describeWith } from '../servers/require-server.ts'

/** Points whose packs lie in an archive class: of S3 by a FAKE in front of a real server, of Azure by Azurite's own. */
describeWith(cephRgwRequirement, 'a restore from an archive class (a fake of S3 Glacier before Ceph RGW)', () => {
  let server: CephRgw
  let archive: FakeArchive
  let place: Place
  let packs: readonly string[]

  before(async () => {
    server = await startCephRgw()
    await server.createBucket('bucket')
    archive = await startFakeArchive(server.endpoint, 'bucket')
    const url = server
      .storeUrl('bucket', 'vault')
      .replace(encodeURIComponent(server.endpoint), encodeURIComponent(archive.origin))
    place = await Place.empty({ ...server.env, STRATA_STORE: url })
    await place.answers('init')
    await makeDisk(place.file('disk.img'), 1)
    await place.answers('backup', place.file('disk.img'), '--set', 'good')
    const store = await openStore(url, { env: server.env, clock: systemClock, randomBytes: systemRandomBytes })
    packs = (await namesIn(store, '')).filter((name) => name.includes('/chains/'))
    await store.close()
  })
  after(async () => {
    await place[Symbol.asyncDispose]()
    await archive.stop()
    await server.stop()
  })

  function freeze(kind: RegExp, storageClass: 'GLACIER' | 'DEEP_ARCHIVE' = 'GLACIER'): number {
    archive.objects.clear()
    archive.asked.length = 0
    for (const name of packs.filter((pack) => kind.test(pack))) {
      archive.objects.set(`vault/${name}`, { storageClass, state: 'frozen' })
    }
    return archive.objects.size
  }

  function pass(): void {
    for (const object of archive.objects.values()) if (object.state === 'thawing') object.state = 'thawed'
  }

  async function refused(...more: readonly string[]): Promise<ErrorDocument> {
    const run = await place.run(['--json', 'restore', 'latest:good', '--to', place.file('out.img'), ...more])
    assert.equal(run.exitCode, 1, run.messages)
    return (JSON.parse(run.output) as { error: ErrorDocument }).error
  }

  test('says what must be thawed, for how much; asks for it; and goes on when it is there', async () => {
    const count = freeze(/\/data-/)
    assert.ok(count > 0)
    const { code, message, details } = await refused()
    assert.equal(code, 'E_OBJECT_ARCHIVED')
    assert.match(
      message,
      /lie in an archive class; thawing them takes up to 5 hours and costs about \$0\.\d\d \(list prices/,
    )
    assert.deepEqual([details?.['objects'], archive.asked], [count, []])
    const asked = await refused('--thaw')
    assert.equal(asked.code, 'E_THAWING')
    assert.ok(Date.parse(String(asked.details?.['readyAt'])) > systemClock.nowMs())
    assert.deepEqual(
      archive.asked,
      Array.from({ length: count }, () => 'Standard'),
    )
    assert.equal((await refused()).code, 'E_THAWING')
    assert.equal(archive.asked.length, count)
    pass()
    await place.answers('restore', 'latest:good', '--to', place.file('out.img'))
    assert.ok((await readFile(place.file('out.img'))).equals(await readFile(place.file('disk.img'))))
  })

  test('the ledger has what lies in which class', async () => {
    const maps = freeze(/\/map-/, 'DEEP_ARCHIVE')
    const { sets } = await place.answers<{
      sets: { set: string | null; stored: Record<string, { objects: number }> }[]
    }>('cost')
    const { stored } = sets.find(({ set }) => set === 'good') ?? assert.fail()
    assert.deepEqual([stored['deep-archive']?.objects, stored['standard']?.objects], [maps, packs.length - maps])
  })

  test('maps come first, and no deep archive is thawed at once', async () => {
    const maps = freeze(/\/map-/, 'DEEP_ARCHIVE')
    assert.equal((await refused()).details?.['objects'], maps)
    const tooFast = await place.run([
      '--json',
      'restore',
      'latest:good',
      '--to',
      place.file('x.img'),
      '--thaw',
      'expedited',
    ])
    assert.equal(tooFast.exitCode, 2, tooFast.output)
    assert.deepEqual(archive.asked, [])
    assert.equal((await refused('--thaw', 'bulk')).code, 'E_THAWING')
    assert.deepEqual(new Set(archive.asked), new Set(['Bulk']))
  })
})

test("what lies in Azure's archive tier is listed, and thawed (on Azurite)", async () => {
  const server = await startAzurite()
  try {
    await server.createBucket('vault')
    const url = server.storeUrl('vault', 'backup')
    const store = await openStore(url, { env: server.env, clock: systemClock, randomBytes: systemRandomBytes })
    await store.put('tenants/a', [Buffer.from('frozen')])
    await store.put('tenants/b', [Buffer.from('live')])
    const credential = new StorageSharedKeyCredential(server.account, server.key)
    const container = new BlobServiceClient(server.endpoint, credential).getContainerClient('vault')
    await container.getBlobClient('backup/tenants/a').setAccessTier('Archive')
    const access = await openArchiveAccess(url, server.env)
    assert.ok(access !== undefined)
    const [frozen, ...more] = await Array.fromAsync(access.listFrozen('tenants/'))
    assert.deepEqual(more, [])
    assert.deepEqual(frozen, { name: 'tenants/a', sizeBytes: 6, kind: 'azure archive', isThawing: false })
    await access.thaw(frozen, 'standard')
    // With Azurite it is there at once; with Azure it is on its way for hours.
    for await (const left of access.listFrozen('tenants/')) assert.ok(left.isThawing)
    await access.close()
    await store.close()
  } finally {
    await server.stop()
  }
})
