import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { systemClock, systemRandomBytes } from '@strata/shared/clock.ts'
import { StrataError } from '@strata/shared/errors.ts'
import type { ErrorCode } from '@strata/shared/errors.ts'
import { storeAttemptsMin } from '@strata/shared/limits.ts'
import { MemoryStore } from '@strata/shared/store/memory.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import type { OpenStoreOptions } from '@strata/shared/store/open-store.ts'
import { observed } from '@strata/shared/store/store-requests.ts'
import type { StoreObserver } from '@strata/shared/store/store-requests.ts'
import { impatientClock } from '../fixtures/impatient-clock.ts'
import { startAzurite } from '../servers/azurite.ts'
import { cephRgwRequirement, startCephRgw } from '../servers/ceph-rgw.ts'
import type { CephRgw } from '../servers/ceph-rgw.ts'
import { deadPort } from '../servers/processes.ts'
import { describeWith } from '../servers/require-server.ts'
import type { StoreServer } from '../servers/store-server.ts'
import { describeObjectStore } from './object-store-suite.ts'
import type { StoreUnderTest } from './object-store-suite.ts'
import { bytesOf, infosIn } from './store-helpers.ts'

/** One suite on every implementation of ObjectStore, opened as programs open them: by URL, with retries. */

function optionsFor(env: OpenStoreOptions['env'], onRequest?: StoreObserver): OpenStoreOptions {
  return { env, clock: impatientClock(), randomBytes: systemRandomBytes, onRequest }
}

describe('memory store', () => {
  describeObjectStore(startMemory, false)
})

describe('directory store', () => {
  describeObjectStore(startDirectory)
})

describeWith(cephRgwRequirement, 'S3 store on Ceph RGW', () => {
  describeObjectStore(async () => await startOnS3(await startCephRgw()))
  describe('with the checksums that old servers know', () => {
    describeObjectStore(async () => await startOnS3(await startCephRgw(), '&checksums=when_required'))
  })
  describeAccess(startCephRgw, (server) => ({
    ...server.env,
    AWS_SECRET_ACCESS_KEY: 'wrong-secret-that-must-stay-secret',
  }))
})

describe('Azure store on Azurite', () => {
  describeObjectStore(async () => await startOnServer(await startAzurite()))
  describeAccess(startAzurite, (server) => ({
    ...server.env,
    AZURE_STORAGE_KEY: Buffer.from('wrong-secret-that-must-stay-secret').toString('base64'),
  }))
})

async function startMemory(): Promise<StoreUnderTest> {
  const places = new Map<string, MemoryStore>()
  return await Promise.resolve({
    open: async (place, onRequest) => {
      const existing = places.get(place)
      // A second store of a place shares the objects, so it is the same one.
      if (existing !== undefined) return await Promise.resolve(existing)
      const store = new MemoryStore({ clock: systemClock, onRequest })
      places.set(place, store)
      return store
    },
    openMissing: async () => await Promise.reject(new Error('memory is always there')),
    stop: async () => {
      await Promise.resolve()
    },
  })
}

async function startDirectory(): Promise<StoreUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-stores-'))
  const open = async (place: string, onRequest?: StoreObserver): Promise<ObjectStore> =>
    await openStore(pathToFileURL(join(directory, place)).href, { ...optionsFor({}, onRequest), create: true })
  return {
    open,
    openMissing: async () => {
      const store = await open('missing')
      await rm(join(directory, 'missing'), { recursive: true })
      return store
    },
    stop: async () => {
      await rm(directory, { recursive: true })
    },
  }
}

async function startOnServer(server: StoreServer, parameters = ''): Promise<StoreUnderTest> {
  await server.createBucket('bucket')
  return {
    open: async (place, onRequest) =>
      await openStore(server.storeUrl('bucket', `a+b=c@d/${place}`) + parameters, optionsFor(server.env, onRequest)),
    openMissing: async () => await openStore(server.storeUrl('missing', 'place'), optionsFor(server.env)),
    stop: async () => {
      await server.stop()
    },
  }
}

async function startOnS3(server: CephRgw, parameters = ''): Promise<StoreUnderTest> {
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const client = new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
  })
  const started = await startOnServer(server, parameters)
  return {
    ...started,
    unfinished: async () => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: 'bucket' }))
      return Uploads.map(({ Key = '' }) => Key)
    },
    stop: async () => {
      client.destroy()
      await started.stop()
    },
  }
}

