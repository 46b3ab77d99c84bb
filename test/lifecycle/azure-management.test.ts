import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createDefaultHttpClient } from '@azure/core-rest-pipeline'
import { systemClock } from '@strata/shared/clock.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { asId, type TenantId } from '@strata/shared/types.ts'
import { expiryWarning } from '@strata/workers/maintain/lifecycle/expiry.ts'
import { openLifecycle, type OpenLifecycleOptions } from '@strata/workers/maintain/lifecycle/open-lifecycle.ts'
import type { Lifecycle } from '@strata/workers/maintain/lifecycle/bucket-lifecycle.ts'
import { readFile } from 'node:fs/promises'
import { Authority, certificateRequirement } from '../fixtures/certificates.ts'
import { temporaryDirectory, type TemporaryDirectory } from '../fixtures/temporary.ts'
import { startFakeManagement, type FakeManagement } from '../servers/fake-azure-management.ts'
import { describeWith } from '../servers/require-server.ts'

/** The management policy of a storage account, by the SDK's own pipeline, over TLS, against a FAKE of ARM. */
const url = 'azure://vault/backup'
const account = '/subscriptions/s-1/resourceGroups/g-1/providers/Microsoft.Storage/storageAccounts/acme'

describeWith(certificateRequirement, "lifecycle rules against a fake of Azure's management", () => {
  let directory: TemporaryDirectory
  let fake: FakeManagement
  let options: OpenLifecycleOptions

  before(async () => {
    directory = await temporaryDirectory()
    const authority = await Authority.create(directory.path, 'authority')
    const certificate = await authority.issue('management', 'IP:127.0.0.1')
    fake = await startFakeManagement({ ...certificate, token: 'secret-token', account })
    const ca = await readFile(authority.certPath, 'utf8')
    const client = createDefaultHttpClient()
    options = {
      env: {
        STRATA_AZURE_SUBSCRIPTION: 's-1',
        STRATA_AZURE_RESOURCE_GROUP: 'g-1',
        AZURE_STORAGE_ACCOUNT: 'acme',
        STRATA_AZURE_MANAGEMENT_URL: fake.url,
      },
      clock: systemClock,
      use: 'repository',
      azureAccess: {
        credential: { getToken: () => Promise.resolve({ token: 'secret-token', expiresOnTimestamp: Infinity }) },
        client: { sendRequest: (request) => client.sendRequest({ ...request, tlsSettings: { ca } }) },
      },
    }
  })
  after(async () => {
    await fake.stop()
    await directory[Symbol.asyncDispose]()
  })

  function opened(more: Partial<OpenLifecycleOptions> = {}): Promise<Lifecycle> {
    return openLifecycle(url, { ...options, ...more })
  }

  const logs = {
    enabled: true,
    name: 'logs',
    type: 'Lifecycle',
    // A member that no SDK of today has goes back as it came.
    definition: {
      filters: { blobTypes: ['blockBlob'], prefixMatch: ['logs/'], moonPhase: 'full' },
      actions: { baseBlob: { delete: { daysAfterCreationGreaterThan: 1 } } },
    },
  }

  test('applied beside the rules of others, checked, and found when it is gone', async () => {
    fake.rules = undefined
    const lifecycle = await opened()
    assert.equal((await expiryWarning(url, options))?.code, 'W_NOTHING_EXPIRES')
    fake.rules = [logs]
    assert.equal((await lifecycle.apply()).problem, undefined)
    assert.equal((await lifecycle.check()).problem, undefined)
    assert.equal(await expiryWarning(url, options), undefined)
    assert.deepEqual(fake.rules[0], logs)
    assert.equal(fake.rules.length, 2)
    fake.rules = [logs]
    assert.equal((await lifecycle.check()).problem?.code, 'E_LIFECYCLE_DRIFT')
  })

  test('tiers by age, and a rule that would freeze is refused by name', async () => {
    const storageClass = [{ afterDays: 30, class: 'infrequent' }]
    const { policy } = readPolicy({ strata: 'policy', version: 1, schedule: { every: '1d' }, storageClass })
    const lifecycle = await opened({ tenant: { id: asId<TenantId>('a'.repeat(32)), policy } })
    fake.rules = [logs]
    assert.equal((await lifecycle.apply()).report.rules.length, 2)
    assert.match(JSON.stringify(fake.rules), /vault\/backup\/tenants\/a{32}\/chains\/.*tierToCool/)
    const freezing = {
      name: 'frost',
      enabled: true,
      type: 'Lifecycle',
      definition: {
        filters: { blobTypes: ['blockBlob'] },
        actions: { baseBlob: { tierToArchive: { daysAfterModificationGreaterThan: 90 } } },
      },
    }
    fake.rules = [logs, freezing]
    const { problem } = await lifecycle.apply()
    assert.equal(problem?.code, 'E_LIFECYCLE_CONFLICT')
    assert.match(problem.message, /'frost' could freeze objects that points need/)
    assert.deepEqual(fake.rules, [logs, freezing])
  })

  test('a permission that is missing is named, and locks need versions', async () => {
    const lifecycle = await opened()
    fake.rules = undefined
    for (const right of ['managementPolicies/read', 'managementPolicies/write', 'blobServices/read']) {
      fake.granted.delete(right)
      await assert.rejects(lifecycle.apply(), {
        code: 'E_STORE_DENIED',
        message: new RegExp(`takes the permission Microsoft.Storage/storageAccounts/${right}$`),
      })
      fake.granted.add(right)
    }
    const immutability = { mode: 'compliance', days: 400 }
    const document = { schedule: { every: '1d' }, retention: { last: 1 }, immutability }
    const { policy } = readPolicy({ strata: 'policy', version: 1, ...document })
    const locked = await opened({ tenant: { id: asId<TenantId>('a'.repeat(32)), policy } })
    assert.equal((await locked.apply()).problem?.code, 'E_STORE_UNVERSIONED')
    fake.isVersioningEnabled = true
    assert.equal((await locked.apply()).problem, undefined)
  })

  test('no token, no answer, and an account that is named in part', async () => {
    const credential = { getToken: () => Promise.reject(new Error('secret')) }
    const tokenless = await opened({ azureAccess: { ...options.azureAccess, credential } })
    await assert.rejects(tokenless.check(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'E_STORE_DENIED')
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
    const nowhere = { ...options.env, STRATA_AZURE_MANAGEMENT_URL: 'https://127.0.0.1:1' }
    await assert.rejects((await opened({ env: nowhere })).check(), { code: 'E_STORE_UNREACHABLE' })
    await assert.rejects(opened({ env: { STRATA_AZURE_SUBSCRIPTION: 's-1' } }), { code: 'E_CONFIGURATION' })
  })

  test('without an account to ask, plan shows what to give to it, and nothing else is done', async () => {
    const lifecycle = await opened({ env: {} })
    const { report } = await lifecycle.plan()
    assert.deepEqual(
      report.rules.map(({ state }) => state),
      ['missing'],
    )
    await assert.rejects(lifecycle.apply(), { code: 'E_CONFIGURATION' })
    assert.equal((await expiryWarning(url, { ...options, env: {} }))?.code, 'W_EXPIRY_UNKNOWN')
  })
})
