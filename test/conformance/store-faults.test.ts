import assert from 'node:assert/strict'
import { after, before, describe, mock, test } from 'node:test'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { ErrorCode, StrataError } from '@strata/shared/errors.ts'
import { listPageObjectsMax, storeAttemptsMin } from '@strata/shared/limits.ts'
import { openAzureStore } from '@strata/shared/store/azure.ts'
import { probeCreateIfAbsent } from '@strata/shared/store/conditional-probe.ts'
import { withRetry } from '@strata/shared/store/decorators/retry.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openS3Store } from '@strata/shared/store/s3.ts'
import { parseStoreUrl } from '@strata/shared/store/store-url.ts'
import { impatientClock } from '../fixtures/impatient-clock.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import type { Fault, FaultInjector, FaultPlan } from '../servers/fault-injector.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { bytesOf, namesIn, rejects } from './store-helpers.ts'

/**
 * The cloud stores when the way to a real server, or the server itself, misbehaves. Every fault here is one that the
 * retry decorator or the error mapping must get right.
 */

/** What differs between the two protocols. */
interface Dialect {
  start(): Promise<StoreServer>
  /** Without retries. @param requestTimeoutMs idle limit */
  open(url: string, env: StoreServer['env'], requestTimeoutMs?: number): ObjectStore
  /** An error as the server would send it. */
  error(status: number, code: string): Fault
}

const s3: Dialect = {
  start: startCephRgw,
  open: (url, env, requestTimeoutMs) => {
    const location = parseStoreUrl(url)
    assert.ok(location.kind === 's3')
    return openS3Store(location, { env, clock: systemClock, requestTimeoutMs })
  },
  error: (status, code) => ({
    kind: 'answer',
    status,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
  }),
}

const azure: Dialect = {
  start: startAzurite,
  open: (url, env, requestTimeoutMs) => {
    const location = parseStoreUrl(url)
    assert.ok(location.kind === 'azure')
    return openAzureStore(location, { env, clock: systemClock, requestTimeoutMs })
  },
  error: (status, code) => ({
    kind: 'answer',
    status,
    headers: { 'content-type': 'application/xml', 'x-ms-error-code': code },
    body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
  }),
}

describeWith(cephRgwRequirement, 'S3 store behind a bad connection', () => {
  describeFaults(s3)

  describeMapping(s3, [
    [503, 'SlowDown', 'E_STORE_BUSY'],
    [503, 'ServiceUnavailable', 'E_STORE_BUSY'],
    [429, 'TooManyRequests', 'E_STORE_BUSY'],
    [409, 'OperationAborted', 'E_STORE_BUSY'],
    [500, 'InternalError', 'E_STORE_UNREACHABLE'],
    [502, 'BadGateway', 'E_STORE_UNREACHABLE'],
    [400, 'RequestTimeout', 'E_STORE_UNREACHABLE'],
    [400, 'BadDigest', 'E_STORE_UNREACHABLE'],
    [403, 'AccessDenied', 'E_STORE_DENIED'],
    [403, 'SignatureDoesNotMatch', 'E_STORE_DENIED'],
    [400, 'ExpiredToken', 'E_STORE_DENIED'],
    [403, 'RequestTimeTooSkewed', 'E_STORE_CLOCK'],
    [403, 'QuotaExceeded', 'E_STORE_FULL'],
    [403, 'InvalidObjectState', 'E_OBJECT_ARCHIVED'],
    [507, 'InsufficientStorage', 'E_STORE_FULL'],
    [404, 'NoSuchBucket', 'E_STORE_MISSING'],
    [301, 'PermanentRedirect', 'E_STORE_URL'],
    [400, 'AuthorizationHeaderMalformed', 'E_STORE_URL'],
    [501, 'NotImplemented', 'E_STORE_PROTOCOL'],
    [400, 'InvalidArgument', 'E_STORE_PROTOCOL'],
  ])
  describeForeignAnswers(s3)
  describePermissions(s3, 'AccessDenied', {
    put: /s3:PutObject$/,
    get: /s3:GetObject/,
    list: /s3:ListBucket$/,
    delete: /s3:DeleteObject/,
  })
  describeClock(s3)

  test('a refusal that comes again after the time was corrected is not about the time', async () => {
    const injector = await startFaultInjector()
    const store = openAlone(s3, injector)
    const fault = s3.error(403, 'SignatureDoesNotMatch')
    assert.ok(fault.kind === 'answer')
    const date = new Date(systemClock.nowMs() - 24 * 3600_000).toUTCString()
    injector.setPlan(() => ({ ...fault, headers: { ...fault.headers, date } }))
    await rejects(store.get('object'), 'E_STORE_CLOCK')
    await rejects(store.get('object'), 'E_STORE_DENIED')
    await store.close()
    await injector.stop()
  })

  test("a clock that is a day wrong is corrected by the store's own", async () => {
    const server = await startCephRgw()
    await server.createBucket('bucket')
    const store = retrying(s3.open(server.storeUrl('bucket'), server.env))
    mock.timers.enable({ apis: ['Date'], now: systemClock.nowMs() + 24 * 3600_000 })
    try {
      await store.put('object', [bytesOf(10)], { ifAbsent: true })
      assert.equal((await store.get('object')).byteLength, 10)
    } finally {
      mock.timers.reset()
      await store.close()
      await server.stop()
    }
  })
})

