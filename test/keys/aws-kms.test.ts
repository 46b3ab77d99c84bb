import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, beforeEach, suite, test } from 'node:test'
import { hasCode, type ErrorCode } from '@strata/shared/errors.ts'
import type { KeyProvider } from '@strata/shared/keys/key-provider.ts'
import { keyProviders } from '@strata/shared/keys/key-providers.ts'
import { asId, type Id, type TenantId } from '@strata/shared/types.ts'
import { FakeKms } from '../servers/fake-kms.ts'

/** The real SDK against a fake of the service: see FakeKms for what that shows, and what not. */
suite('AWS KMS', () => {
  const tenant = { repositoryId: asId<Id>('a'.repeat(32)), tenantId: asId<TenantId>('b'.repeat(32)) }
  const secret = randomBytes(32)
  let kms: FakeKms
  let provider: KeyProvider

  before(async () => {
    kms = await FakeKms.start()
    provider = keyProviders({ env: kms.env })
  })
  beforeEach(() => {
    for (const permission of ['kms:Encrypt', 'kms:Decrypt']) kms.allowed.add(permission)
    kms.failures.length = 0
    kms.requests.length = 0
  })
  after(() => kms[Symbol.asyncDispose]())

  const refusing = (code: ErrorCode, message: RegExp) => (error: unknown) => {
    assert.ok(hasCode(error, code), String(error))
    assert.match(error.message, message)
    return true
  }

  test('wraps by alias, id or ARN, keeps the ARN, and unwraps by it', async () => {
    for (const name of [kms.alias, kms.keyArn, kms.keyArn.split('/')[1] ?? '']) {
      const wrapped = await provider.wrap('awsKms', name, secret, tenant)
      assert.equal(wrapped.key, kms.keyArn)
      assert.deepEqual(Buffer.from((await provider.unwrap('awsKms', wrapped, tenant)) ?? []), secret)
    }
    const context = { 'strata:repository': tenant.repositoryId, 'strata:tenant': tenant.tenantId }
    assert.deepEqual(kms.requests.slice(0, 2), [
      { operation: 'Encrypt', context },
      { operation: 'Decrypt', context },
    ])
  })

  test("another tenant's context, and altered ciphertext, do not unwrap", async () => {
    const wrapped = await provider.wrap('awsKms', kms.alias, secret, tenant)
    const other = { ...tenant, tenantId: asId<TenantId>('c'.repeat(32)) }
    assert.equal(await provider.unwrap('awsKms', wrapped, other), undefined)
    const altered = Uint8Array.from(wrapped.wrapped)
    altered[40] = (altered[40] ?? 0) ^ 1
    assert.equal(await provider.unwrap('awsKms', { ...wrapped, wrapped: altered }, tenant), undefined)
  })

  test('a permission that is missing is named, with the key', async () => {
    const wrapped = await provider.wrap('awsKms', kms.alias, secret, tenant)
    kms.allowed.clear()
    const decrypt = provider.unwrap('awsKms', wrapped, tenant)
    await assert.rejects(decrypt, refusing('E_KEY_DENIED', /does not let .* use kms:Decrypt on arn:aws:kms:/))
    const encrypt = provider.wrap('awsKms', kms.alias, secret, tenant)
    await assert.rejects(encrypt, refusing('E_KEY_DENIED', /use kms:Encrypt on alias\/strata/))
  })

  test('throttling is waited for a little, and then told as such', async () => {
    kms.failures.push('ThrottlingException')
    const wrapped = await provider.wrap('awsKms', kms.alias, secret, tenant)
    assert.equal(kms.requests.length, 2)
    kms.failures.push(...Array<string>(8).fill('ThrottlingException'))
    await assert.rejects(provider.unwrap('awsKms', wrapped, tenant), refusing('E_KEY_PROVIDER_AWAY', /Throttling/))
  })

  test('a key that is disabled, going to be deleted or not there is named as such', async () => {
    for (const name of ['DisabledException', 'KMSInvalidStateException', 'NotFoundException']) {
      kms.failures.push(name)
      const wrapping = provider.wrap('awsKms', kms.alias, secret, tenant)
      await assert.rejects(wrapping, refusing('E_KEY_PROVIDER', new RegExp(name)))
    }
    const unknown = provider.wrap('awsKms', 'alias/none', secret, tenant)
    await assert.rejects(unknown, refusing('E_KEY_PROVIDER', /NotFoundException.*alias\/none/))
  })

  test('credentials that are wrong or old, and none', async () => {
    for (const name of ['UnrecognizedClientException', 'ExpiredTokenException', 'InvalidSignatureException']) {
      kms.failures.push(name)
      await assert.rejects(
        provider.wrap('awsKms', kms.alias, secret, tenant),
        refusing('E_KEY_DENIED', new RegExp(name)),
      )
    }
  })

  test('no service there', async () => {
    const env = { ...kms.env, AWS_ENDPOINT_URL_KMS: 'http://127.0.0.1:9' }
    const wrapping = keyProviders({ env }).wrap('awsKms', kms.alias, secret, tenant)
    await assert.rejects(wrapping, refusing('E_KEY_PROVIDER_AWAY', /ECONNREFUSED/))
  })

  test('a wrap that names something else than a key of KMS is damaged, and nobody is asked', async () => {
    const foreign = { key: 'arn:aws:s3:::bucket', wrapped: secret }
    await assert.rejects(provider.unwrap('awsKms', foreign, tenant), refusing('E_FORMAT_DAMAGED', /no key of AWS KMS/))
    assert.equal(kms.requests.length, 0)
  })
})
