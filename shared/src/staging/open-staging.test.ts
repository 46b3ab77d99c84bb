import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { systemClock, systemRandomBytes } from '../clock.ts'
import { clockSkewWarnMs, uploadGrantLifeMsMax } from '../limits.ts'
import type { Environment } from '../store/environment.ts'
import { asId, type SessionId, type SetId, type TenantId } from '../types.ts'
import { stagedName } from './names.ts'
import { openStaging } from './open-staging.ts'
import type { StagingArea, UploadGrant } from './staging-area.ts'

/** What needs no server: which places can be staging areas, and what is in a grant. test/staging has the rest. */

const name = stagedName({
  tenant: asId<TenantId>('1'.repeat(32)),
  set: asId<SetId>('2'.repeat(32)),
  session: asId<SessionId>('3'.repeat(32)),
  segment: 4,
  attempt: '0123456789abcdef',
})
const content = { bytes: 1000, sha256: new Uint8Array(32) }
const awsKeys = { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret' }
const accountKey = randomBytes(64).toString('base64')

async function open(url: string, env: Environment, nowMs = 1_800_000_000_999): Promise<StagingArea> {
  const clock = { ...systemClock, nowMs: () => nowMs }
  return await openStaging(url, { env, clock, randomBytes: systemRandomBytes })
}

async function grantOf(url: string, env: Environment): Promise<UploadGrant> {
  const area = await open(url, env)
  try {
    return await area.grant(name, content, 60_000)
  } finally {
    await area.close()
  }
}

test('a directory is no staging area, and the hint says what to do instead', async () => {
  await assert.rejects(open('file:///staging', {}), { code: 'E_STORE_URL', hint: /gateway/ })
})

test('what is no store URL at all is refused as everywhere', async () => {
  for (const url of ['', '/staging', 'ftp://host/staging', 's3://a']) {
    await assert.rejects(open(url, awsKeys), { code: 'E_STORE_URL' })
  }
})

test('Azure needs an account key, from either place', async () => {
  const sasString = 'BlobEndpoint=https://account.blob.core.windows.net/;SharedAccessSignature='
  const keyString = 'DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName=account;AccountKey='
  const account = { AZURE_STORAGE_ACCOUNT: 'account' }
  const sas = 'sv=2026-10-06&ss=b&srt=co&sp=rwdlc&se=2099-01-01&sig=that-must-stay-secret'
  for (const env of [
    {},
    account,
    { ...account, AZURE_STORAGE_SAS_TOKEN: sas },
    { AZURE_STORAGE_CONNECTION_STRING: sasString + sas },
  ]) {
    await assert.rejects(open('azure://staging/here', env), (error: Error) => {
      assert.equal((error as { code?: unknown }).code, 'E_STORE_DENIED')
      assert.ok(!JSON.stringify(error).includes('that-must-stay-secret'))
      return true
    })
  }
  const keys = [
    { ...account, AZURE_STORAGE_KEY: accountKey },
    { AZURE_STORAGE_CONNECTION_STRING: keyString + accountKey },
  ]
  const grants = await Promise.all(keys.map(async (env) => await grantOf('azure://staging/here', env)))
  assert.deepEqual(grants[0], grants[1])
  const [grant] = grants
  const url = new URL(grant?.url ?? '')
  assert.equal(url.origin + url.pathname, `https://account.blob.core.windows.net/staging/here/${name}`)
  const signed = ['sp', 'sr', 'spr', 'st', 'se'].map((key) => url.searchParams.get(key))
  assert.deepEqual(signed, ['c', 'b', 'https', '2027-01-15T07:55:00Z', '2027-01-15T08:01:00Z'])
  assert.equal(grant?.expiresAtMs, 1_800_000_060_000)
  assert.deepEqual(grant.headers, { 'content-length': '1000', 'x-ms-blob-type': 'BlockBlob', 'if-none-match': '*' })
})

test('a grant of S3 signs length, checksum and condition as headers, and nothing of an empty body', async () => {
  const grant = await grantOf('s3://staging/here?region=eu-west-1', awsKeys)
  const url = new URL(grant.url)
  assert.equal(url.origin + url.pathname, `https://staging.s3.eu-west-1.amazonaws.com/here/${name}`)
  const signed = 'content-length;host;if-none-match;x-amz-checksum-sha256'
  assert.equal(url.searchParams.get('X-Amz-SignedHeaders'), signed)
  assert.equal(url.searchParams.get('X-Amz-Date'), '20270115T075500Z')
  assert.equal(url.searchParams.get('X-Amz-Expires'), String(60 + clockSkewWarnMs / 1000))
  assert.ok(!/checksum-crc|AAAAAA/i.test(grant.url))
  assert.equal(grant.expiresAtMs, 1_800_000_060_000)
  assert.deepEqual(grant.headers, {
    'content-length': '1000',
    'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64'),
    'if-none-match': '*',
  })
})

test('a grant ends with the credentials that have signed it', async () => {
  const nowMs = systemClock.nowMs()
  const expiration = new Date(nowMs + 600_000)
  const variables = {
    ...awsKeys,
    AWS_SESSION_TOKEN: 'token',
    AWS_CREDENTIAL_EXPIRATION: expiration.toISOString(),
  }
  // Where the SDK looks when it is given no keys.
  Object.assign(process.env, variables)
  try {
    const area = await open('s3://staging?region=eu-west-1', {}, nowMs)
    const ends = async (lifeMs: number): Promise<number> => (await area.grant(name, content, lifeMs)).expiresAtMs
    assert.equal(await ends(uploadGrantLifeMsMax), expiration.getTime())
    assert.equal(await ends(60_000), Math.floor((nowMs + 60_000) / 1000) * 1000)
    await area.close()
  } finally {
    for (const variable of Object.keys(variables)) Reflect.deleteProperty(process.env, variable)
  }
})

test('without credentials or region there is no grant on S3, and the error says which', async () => {
  const nowhere = {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_CONFIG_FILE: '/dev/null',
  }
  Object.assign(process.env, nowhere)
  try {
    await assert.rejects(grantOf('s3://staging?region=eu-west-1', {}), { code: 'E_STORE_DENIED' })
    await assert.rejects(grantOf('s3://staging', awsKeys), { code: 'E_STORE_URL' })
  } finally {
    for (const variable of Object.keys(nowhere)) Reflect.deleteProperty(process.env, variable)
  }
})