describe('Azure store behind a bad connection', () => {
  describeFaults(azure)

  describeMapping(azure, [
    [503, 'ServerBusy', 'E_STORE_BUSY'],
    [429, 'TooManyRequests', 'E_STORE_BUSY'],
    [500, 'InternalError', 'E_STORE_UNREACHABLE'],
    [500, 'OperationTimedOut', 'E_STORE_UNREACHABLE'],
    [400, 'Md5Mismatch', 'E_STORE_UNREACHABLE'],
    [403, 'AuthenticationFailed', 'E_STORE_DENIED'],
    [403, 'AuthorizationFailure', 'E_STORE_DENIED'],
    [401, 'NoAuthenticationInformation', 'E_STORE_DENIED'],
    [507, 'InsufficientStorage', 'E_STORE_FULL'],
    [404, 'ContainerNotFound', 'E_STORE_MISSING'],
    [409, 'ContainerBeingDeleted', 'E_STORE_MISSING'],
    [409, 'BlobArchived', 'E_OBJECT_ARCHIVED'],
    [409, 'BlobBeingRehydrated', 'E_OBJECT_ARCHIVED'],
    [400, 'InvalidHeaderValue', 'E_STORE_PROTOCOL'],
  ])
  describeForeignAnswers(azure)
  describePermissions(azure, 'AuthorizationPermissionMismatch', {
    put: /SAS: cw/,
    get: /SAS: r/,
    list: /SAS: l/,
    delete: /SAS: d/,
  })
  describeClock(azure)
})

/** Tries again at once. */
function retrying(store: ObjectStore): ObjectStore {
  return withRetry(store, { clock: impatientClock(), randomBytes: systemRandomBytes })
}

