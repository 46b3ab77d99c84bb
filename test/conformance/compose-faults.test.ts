import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { BlobSASPermissions, generateBlobSASQueryParameters, StorageSharedKeyCredential } from '@azure/storage-blob'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { copiesInFlightMax } from '@strata/shared/limits.ts'
import { createStoreMetrics } from '@strata/shared/store/decorators/metrics.ts'
import type { CopyRange, ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { impatientClock } from '../fixtures/impatient-clock.ts'
import { startAzurite } from '../servers/azurite.ts'
import type { Azurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import type { CephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import type { Fault, FaultInjector, SeenRequest } from '../servers/fault-injector.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { bytesOf, namesIn, rejects } from './store-helpers.ts'

/** `compose` on the cloud stores when one of its requests goes wrong, as documented for AWS and Azure or seen there. */

const MiB = 1024 ** 2
const rangeBytes = 5 * MiB
const ranges: readonly CopyRange[] = [0, 1, 2].map((offset) => ({ source: 'source', offset, length: rangeBytes }))
const tail = Buffer.from('the end')

/** A server behind a fault injector. */
class Faulty {
  readonly server: StoreServer
  readonly injector: FaultInjector
  readonly source = bytesOf(rangeBytes + 10)

  private constructor(server: StoreServer, injector: FaultInjector) {
    this.server = server
    this.injector = injector
  }

  static async start(server: StoreServer): Promise<Faulty> {
    const faulty = new Faulty(server, await startFaultInjector(new URL(server.endpoint).origin))
    await server.createBucket('bucket')
    await using store = await faulty.open()
    await store.put('source', [faulty.source])
    return faulty
  }

  async open(env = this.server.env): Promise<ObjectStore & AsyncDisposable & { requests: () => Requests }> {
    const from = encodeURIComponent(new URL(this.server.endpoint).origin)
    const url = this.server.storeUrl('bucket', 'a+b=c').replace(from, encodeURIComponent(this.injector.origin))
    const metrics = createStoreMetrics()
    const clock = impatientClock()
    const store = await openStore(url, { env, clock, randomBytes: systemRandomBytes, onRequest: metrics.onRequest })
    const requests = (): Requests => {
      const { put, copy } = metrics.totals().byKind
      return { put: put.requests, copy: copy.requests }
    }
    return Object.assign(store, {
      requests,
      [Symbol.asyncDispose]: async () => {
        await store.close()
      },
    })
  }

  /** Each fault meets the first requests that it is for. */
  spoil(isMeant: (request: SeenRequest) => boolean, ...faults: readonly Fault[]): void {
    const left = [...faults]
    this.injector.setPlan((request) => (isMeant(request) ? left.shift() : undefined))
  }

  count(isMeant: (request: SeenRequest) => boolean): number {
    return this.injector.seen.filter(isMeant).length
  }

  get made(): Buffer {
    return Buffer.concat([...ranges.map(({ offset }) => this.source.subarray(offset, offset + rangeBytes)), tail])
  }

  async stop(): Promise<void> {
    await this.injector.stop()
    await this.server.stop()
  }
}

interface Requests {
  readonly put: number
  readonly copy: number
}

const isPut = ({ method }: SeenRequest): boolean => method === 'PUT'

/** What both have in common. */
function describeFaults(
  faulty: () => Faulty,
  isCopy: (request: SeenRequest) => boolean,
  isEnd: (request: SeenRequest) => boolean,
  refusals: readonly (readonly [string, Fault, ErrorCode])[],
): void {
  for (const [what, fault, code] of refusals) {
    test(`a copy that is answered with ${what} is ${code}, and makes nothing`, async () => {
      const { injector } = faulty()
      await using store = await faulty().open()
      injector.setPlan((request) => (isCopy(request) ? fault : undefined))
      await rejects(store.compose('made', ranges, [tail]), code)
      injector.setPlan(() => undefined)
      assert.deepEqual(await namesIn(store, ''), ['source'])
    })
  }

  test('what passes is tried again, as a whole', async () => {
    await using store = await faulty().open()
    faulty().spoil(isCopy, { kind: 'cut' }, { kind: 'lose-answer' })
    await store.compose('made', ranges, [tail])
    assert.ok(faulty().made.equals(await store.get('made', { bytesMax: 100 * MiB })))
    await store.delete('made')
  })

  test('an end whose answer is lost is made again', async () => {
    await using store = await faulty().open()
    faulty().spoil(isEnd, { kind: 'lose-answer' })
    await store.compose('made', ranges, [tail])
    assert.ok(faulty().made.equals(await store.get('made', { bytesMax: 100 * MiB })))
    await store.delete('made')
  })

  test('after a failure no more is copied', async () => {
    await using store = await faulty().open()
    const many = Array.from({ length: 40 }, () => ranges[0]).filter((range) => range !== undefined)
    const [, first] = refusals[0] ?? []
    assert.ok(first !== undefined)
    faulty().spoil(isCopy, first)
    await assert.rejects(store.compose('made', many, [tail]))
    assert.ok(faulty().count(isCopy) <= copiesInFlightMax)
    assert.equal(store.requests().copy, faulty().count(isCopy))
    assert.deepEqual(await namesIn(store, ''), ['source'])
  })
}

describeWith(cephRgwRequirement, 'compose on S3', () => {
  let faulty: Faulty
  let client: S3Client
  before(async () => {
    const server: CephRgw = await startCephRgw()
    faulty = await Faulty.start(server)
    const { endpoint, region, accessKeyId, secretAccessKey } = server
    client = new S3Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true })
  })
  after(async () => {
    client.destroy()
    await faulty.stop()
  })
  const unfinished = async (): Promise<number> =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: 'bucket' }))).Uploads?.length ?? 0

  const isCopy = (request: SeenRequest): boolean => 'x-amz-copy-source' in request.headers
  const isBegin = ({ method, url }: SeenRequest): boolean => method === 'POST' && url.includes('uploads')
  const isComplete = ({ method, url }: SeenRequest): boolean => method === 'POST' && url.includes('uploadId=')
  const isAbort = ({ method, url }: SeenRequest): boolean => method === 'DELETE' && url.includes('uploadId=')
  const answer = (status: number, body: string): Fault => ({
    kind: 'answer',
    status,
    headers: { 'content-type': 'application/xml' },
    body: body === '' ? '' : `<?xml version="1.0" encoding="UTF-8"?>\n${body}`,
  })
  const error = (status: number, code: string): Fault =>
    answer(status, `<Error><Code>${code}</Code><Message>m</Message></Error>`)

  describeFaults(() => faulty, isCopy, isComplete, [
    ['501', error(501, 'NotImplemented'), 'E_STORE_NO_COPY'],
    ['that of an upload', answer(200, '<Anything/>'), 'E_STORE_NO_COPY'],
    ['a missing key', error(404, 'NoSuchKey'), 'E_OBJECT_MISSING'],
    ['a missing bucket', error(404, 'NoSuchBucket'), 'E_STORE_MISSING'],
    ['a wrong range', error(416, 'InvalidRange'), 'E_OBJECT_TRUNCATED'],
    ['an archive class', error(403, 'InvalidObjectState'), 'E_OBJECT_ARCHIVED'],
    ['a refusal', error(403, 'AccessDenied'), 'E_STORE_DENIED'],
    ['no room', error(507, 'InsufficientCapacity'), 'E_STORE_FULL'],
    // Of a range that is there.
    ['a wrong argument', error(400, 'InvalidArgument'), 'E_STORE_PROTOCOL'],
    ['200 and then an error', error(200, 'InternalError'), 'E_STORE_UNREACHABLE'],
    ['200 and then nothing', answer(200, ''), 'E_STORE_BUSY'],
    ['a lost upload', error(404, 'NoSuchUpload'), 'E_STORE_BUSY'],
  ])

  test('whatever has failed, no upload stays', async () => {
    assert.equal(await unfinished(), 0)
  })

  test("AWS's word for a range past the end is understood", async () => {
    await using store = await faulty.open()
    const { injector } = faulty
    injector.setPlan((request) => (isCopy(request) ? error(400, 'InvalidArgument') : undefined))
    const past = { source: 'source', offset: 11, length: rangeBytes }
    await rejects(store.compose('made', [past], []), 'E_OBJECT_TRUNCATED')
    await rejects(store.compose('made', [{ ...past, source: 'gone' }], []), 'E_OBJECT_MISSING')
    assert.equal(await unfinished(), 0)
  })

  test('an error in a completion that began with 200 is one', async () => {
    await using store = await faulty.open()
    faulty.spoil(isComplete, error(200, 'InternalError'), answer(200, ''), error(503, 'SlowDown'))
    await store.compose('made', ranges, [tail])
    assert.ok(faulty.made.equals(await store.get('made', { bytesMax: 100 * MiB })))
    assert.equal(faulty.count(isComplete), 4)
    assert.equal(faulty.count(isAbort), 3)
    assert.equal(await unfinished(), 0)
    await store.delete('made')
  })

  test('a server without multipart uploads cannot copy', async () => {
    await using store = await faulty.open()
    faulty.spoil(isBegin, error(501, 'NotImplemented'))
    await rejects(store.compose('made', ranges, [tail]), 'E_STORE_NO_COPY')
    assert.equal(faulty.injector.seen.length, 1)
  })

  test('an abort that fails hides nothing', async () => {
    await using store = await faulty.open()
    faulty.injector.setPlan((request) => {
      if (isAbort(request)) return error(403, 'AccessDenied')
      return isCopy(request) ? error(404, 'NoSuchKey') : undefined
    })
    await rejects(store.compose('made', ranges, [tail]), 'E_OBJECT_MISSING')
    assert.equal(await unfinished(), 1)
  })
})