/** What goes wrong on the way to a store that is reached over the network. */
function describeAccess(
  start: () => Promise<StoreServer>,
  withWrongKey: (server: StoreServer) => OpenStoreOptions['env'],
): void {
  describe('access', () => {
    let server: StoreServer
    before(async () => {
      server = await start()
      await server.createBucket('bucket')
    })
    after(async () => {
      await server.stop()
    })

    test('with a wrong key is denied, at once and without repeating a secret', async () => {
      const env = withWrongKey(server)
      let requests = 0
      const store = await openStore(
        server.storeUrl('bucket', 'place'),
        optionsFor(env, () => (requests += 1)),
      )
      const errors = await errorsOfAll(store, 'E_STORE_DENIED')
      // One more where it is asked whether the store locks, and that is refused as well.
      assert.ok(requests === errors.length || requests === errors.length + 1, String(requests))
      const secrets = [...Object.values(env), ...Object.values(server.env)].filter((value) => value !== undefined)
      for (const error of errors) {
        const text = JSON.stringify(error) + String(error.stack) + JSON.stringify(error.cause ?? '')
        for (const secret of secrets) if (secret.length > 12) assert.ok(!text.includes(secret))
      }
      await store.close()
    })

    test('to a port where nobody answers is tried several times', async () => {
      const url = server
        .storeUrl('bucket', 'place')
        .replace(encodeURIComponent(originOf(server)), encodeURIComponent(`http://127.0.0.1:${String(deadPort)}`))
      let requests = 0
      const store = await openStore(
        url,
        optionsFor(server.env, () => (requests += 1)),
      )
      const errors = await errorsOfAll(store, 'E_STORE_UNREACHABLE')
      assert.equal(requests, errors.length * storeAttemptsMin)
      for (const error of errors) {
        assert.match(error.message, /ECONNREFUSED/)
        assert.match(error.message, new RegExp(`tried ${String(storeAttemptsMin)} times`))
      }
      await store.close()
    })

    test('without credentials is denied', async () => {
      // Nothing else may supply some: no profile, no instance role.
      const env = {
        AWS_EC2_METADATA_DISABLED: 'true',
        AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
        AWS_CONFIG_FILE: '/dev/null',
      }
      Object.assign(process.env, env)
      try {
        const get = async (): Promise<unknown> => {
          const store = await openStore(server.storeUrl('bucket', 'place'), optionsFor({}))
          return await store.get('object')
        }
        await assert.rejects(get, { code: 'E_STORE_DENIED' })
      } finally {
        for (const name of Object.keys(env)) Reflect.deleteProperty(process.env, name)
      }
    })
  })
}

function originOf(server: StoreServer): string {
  return new URL(server.endpoint).origin
}

async function errorsOfAll(store: ObjectStore, code: ErrorCode): Promise<StrataError[]> {
  const calls: (() => Promise<unknown>)[] = [
    // First, as any answer says what time it is.
    async () => await store.now(),
    async () => {
      await store.put('object', [bytesOf(1)])
    },
    async () => {
      await store.put('object', [bytesOf(100_000)], { ifAbsent: true })
    },
    async () => {
      const length = store.copying?.rangeBytesMin ?? 0
      await store.compose('object', [{ source: 'other', offset: 0, length }], [bytesOf(1)])
    },
    async () => await store.get('object'),
    async () => await store.get('object', { offset: 3, length: 5 }),
    async () => await infosIn(store, ''),
    async () => {
      await store.setTags('object', { a: 'b' })
    },
    async () => await store.tags('object'),
    async () => {
      await store.delete('object')
    },
    async () => await store.head('object'),
  ]
  const errors: StrataError[] = []
  for (const call of calls) {
    const error = await call().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof StrataError, String(error))
    assert.equal(error.code, code, String(error))
    errors.push(error)
  }
  return errors
}

// Keeps the helper honest: it must count requests where a store makes them.
test('an observer is told of failures too', async () => {
  let told = 0
  const failing = observed(
    () => (told += 1),
    'get',
    'name',
    async () => await Promise.reject(new Error('no')),
  )
  await assert.rejects(failing, /no/)
  assert.equal(told, 1)
})