function describeFaults(dialect: Dialect): void {
  let server: StoreServer
  let injector: FaultInjector
  let places = 0

  before(async () => {
    server = await dialect.start()
    await server.createBucket('bucket')
    injector = await startFaultInjector(new URL(server.endpoint).origin)
  })

  after(async () => {
    await injector.stop()
    await server.stop()
  })

  /** A store of its own behind the injector, whose plan begins now. */
  const open = async (
    plan: FaultPlan,
    requestTimeoutMs?: number,
    place = `place-${String((places += 1))}`,
  ): Promise<{ raw: ObjectStore; store: ObjectStore }> => {
    const direct = server.storeUrl('bucket', place)
    const url = direct.replace(encodeURIComponent(new URL(server.endpoint).origin), encodeURIComponent(injector.origin))
    assert.notEqual(url, direct)
    const raw = dialect.open(url, server.env, requestTimeoutMs)
    injector.setPlan(plan)
    return await Promise.resolve({ raw, store: retrying(raw) })
  }

  test('a create-if-absent whose answer is lost finds its own object and succeeds', async () => {
    const { store } = await open((_, index) => (index === 0 ? { kind: 'lose-answer' } : undefined))
    const content = bytesOf(300_000)
    await store.put('object', [content.subarray(0, 7), content.subarray(7)], { ifAbsent: true })
    assert.deepEqual(await store.get('object'), content)
    await rejects(store.put('object', [content], { ifAbsent: true }), 'E_OBJECT_EXISTS')
  })

  test("a create-if-absent that is cut off does not take another writer's object for its own", async () => {
    const { raw, store } = await open(() => undefined)
    const theirs = bytesOf(100)
    await raw.put('object', [theirs])
    for (const ours of [bytesOf(100), bytesOf(99), new Uint8Array(0)]) {
      for (const kind of ['lose-answer', 'cut'] as const) {
        injector.setPlan((_, index) => (index === 0 ? { kind } : undefined))
        await rejects(store.put('object', [ours], { ifAbsent: true }), 'E_OBJECT_EXISTS')
      }
    }
    assert.deepEqual(await store.get('object'), theirs)
  })

  test('a create-if-absent that never arrived is sent again', async () => {
    const { store } = await open((_, index) => (index < 2 ? { kind: 'cut' } : undefined))
    await store.put('object', [bytesOf(5)], { ifAbsent: true })
    assert.equal((await store.get('object')).byteLength, 5)
  })

  test('without retries a lost answer is only unreachable: nobody guesses what happened', async () => {
    const { raw } = await open((_, index) => (index === 0 ? { kind: 'lose-answer' } : undefined))
    await rejects(raw.put('object', [bytesOf(10)], { ifAbsent: true }), 'E_STORE_UNREACHABLE')
    await rejects(raw.put('object', [bytesOf(10)], { ifAbsent: true }), 'E_OBJECT_EXISTS')
    assert.equal(injector.seen.length, 2)
  })

  test('a body that breaks off is read again, whole and in ranges', async () => {
    const content = bytesOf(200_000)
    const { store } = await open(() => undefined)
    await store.put('object', [content])
    const cutFirst: FaultPlan = (_, index) => (index === 0 ? { kind: 'cut-answer' } : undefined)
    injector.setPlan(cutFirst)
    assert.deepEqual(await store.get('object'), content)
    assert.equal(injector.seen.length, 2)
    injector.setPlan(cutFirst)
    assert.deepEqual(await store.get('object', { offset: 5, length: 150_000 }), content.slice(5, 150_005))
    assert.equal(injector.seen.length, 2)
  })

  test('a body that always breaks off ends as unreachable', async () => {
    const { raw, store } = await open(() => undefined)
    await raw.put('object', [bytesOf(200_000)])
    injector.setPlan(() => ({ kind: 'cut-answer' }))
    await rejects(store.get('object'), 'E_STORE_UNREACHABLE')
    assert.equal(injector.seen.length, storeAttemptsMin)
  })

  test('a listing or a refusal that breaks off says nothing, and is asked for again', async () => {
    const { raw, store } = await open(() => undefined)
    await raw.put('object', [bytesOf(10)])
    const calls: readonly [string, (store: ObjectStore) => Promise<unknown>][] = [
      ['object', async (one) => (await namesIn(one, '')).join()],
      ['E_OBJECT_MISSING', async (one) => await one.get('missing')],
      ['E_OBJECT_TRUNCATED', async (one) => await one.get('object', { offset: 100, length: 10 })],
      [
        'E_OBJECT_EXISTS',
        async (one) => {
          await one.put('object', [bytesOf(7)], { ifAbsent: true })
        },
      ],
    ]
    for (const [expected, call] of calls) {
      injector.setPlan(() => ({ kind: 'cut-answer' }))
      await rejects(call(raw), 'E_STORE_UNREACHABLE')
      injector.setPlan((_, index) => (index === 0 ? { kind: 'cut-answer' } : undefined))
      const outcome = await call(store).catch((error: unknown) => (error as StrataError).code)
      assert.equal(outcome, expected)
    }
  })

  test('every call lives through a cut connection and a busy server', async () => {
    const calls: ((store: ObjectStore) => Promise<unknown>)[] = [
      async (store) => {
        await store.put('other', [bytesOf(1000)])
      },
      async (store) => await store.get('object'),
      async (store) => await store.head('object'),
      async (store) => await namesIn(store, ''),
      async (store) => {
        await store.delete('object')
      },
      async (store) => await store.now(),
    ]
    const faults: Fault[] = [
      { kind: 'cut' },
      { kind: 'lose-answer' },
      dialect.error(503, 'Busy'),
      dialect.error(500, 'x'),
    ]
    for (const [index, call] of calls.entries()) {
      const place = `call-${String(index)}`
      const { store } = await open(() => undefined, undefined, place)
      await store.put('object', [bytesOf(1000)])
      // Anew, as a store that has had an answer knows the time.
      const fresh = await open((_, request) => faults[request], undefined, place)
      await call(fresh.store)
      // (Also an answer with an error says what time it is.)
      assert.ok(injector.seen.length > 2)
      await store.close()
      await fresh.store.close()
    }
  })

  test('a listing that fails between pages goes on where it was', async () => {
    const { raw } = await open(() => undefined)
    const names = Array.from({ length: listPageObjectsMax + 50 }, (_, index) => `o/${String(index).padStart(5, '0')}`)
    const puts = names.values()
    const worker = async (): Promise<void> => {
      for (const name of puts) await raw.put(name, [])
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    injector.setPlan((_, index) => (index % 2 === 1 ? dialect.error(503, 'Busy') : undefined))
    assert.deepEqual(await namesIn(retrying(raw), ''), names)
    assert.ok(injector.seen.length > 2)
  })

  test('a server that never answers is given up when nothing moves', async () => {
    const idleMs = 50
    const { raw } = await open(() => ({ kind: 'hang' }), idleMs)
    const calls = [raw.put('object', [bytesOf(10)]), raw.get('object'), namesIn(raw, ''), raw.delete('object')]
    for (const error of await Promise.all(calls.map(errorOf))) {
      assert.equal(error.code, 'E_STORE_UNREACHABLE')
      assert.match(error.message, /nothing was sent or received/)
    }
  })

  test('what is no store at all is a matter of protocol', async () => {
    const page = '<!doctype html><html><body>It works!</body></html>'
    const website: Fault = { kind: 'answer', status: 200, headers: { 'content-type': 'text/html' }, body: page }
    const { store } = await open(() => website)
    await rejects(namesIn(store, ''), 'E_STORE_PROTOCOL')
    await rejects(store.get('object', { offset: 0, length: 10 }), 'E_STORE_PROTOCOL')
    injector.setPlan(() => ({ kind: 'babble' }))
    await rejects(store.get('object'), 'E_STORE_PROTOCOL')
    assert.equal(injector.seen.length, 1)
  })

  test('another range than the one asked for is refused', async () => {
    const answer = (contentRange: string, body: string): Fault => {
      const headers = { 'content-range': contentRange, 'content-length': String(body.length), etag: '"e"' }
      return { kind: 'answer', status: 206, headers, body }
    }
    const { store } = await open(() => answer('bytes 0-9/100', '0123456789'))
    await rejects(store.get('object', { offset: 1, length: 10 }), 'E_STORE_PROTOCOL')
    injector.setPlan(() => answer('bytes 1-20/100', '01234567890123456789'))
    await rejects(store.get('object', { offset: 1, length: 10 }), 'E_STORE_PROTOCOL')
    injector.setPlan(() => answer('bytes 1-5/6', '01234'))
    await rejects(store.get('object', { offset: 1, length: 10 }), 'E_OBJECT_TRUNCATED')
    // It announces the right range and sends less.
    injector.setPlan(() => answer('bytes 1-10/100', '01234'))
    await rejects(store.get('object', { offset: 1, length: 10 }), 'E_STORE_UNREACHABLE')
    injector.setPlan(() => answer('bytes 1-10/100', '01234567890'))
    await rejects(store.get('object', { offset: 1, length: 10 }), 'E_STORE_UNREACHABLE')
  })

  test('an object that is longer than it can be is not fetched, whatever the answer says of its length', async () => {
    const TiB = 1024 ** 4
    const { store } = await open(() => ({
      kind: 'answer',
      status: 200,
      headers: { 'content-length': String(3 * TiB), etag: '"e"' },
      body: 'the beginning',
    }))
    await rejects(store.get('object', { bytesMax: 4096 }), 'E_FORMAT_DAMAGED')
    // Azure always says it; its SDK refuses an answer that does not.
    if (dialect === azure) return
    injector.setPlan(() => ({
      kind: 'answer',
      status: 200,
      headers: { 'transfer-encoding': 'chunked', etag: '"e"' },
      body: 'x'.repeat(4097),
    }))
    await rejects(store.get('object', { bytesMax: 4096 }), 'E_FORMAT_DAMAGED')
    assert.equal((await store.get('object', { bytesMax: 4097 })).byteLength, 4097)
    assert.equal(injector.seen.length, 2)
  })

  test('a server that ignores create-if-absent is found out', async () => {
    const { store } = await open((request) => {
      return request.method === 'PUT' ? { kind: 'answer', status: dialect === s3 ? 200 : 201 } : undefined
    })
    await rejects(probeCreateIfAbsent(store, systemRandomBytes), 'E_STORE_UNCONDITIONAL')
  })
}

/** Whoever has to grant it hears what it is called there. */
function describePermissions(
  dialect: Dialect,
  serverCode: string,
  named: Readonly<Record<'put' | 'get' | 'list' | 'delete', RegExp>>,
): void {
  test('what is not permitted is refused with the name of the permission', async () => {
    const injector = await startFaultInjector()
    const store = openAlone(dialect, injector)
    injector.setPlan(() => dialect.error(403, serverCode))
    assert.match((await errorOf(store.put('object', [bytesOf(10)]))).message, named.put)
    assert.match((await errorOf(store.get('object'))).message, named.get)
    assert.match((await errorOf(namesIn(store, ''))).message, named.list)
    assert.match((await errorOf(store.delete('object'))).message, named.delete)
    // Who is not known is told nothing of permissions.
    injector.setPlan(() => dialect.error(403, 'SignatureDoesNotMatch'))
    assert.doesNotMatch((await errorOf(store.get('object'))).message, /permission/)
    await store.close()
    await injector.stop()
  })
}

function describeMapping(dialect: Dialect, table: readonly (readonly [number, string, ErrorCode])[]): void {
  describe('what the server answers', () => {
    let injector: FaultInjector
    before(async () => {
      injector = await startFaultInjector()
    })
    after(async () => {
      await injector.stop()
    })

    for (const [status, serverCode, expected] of table) {
      test(`${String(status)} ${serverCode} is ${expected}`, async () => {
        const store = openAlone(dialect, injector)
        injector.setPlan(() => dialect.error(status, serverCode))
        const calls = [
          store.put('object', [bytesOf(10)]),
          store.put('object', [bytesOf(10)], { ifAbsent: true }),
          store.get('object'),
          store.get('object', { offset: 1, length: 2 }),
          namesIn(store, ''),
          store.delete('object'),
        ]
        const errors = await Promise.all(calls.map(errorOf))
        const expectedOfCreate = serverCode === 'NotImplemented' ? 'E_STORE_UNCONDITIONAL' : expected
        const codes = errors.map((error) => error.code)
        assert.deepEqual(codes, [expected, expectedOfCreate, expected, expected, expected, expected])
        for (const error of errors) if (error.code === expected) assert.match(error.message, new RegExp(serverCode))
        await store.close()
      })
    }
  })
}

/** Few servers name a wrong clock; what they do is to refuse a signature whose time is not near theirs. */
function describeClock(dialect: Dialect): void {
  describe('a refusal by a server whose clock', () => {
    let injector: FaultInjector
    before(async () => {
      injector = await startFaultInjector()
    })
    after(async () => {
      await injector.stop()
    })

    const minute = 60_000
    const table: readonly [string, number, ErrorCode][] = [
      ['is a day behind ours', -24 * 60 * minute, 'E_STORE_CLOCK'],
      ['is twenty minutes ahead of ours', 20 * minute, 'E_STORE_CLOCK'],
      ['is ten minutes behind ours', -10 * minute, 'E_STORE_DENIED'],
      ['is ours', 0, 'E_STORE_DENIED'],
    ]
    for (const [title, offsetMs, expected] of table) {
      test(`${title} is ${expected}`, async () => {
        for (const [status, code] of [
          [403, 'AuthenticationFailed'],
          [403, 'SignatureDoesNotMatch'],
          [401, 'Unauthorized'],
        ] as const) {
          const date = new Date(systemClock.nowMs() + offsetMs).toUTCString()
          const fault = dialect.error(status, code)
          assert.ok(fault.kind === 'answer')
          injector.setPlan(() => ({ ...fault, headers: { ...fault.headers, date } }))
          const calls: ((store: ObjectStore) => Promise<unknown>)[] = [
            async (store) => await store.now(),
            async (store) => {
              await store.put('object', [bytesOf(10)], { ifAbsent: true })
            },
            async (store) => await store.get('object'),
            async (store) => await store.head('object'),
            async (store) => await namesIn(store, ''),
          ]
          for (const call of calls) {
            // Of its own, as the S3 SDK learns the time from the first answer.
            const store = openAlone(dialect, injector)
            assert.equal((await errorOf(call(store))).code, expected)
            await store.close()
          }
        }
      })
    }
  })
}

/** What stands between a store and us (a load balancer, a proxy) does not speak the store's protocol when it refuses. */
function describeForeignAnswers(dialect: Dialect): void {
  const page = '<html>\r\n<head><title>Sorry</title></head>\r\n<body>\r\n<hr><center>nginx</center></body></html>'
  const bodies = {
    HTML: ['text/html', page],
    text: ['text/plain', 'upstream connect error'],
    JSON: ['application/json', '{"message": "Too many requests"}'],
    'broken JSON': ['application/json', '{"message'],
    'XML of another kind': ['application/xml', '<oops>'],
    nothing: [undefined, ''],
  } as const
  const expectedOf: Readonly<Record<number, ErrorCode>> = {
    429: 'E_STORE_BUSY',
    502: 'E_STORE_UNREACHABLE',
    503: 'E_STORE_BUSY',
    504: 'E_STORE_UNREACHABLE',
  }

  describe('what something on the way answers', () => {
    let injector: FaultInjector
    before(async () => {
      injector = await startFaultInjector()
    })
    after(async () => {
      await injector.stop()
    })

    for (const [what, [contentType, body]] of Object.entries(bodies)) {
      test(`is told by its status, whatever the body is: ${what}`, async () => {
        for (const [status, expected] of Object.entries(expectedOf)) {
          const store = openAlone(dialect, injector)
          const headers = contentType === undefined ? {} : { 'content-type': contentType }
          injector.setPlan(() => ({ kind: 'answer', status: Number(status), headers, body }))
          const calls = [
            store.put('object', [bytesOf(10)]),
            store.put('object', [bytesOf(10)], { ifAbsent: true }),
            store.get('object'),
            store.get('object', { offset: 1, length: 2 }),
            store.head('object'),
            namesIn(store, ''),
            store.delete('object'),
            store.now(),
          ]
          for (const error of await Promise.all(calls.map(errorOf))) {
            assert.equal(error.code, expected, error.message)
            assert.match(error.message, new RegExp(`HTTP ${status}`))
          }
          await store.close()
        }
      })
    }
  })
}

/** A store on the injector, behind which nothing is. */
function openAlone(dialect: Dialect, injector: FaultInjector): ObjectStore {
  const endpoint = encodeURIComponent(dialect === s3 ? injector.origin : `${injector.origin}/account`)
  const url = dialect === s3 ? `s3://bucket?endpoint=${endpoint}` : `azure://container?endpoint=${endpoint}`
  return dialect.open(url, unusedKeys)
}

const unusedKeys = {
  AWS_ACCESS_KEY_ID: 'unused',
  AWS_SECRET_ACCESS_KEY: 'unused',
  AZURE_STORAGE_ACCOUNT: 'account',
  AZURE_STORAGE_KEY: 'dW51c2Vk',
}

async function errorOf(call: Promise<unknown>): Promise<StrataError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(hasCode(error, (error as StrataError).code), `no coded error but ${String(error)}`)
  return error
}