describe('compose on Azure', () => {
  let faulty: Faulty
  let server: Azurite
  before(async () => {
    server = await startAzurite()
    faulty = await Faulty.start(server)
  })
  after(async () => {
    await faulty.stop()
  })

  const isCopy = (request: SeenRequest): boolean => 'x-ms-copy-source' in request.headers
  const isBlock = (request: SeenRequest): boolean => request.url.includes('comp=block&')
  const isList = (request: SeenRequest): boolean => isPut(request) && request.url.includes('comp=blocklist')
  const error = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Fault => ({
    kind: 'answer',
    status,
    headers: { 'content-type': 'application/xml', 'x-ms-error-code': code, ...headers },
    body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
  })
  const sourceError = (status: number, code?: string): Fault => {
    const headers = { 'x-ms-copy-source-status-code': String(status) }
    const named = code === undefined ? headers : { ...headers, 'x-ms-copy-source-error-code': code }
    return error(status, 'CannotVerifyCopySource', named)
  }

  describeFaults(() => faulty, isCopy, isList, [
    ['501', error(501, 'NotImplemented'), 'E_STORE_NO_COPY'],
    ['a missing source', sourceError(404), 'E_OBJECT_MISSING'],
    ['a missing source by its name', sourceError(404, 'BlobNotFound'), 'E_OBJECT_MISSING'],
    ['a missing container', error(404, 'ContainerNotFound'), 'E_STORE_MISSING'],
    ['a wrong range', sourceError(416, 'InvalidRange'), 'E_OBJECT_TRUNCATED'],
    ['an archive tier', sourceError(409, 'BlobArchived'), 'E_OBJECT_ARCHIVED'],
    ['a conflict', sourceError(409), 'E_OBJECT_ARCHIVED'],
    ['a source that may not be read', sourceError(403, 'AuthenticationFailed'), 'E_STORE_DENIED'],
    ['a busy source', sourceError(503, 'ServerBusy'), 'E_STORE_BUSY'],
    ['a source that took too long', sourceError(500), 'E_STORE_UNREACHABLE'],
    ['a header that it does not like', error(400, 'InvalidHeaderValue'), 'E_STORE_PROTOCOL'],
  ])

  test('the requests are those that Azure documents', async () => {
    await using store = await faulty.open()
    faulty.injector.setPlan(() => undefined)
    await store.compose('made', ranges, [tail])
    const copies = faulty.injector.seen.filter(isCopy)
    assert.deepEqual(copies.map(({ headers }) => headers['x-ms-source-range']).toSorted(), [
      'bytes=0-5242879',
      'bytes=1-5242880',
      'bytes=2-5242881',
    ])
    const ids = faulty.injector.seen.filter(isBlock).map(({ url }) => new URLSearchParams(url).get('blockid') ?? '')
    assert.equal(new Set(ids).size, ranges.length + 1)
    assert.equal(new Set(ids.map(({ length }) => length)).size, 1)
    for (const { headers } of copies) {
      assert.equal(headers['content-length'], '0')
      const source = new URL(String(headers['x-ms-copy-source']))
      assert.match(source.pathname, /\/bucket\/a%2Bb%3Dc\/source$/)
      // To read this one blob, for less than an hour.
      assert.deepEqual([source.searchParams.get('sp'), source.searchParams.get('sr')], ['r', 'b'])
      assert.ok(Date.parse(source.searchParams.get('se') ?? '') - systemClock.nowMs() < 3600_000)
    }
    await store.delete('made')
  })

  test('it works with a SAS token, and with a connection string', async () => {
    const credential = new StorageSharedKeyCredential(server.account, server.key)
    const token = generateBlobSASQueryParameters(
      {
        containerName: 'bucket',
        permissions: BlobSASPermissions.parse('racwd'),
        expiresOn: new Date(Date.now() + 3600_000),
      },
      credential,
    ).toString()
    await using withToken = await faulty.open({ AZURE_STORAGE_ACCOUNT: server.account, AZURE_STORAGE_SAS_TOKEN: token })
    await withToken.compose('made', ranges, [tail])
    assert.ok(faulty.made.equals(await withToken.get('made', { bytesMax: 100 * MiB })))

    const connection = `DefaultEndpointsProtocol=http;AccountName=${server.account};AccountKey=${server.key};BlobEndpoint=${server.endpoint};`
    const options = { env: { AZURE_STORAGE_CONNECTION_STRING: connection }, clock: impatientClock() }
    const store = await openStore('azure://bucket/a+b=c', { ...options, randomBytes: systemRandomBytes })
    await store.compose('made', ranges, [tail])
    await store.delete('made')
    await store.close()
  })
})
