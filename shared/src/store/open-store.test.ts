import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { createStoreMetrics } from './decorators/metrics.ts'
import { openStore } from './open-store.ts'

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-open-'))
})
after(async () => {
  await rm(scratch, { recursive: true })
})

const options = { env: {}, clock: systemClock, randomBytes: systemRandomBytes }

test('a directory is opened by its URL, created when asked for, and counted', async () => {
  const url = pathToFileURL(join(scratch, 'with space', 'store')).href
  await assert.rejects(openStore(url, options), { code: 'E_STORE_MISSING' })
  const metrics = createStoreMetrics()
  const store = await openStore(url, { ...options, create: true, onRequest: metrics.onRequest })
  await store.put('a', [new Uint8Array(10)])
  assert.equal(store.description, url)
  assert.equal(metrics.totals().bytesSent, 10)
})

test('a limit of the bandwidth holds each way, until somebody stops the run', async () => {
  const slept: (number | undefined)[] = []
  let nowMs = 0
  const clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async (ms: number, signal?: AbortSignal) => {
      slept.push(ms)
      nowMs += ms
      await Promise.resolve()
      signal?.throwIfAborted()
    },
  }
  const stop = new AbortController()
  const limit = { clock, bytesPerSecondMax: 1000, signal: stop.signal }
  const store = await openStore(pathToFileURL(join(scratch, 'limited')).href, { ...options, ...limit, create: true })
  await store.put('a', [new Uint8Array(3000)])
  await store.get('a', { offset: 0, length: 2500 })
  assert.deepEqual(slept, [2000, 1500])
  stop.abort()
  await store.put('b', [new Uint8Array(1_000_000)])
  assert.equal(slept.length, 2)
})

test('a wrong URL is refused before anything is loaded', async () => {
  await assert.rejects(openStore('s3://Bucket', options), { code: 'E_STORE_URL' })
})

test('without credentials Azure is denied with what to set', async () => {
  await assert.rejects(openStore('azure://container', options), {
    code: 'E_STORE_DENIED',
    message: /AZURE_STORAGE_ACCOUNT/,
  })
  const env = { AZURE_STORAGE_ACCOUNT: 'account' }
  await assert.rejects(openStore('azure://container', { ...options, env }), { message: /AZURE_STORAGE_KEY/ })
})

test('an account that can be none is refused, and a region that can be none', async () => {
  const key = 'c2VjcmV0LWF6dXJl'
  for (const account of ['my account', 'ä', 'a/b', 'a\nb', 'a.example', 'x'.repeat(64)]) {
    for (const env of [
      { AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_KEY: key },
      { AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_SAS_TOKEN: `sig=${key}` },
    ]) {
      await assert.rejects(openStore('azure://container', { ...options, env }), { code: 'E_STORE_DENIED' })
    }
  }
  const connection = `DefaultEndpointsProtocol=https;AccountName=my account;AccountKey=${key};EndpointSuffix=core.windows.net`
  const env = { AZURE_STORAGE_CONNECTION_STRING: connection }
  await assert.rejects(openStore('azure://container', { ...options, env }), { code: 'E_STORE_DENIED' })
  await assert.rejects(openStore('s3://bucket', { ...options, env: { AWS_REGION: 'my region' } }), {
    code: 'E_STORE_URL',
    message: /region/,
  })
})

test('a variable that is empty counts as none', async () => {
  const env = {
    AWS_ENDPOINT_URL: '',
    AWS_ENDPOINT_URL_S3: '',
    AWS_REGION: '',
    AWS_DEFAULT_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: '',
    AZURE_STORAGE_CONNECTION_STRING: '',
    AZURE_STORAGE_ACCOUNT: 'account',
    AZURE_STORAGE_KEY: '',
    AZURE_STORAGE_SAS_TOKEN: '?sv=1&sig=secret-token',
    HTTPS_PROXY: '',
  }
  const s3 = await openStore('s3://bucket', { ...options, env })
  assert.equal(s3.description, 's3://bucket/')
  const azure = await openStore('azure://container', { ...options, env })
  assert.equal(azure.description, 'azure://container/ at https://account.blob.core.windows.net')
  for (const store of [s3, azure]) await store.close()
  await assert.rejects(openStore('azure://container', { ...options, env: { ...env, AZURE_STORAGE_ACCOUNT: '' } }), {
    code: 'E_STORE_DENIED',
    message: /AZURE_STORAGE_ACCOUNT is not set/,
  })
})

test('a connection string that is none is refused without being repeated', async () => {
  const env = { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=very-secret' }
  await assert.rejects(openStore('azure://container', { ...options, env }), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'E_STORE_DENIED')
    assert.ok(!JSON.stringify(error).includes('very-secret') && !String(error.stack).includes('very-secret'))
    return true
  })
})

test('descriptions hold no credentials', async () => {
  const env = {
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'secret-s3',
    AZURE_STORAGE_CONNECTION_STRING:
      'DefaultEndpointsProtocol=https;AccountName=account;AccountKey=c2VjcmV0LWF6dXJl;EndpointSuffix=core.windows.net',
    AZURE_STORAGE_ACCOUNT: 'account',
    AZURE_STORAGE_SAS_TOKEN: '?sv=1&sig=secret-token',
  }
  const descriptions: string[] = []
  for (const url of [
    's3://bucket/prefix?region=eu-west-1&endpoint=http://127.0.0.1:1',
    'azure://container/prefix',
    'azure://container/prefix?endpoint=http://127.0.0.1:1/account',
  ]) {
    const store = await openStore(url, { ...options, env })
    descriptions.push(store.description)
    await store.close()
  }
  assert.deepEqual(descriptions, [
    's3://bucket/prefix/ at http://127.0.0.1:1',
    'azure://container/prefix/ at https://account.blob.core.windows.net',
    'azure://container/prefix/ at http://127.0.0.1:1',
  ])
})

test('no cloud SDK is loaded for a directory', async () => {
  // The S3 store is opened too: it shows that the look into the module cache would find an SDK.
  const program = `
    import { createRequire } from 'node:module'
    import { openStore } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'open-store.ts')).href)}
    import { systemClock, systemRandomBytes } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../clock.ts')).href)}
    const options = { env: {}, clock: systemClock, randomBytes: systemRandomBytes }
    const { cache } = createRequire(import.meta.url)
    const count = () => Object.keys(cache).filter((path) => /node_modules.(@aws-sdk|@azure)/.test(path)).length
    await openStore(${JSON.stringify(pathToFileURL(scratch).href)}, options)
    const afterDirectory = count()
    await openStore('s3://bucket?region=eu-west-1', options)
    process.stdout.write(JSON.stringify([afterDirectory, count() > 0]))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  assert.deepEqual(JSON.parse(stdout), [0, true])
})
