import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { hasCode, type ErrorCode } from '@strata/shared/errors.ts'
import type { KeyProvider } from '@strata/shared/keys/key-provider.ts'
import { keyProviders } from '@strata/shared/keys/key-providers.ts'
import { asId, type Id, type TenantId } from '@strata/shared/types.ts'
import { Authority, certificateRequirement } from '../fixtures/certificates.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { FakeKeyVault } from '../servers/fake-key-vault.ts'
import { describeWith } from '../servers/require-server.ts'

/** The real SDK against a fake of the service: see FakeKeyVault for what that shows, and what not. */
describeWith(certificateRequirement, 'Azure Key Vault', () => {
  const tenant = { repositoryId: asId<Id>('a'.repeat(32)), tenantId: asId<TenantId>('b'.repeat(32)) }
  const secret = randomBytes(32)
  let directory: TemporaryDirectory
  let vault: FakeKeyVault
  let provider: KeyProvider
  let scopes: unknown[]

  before(async () => {
    directory = await temporaryDirectory()
    const authority = await Authority.create(directory.path, 'authority')
    const certificate = await authority.issue('vault', `DNS:${FakeKeyVault.host}`)
    vault = await FakeKeyVault.start(certificate, authority.certPath)
  })
  beforeEach(() => {
    for (const operation of ['get', 'wrapKey', 'unwrapKey']) vault.allowed.add(operation)
    vault.failures.length = 0
    vault.requests.length = 0
    vault.isEnabled = true
    scopes = []
    const expiresOnTimestamp = Date.now() + 3600_000
    const getToken = (scope: unknown): Promise<{ token: string; expiresOnTimestamp: number }> => {
      scopes.push(scope)
      return Promise.resolve({ token: vault.token, expiresOnTimestamp })
    }
    provider = keyProviders({ env: {}, azure: { agent: vault.agent(), credential: { getToken } } })
  })
  after(async () => {
    await vault[Symbol.asyncDispose]()
    await directory[Symbol.asyncDispose]()
  })

  const refusing = (code: ErrorCode, message: RegExp) => (error: unknown) => {
    assert.ok(hasCode(error, code), String(error))
    assert.match(error.message, message)
    return true
  }

  test('wraps and unwraps by RSA-OAEP-256 at the vault, with a token that the vault has asked for', async () => {
    const wrapped = await provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
    assert.equal(wrapped.key, vault.keyUrl)
    assert.equal(wrapped.wrapped.length, 256)
    assert.deepEqual(Buffer.from((await provider.unwrap('azureKeyVault', wrapped, tenant)) ?? []), secret)
    assert.equal(vault.requests[0]?.authorized, false)
    assert.ok(vault.requests.some(({ line, authorized }) => /^POST .*\/wrapkey$/.test(line) && authorized))
    assert.ok(vault.requests.some(({ line, authorized }) => /^POST .*\/unwrapkey$/.test(line) && authorized))
    for (const scope of scopes) assert.deepEqual(scope, ['https://vault.azure.net/.default'])
  })

  test('the permission to look at the key is not needed', async () => {
    vault.allowed.delete('get')
    const wrapped = await provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
    assert.deepEqual(Buffer.from((await provider.unwrap('azureKeyVault', wrapped, tenant)) ?? []), secret)
  })

  test('a permission that is missing is named, with the key', async () => {
    const wrapped = await provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
    vault.allowed.delete('unwrapKey')
    vault.allowed.delete('wrapKey')
    const unwrapping = provider.unwrap('azureKeyVault', wrapped, tenant)
    await assert.rejects(
      unwrapping,
      refusing('E_KEY_DENIED', /does not let .* use unwrapKey with https:\/\/strata-test\./),
    )
    const wrapping = provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
    await assert.rejects(wrapping, (error) => {
      assert.ok(hasCode(error, 'E_KEY_DENIED'))
      assert.match(error.hint, /Microsoft\.KeyVault\/vaults\/keys\/wrap\/action/)
      return true
    })
  })

  test('what the key has not wrapped does not unwrap', async () => {
    assert.equal(
      await provider.unwrap('azureKeyVault', { key: vault.keyUrl, wrapped: randomBytes(256) }, tenant),
      undefined,
    )
  })

  test('a key that is disabled or not there, and a vault that has too much to do', async () => {
    const missing = vault.keyUrl.replace('/tenants/', '/others/')
    await assert.rejects(
      provider.wrap('azureKeyVault', missing, secret, tenant),
      refusing('E_KEY_PROVIDER', /KeyNotFound/),
    )
    vault.isEnabled = false
    await assert.rejects(
      provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant),
      refusing('E_KEY_PROVIDER', /disabled/),
    )
    vault.isEnabled = true
    vault.failures.push(...Array<number>(12).fill(503))
    const wrapping = provider.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
    await assert.rejects(wrapping, refusing('E_KEY_PROVIDER_AWAY', /wrapKey/))
  })

  test('a token goes to no host that is no vault, and a key has a version', async () => {
    const wrong = [
      'https://vault.example.org',
      'http://strata-test.vault.azure.net',
      'https://x.vault.azure.net.evil.org',
    ]
    for (const host of wrong) {
      const key = vault.keyUrl.replace(`https://${FakeKeyVault.host}`, host)
      await assert.rejects(
        provider.unwrap('azureKeyVault', { key, wrapped: secret }, tenant),
        refusing('E_KEY_PROVIDER', /no key of a vault/),
      )
    }
    const unversioned = vault.keyUrl.slice(0, vault.keyUrl.lastIndexOf('/'))
    await assert.rejects(
      provider.wrap('azureKeyVault', unversioned, secret, tenant),
      refusing('E_KEY_PROVIDER', /no key/),
    )
    assert.deepEqual(scopes, [])
  })

  test("the SDK's own chain of credentials: a managed identity is asked for a token, and one that is not there is told", async () => {
    const asked: string[] = []
    const identity = createServer((request, response) => {
      asked.push(`${request.url ?? ''} ${String(request.headers['x-identity-header'])}`)
      const expires_on = Math.floor(Date.now() / 1000) + 3600
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({
          access_token: vault.token,
          expires_on,
          resource: 'https://vault.azure.net',
          token_type: 'Bearer',
        }),
      )
    })
    await new Promise<void>((resolve) => identity.listen(0, '127.0.0.1', resolve))
    const { port } = identity.address() as AddressInfo
    const before = { ...process.env }
    process.env['AZURE_TOKEN_CREDENTIALS'] = 'ManagedIdentityCredential'
    process.env['IDENTITY_ENDPOINT'] = `http://127.0.0.1:${String(port)}/msi/token`
    process.env['IDENTITY_HEADER'] = 'a secret of the host'
    try {
      const chain = keyProviders({ env: {}, azure: { agent: vault.agent() } })
      const wrapped = await chain.wrap('azureKeyVault', vault.keyUrl, secret, tenant)
      assert.deepEqual(Buffer.from((await chain.unwrap('azureKeyVault', wrapped, tenant)) ?? []), secret)
      assert.match(
        asked[0] ?? '',
        /^\/msi\/token\?.*resource=https(:|%3A)(\/|%2F){2}vault\.azure\.net.* a secret of the host$/,
      )
      process.env['AZURE_TOKEN_CREDENTIALS'] = 'EnvironmentCredential'
      const nobody = keyProviders({ env: {}, azure: { agent: vault.agent() } })
      await assert.rejects(nobody.unwrap('azureKeyVault', wrapped, tenant), refusing('E_KEY_DENIED', /use unwrapKey/))
    } finally {
      process.env = before
      identity.close()
    }
  })
})
