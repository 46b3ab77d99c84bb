import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import {
  GetBucketLifecycleConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { systemClock, systemRandomBytes, type Clock } from '@strata/shared/clock.ts'
import { hasCode } from '@strata/shared/errors.ts'
import type { S3Rule } from '@strata/shared/lifecycle/s3-rules.ts'
import { readPolicy } from '@strata/shared/policy/policy.ts'
import { Repository } from '@strata/shared/repository/repository.ts'
import { retiredTags } from '@strata/shared/repository/retention/retired.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { openStore } from '@strata/shared/store/open-store.ts'
import { storeWith } from '@strata/shared/testing/store-with.ts'
import type { Lifecycle, LifecycleOutcome } from '@strata/workers/maintain/lifecycle/bucket-lifecycle.ts'
import { openLifecycle, type TenantPolicy } from '@strata/workers/maintain/lifecycle/open-lifecycle.ts'
import { pruneSet, type SetPruning } from '@strata/workers/maintain/retention/prune-set.ts'
import { undoMarks } from '@strata/workers/maintain/retention/undo.ts'
import { verifyPoints } from '@strata/workers/maintain/verify/verify-points.ts'
import { ReadPool } from '@strata/workers/read/read-pool.ts'
import { namesIn } from '../conformance/store-helpers.ts'
import { Place } from '../end-to-end/place.ts'
import { makeRepository } from '../fixtures/make-point.ts'
import { cephRgwRequirement, startCephRgw, type CephRgw } from '../servers/ceph-rgw.ts'
import { startFaultInjector } from '../servers/fault-injector.ts'
import { describeWith } from '../servers/require-server.ts'
import { assertWhole, emptyDisks, Machine, pointsOf } from './machine.ts'

/**
 * Lifecycle rules on a real S3 server whose day has ten seconds. Nothing of Strata runs while objects vanish. What is
 * not RGW's day is steered: the clock of the store and ours go on by whole days, since no undo window is shorter than one.
 */
const debugDaySeconds = 10
const vanishMsMax = 90_000
const dayMs = 24 * 3600_000
const prefix = 'vault'

describeWith(cephRgwRequirement, 'lifecycle rules on Ceph RGW', () => {
  let server: CephRgw
  let client: S3Client
  const pool = new ReadPool()
  let buckets = 0

  before(async () => {
    server = await startCephRgw({ settings: { 'rgw lc debug interval': debugDaySeconds } })
    const { endpoint, region, accessKeyId, secretAccessKey } = server
    client = new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
      maxAttempts: 1,
    })
  })
  after(async () => {
    client.destroy()
    await server.stop()
    await pool[Symbol.asyncDispose]()
  })

  async function newBucket(): Promise<string> {
    buckets += 1
    const bucket = `bucket-${String(buckets)}`
    await server.createBucket(bucket)
    return bucket
  }

  async function storeIn(bucket: string): Promise<ObjectStore> {
    const url = server.storeUrl(bucket, prefix)
    return await openStore(url, { env: server.env, clock: systemClock, randomBytes: systemRandomBytes })
  }

  async function withLifecycle(
    bucket: string,
    work: (lifecycle: Lifecycle) => Promise<LifecycleOutcome>,
    more: { readonly tenant?: TenantPolicy; readonly url?: string } = {},
  ): Promise<LifecycleOutcome> {
    const { tenant, url = server.storeUrl(bucket, prefix) } = more
    const lifecycle = await openLifecycle(url, { env: server.env, clock: systemClock, use: 'repository', tenant })
    try {
      return await work(lifecycle)
    } finally {
      await lifecycle.close()
    }
  }

  /** The same by way of somebody in between. */
  function urlBehind(origin: string, bucket: string): string {
    return server.storeUrl(bucket, prefix).replace(encodeURIComponent(server.endpoint), encodeURIComponent(origin))
  }

  const apply = (lifecycle: Lifecycle): Promise<LifecycleOutcome> => lifecycle.apply()
  const check = (lifecycle: Lifecycle): Promise<LifecycleOutcome> => lifecycle.check()

  async function rulesIn(bucket: string): Promise<S3Rule[]> {
    const { Rules = [] } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))
    return Rules
  }

  async function putRules(bucket: string, ...Rules: readonly S3Rule[]): Promise<void> {
    const LifecycleConfiguration = { Rules: [...Rules] }
    await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration }))
  }

  test('retired objects vanish with nobody there, live chains restore, and what was taken back stays', async () => {
    const bucket = await newBucket()
    const store = await storeIn(bucket)
    assert.equal((await withLifecycle(bucket, apply)).problem, undefined)
    const machine = await filledMachine(store)
    const { repository } = machine.owner
    const set = repository.setIdOf('machine')
    const prune = (days: number): Promise<SetPruning> => pruneLater(machine, days)

    await prune(0)
    assert.deepEqual(await undoMarks(repository, set), [1, 2, 3])
    assert.equal((await prune(1)).objects, 0)
    const before = await namesIn(store, '')
    const pruned = await prune(2)
    assert.ok(pruned.objects > 0)
    const doomed = await retiredAmong(store, before)
    assert.equal(doomed.size, pruned.objects)
    // One more is tagged by mistake, and that is taken back in time.
    const rescued = `tenants/${repository.tenant}/rescued`
    await store.put(rescued, [Buffer.from('fresh')])
    await store.setTags(rescued, retiredTags)
    await store.setTags(rescued, {})

    const expected = [...(await namesIn(store, '')).filter((name) => !doomed.has(name))].sort()
    assert.ok(expected.includes(rescued))
    await untilThereAre(store, expected)
    // A round or two more of the server's: nothing else goes.
    await sleep(2 * debugDaySeconds * 1000)
    assert.deepEqual(await namesIn(store, ''), expected)

    const { privateKey } = machine.owner
    const verified = await verifyPoints({ repository, privateKey, points: 'all', pool, clock: systemClock })
    assert.deepEqual([verified.damage, verified.history], [[], []])
    await assertWhole(pool, machine, await machine.newest())
    await store.close()
  })

  test('a rule that would delete what is needed is refused by name; harmless ones stay as they are', async () => {
    const bucket = await newBucket()
    const harmless: S3Rule[] = [
      { ID: 'drafts', Status: 'Enabled', Filter: { Prefix: 'drafts/' }, Expiration: { Days: 3 } },
      { ID: 'old-form', Status: 'Enabled', Prefix: 'old/', Expiration: { Days: 4 } },
      { ID: 'team', Status: 'Enabled', Filter: { Tag: { Key: 'team', Value: 'web' } }, Expiration: { Days: 5 } },
      { ID: 'off', Status: 'Disabled', Filter: { Prefix: '' }, Expiration: { Days: 1 } },
      {
        ID: 'until',
        Status: 'Enabled',
        Filter: { Prefix: 'reports/' },
        Expiration: { Date: new Date('2033-01-01T00:00:00Z') },
      },
      {
        ID: 'uploads',
        Status: 'Enabled',
        Filter: { Prefix: '' },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 30 },
      },
    ]
    const harmful: S3Rule = {
      ID: 'clean up after a year',
      Status: 'Enabled',
      Filter: { Prefix: 'va' },
      Expiration: { Days: 3650 },
    }
    await putRules(bucket, ...harmless, harmful)
    const before = await rulesIn(bucket)
    const { problem, report } = await withLifecycle(bucket, apply)
    assert.equal(problem?.code, 'E_LIFECYCLE_CONFLICT')
    assert.match(problem.message, /'clean up after a year' could delete objects that points need below va, 3650 days/)
    assert.deepEqual(
      [report.foreign.length, report.conflicts.map(({ name }) => name)],
      [before.length, ['clean up after a year']],
    )
    assert.deepEqual(await rulesIn(bucket), before)

    await putRules(bucket, ...harmless)
    const kept = await rulesIn(bucket)
    assert.equal((await withLifecycle(bucket, apply)).problem, undefined)
    assert.equal((await withLifecycle(bucket, check)).problem, undefined)
    const now = await rulesIn(bucket)
    assert.deepEqual(
      now.filter(({ ID = '' }) => !ID.startsWith('strata-')),
      kept,
    )
    assert.equal(now.length, kept.length + 2)

    // Another store in the same bucket has rules of its own, and each is as it should be.
    const other = { url: server.storeUrl(bucket, 'other') }
    assert.equal((await withLifecycle(bucket, apply, other)).problem, undefined)
    assert.equal((await withLifecycle(bucket, check)).problem, undefined)
    assert.equal((await rulesIn(bucket)).length, kept.length + 4)
  })

  test('classes by age; RGW 16 forgets a limit of size, so what needs one is refused and nothing is changed', async () => {
    const bucket = await newBucket()
    const { repository } = await makeRepository({ store: await storeIn(bucket) })
    const tenantOf = (...storageClass: readonly object[]): TenantPolicy => {
      const document = { strata: 'policy', version: 1, schedule: { every: '1d' }, storageClass }
      return { id: repository.tenant, policy: readPolicy(document).policy }
    }
    const colder = tenantOf({ afterDays: 30, class: 'infrequent' }, { afterDays: 90, class: 'archive-instant' })
    assert.equal((await withLifecycle(bucket, apply, { tenant: colder })).problem, undefined)
    assert.equal((await withLifecycle(bucket, check, { tenant: colder })).problem, undefined)
    const before = await rulesIn(bucket)
    assert.equal(before.filter(({ Transitions }) => Transitions?.length === 2).length, 1)
    const frozen = tenantOf({ afterDays: 400, class: 'deep-archive' })
    await assert.rejects(withLifecycle(bucket, apply, { tenant: frozen }), {
      code: 'E_LIFECYCLE_NOT_KEPT',
      message: /-archive; those from before were put back/,
    })
    assert.deepEqual(await rulesIn(bucket), before)
  })

  test('with versions there are rules for them; without, a policy with locks is refused', async () => {
    const bucket = await newBucket()
    const retention = { last: 3 }
    const immutability = { mode: 'governance', days: 366 }
    const document = { strata: 'policy', version: 1, schedule: { every: '1d' }, retention, immutability }
    const { repository } = await makeRepository({ store: await storeIn(bucket) })
    const tenant = { id: repository.tenant, policy: readPolicy(document).policy }
    const { problem } = await withLifecycle(bucket, apply, { tenant })
    assert.equal(problem?.code, 'E_STORE_UNVERSIONED')
    assert.match(problem.message, /no versioning, and the policy asks for locks of 366 days/)
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }))
    assert.equal((await withLifecycle(bucket, apply)).problem, undefined)
    assert.equal((await withLifecycle(bucket, check)).problem, undefined)
    assert.equal((await rulesIn(bucket)).length, 3)
  })

  test('a permission that is missing is named', async () => {
    const bucket = await newBucket()
    const injector = await startFaultInjector(server.endpoint)
    const body =
      '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message><RequestId>1</RequestId></Error>'
    const denied = { kind: 'answer', status: 403, headers: { 'content-type': 'application/xml' }, body } as const
    const missing = [
      ['GET', 'versioning', 's3:GetBucketVersioning'],
      ['GET', 'object-lock', 's3:GetBucketObjectLockConfiguration'],
      ['GET', 'lifecycle', 's3:GetLifecycleConfiguration'],
      ['PUT', 'lifecycle', 's3:PutLifecycleConfiguration'],
    ] as const
    const url = urlBehind(injector.origin, bucket)
    for (const [refusedMethod, question, permission] of missing) {
      injector.setPlan((request) =>
        request.method === refusedMethod && request.url.includes(`?${question}`) ? denied : undefined,
      )
      await assert.rejects(withLifecycle(bucket, apply, { url }), (error: Error & { hint?: string; code?: string }) => {
        assert.equal(error.code, 'E_STORE_DENIED')
        assert.match(error.message, new RegExp(`it takes the permission ${permission}$`))
        return true
      })
    }
    await injector.stop()
  })

  test('a member of a rule that the SDK would lose is found', async () => {
    const bucket = await newBucket()
    const injector = await startFaultInjector(server.endpoint)
    const rule = '<Rule><ID>x</ID><Status>Disabled</Status><Filter><Moon>blue</Moon></Filter></Rule>'
    const body = `<?xml version="1.0"?><LifecycleConfiguration>${rule}</LifecycleConfiguration>`
    injector.setPlan(({ method, url }) =>
      method === 'GET' && url.includes('?lifecycle') ? { kind: 'answer', status: 200, body } : undefined,
    )
    await assert.rejects(withLifecycle(bucket, apply, { url: urlBehind(injector.origin, bucket) }), {
      code: 'E_LIFECYCLE_LOSSY',
      message: /Moon$/,
    })
    assert.ok(injector.seen.every(({ method }) => method !== 'PUT'))
    await injector.stop()
  })

  test('the command: plan, check and prune tell that nothing expires, apply mends it', async () => {
    const bucket = await newBucket()
    await using place = await Place.empty({ ...server.env, STRATA_STORE: server.storeUrl(bucket, prefix) })
    await place.answers('init')
    interface Answer {
      readonly rules: readonly { readonly name: string; readonly state: string }[]
      readonly foreign: readonly unknown[]
      readonly conflicts: readonly unknown[]
    }
    const planned = await place.answers<Answer>('lifecycle', 'plan')
    assert.deepEqual([planned.rules.map(({ state }) => state), planned.foreign], [['missing', 'missing'], []])
    const unchecked = await place.run(['--json', 'lifecycle', 'check'])
    assert.equal(unchecked.exitCode, 1)
    assert.match(unchecked.messages, /E_LIFECYCLE_DRIFT/)
    assert.deepEqual(Object.keys(JSON.parse(unchecked.output) as object).slice(-3), ['rules', 'foreign', 'conflicts'])

    await writeFile(place.file('policy.json'), '{ "schedule": { "every": "1d" }, "retention": { "last": 2 } }')
    await place.answers('policy', 'apply', 'policy.json')
    const warned = await place.answers<{ warnings: { code: string }[] }>('prune')
    assert.deepEqual(
      warned.warnings.map(({ code }) => code),
      ['W_NOTHING_EXPIRES'],
    )
    await place.answers('lifecycle', 'apply')
    assert.equal((await place.run(['lifecycle', 'check'])).exitCode, 0)
    assert.deepEqual((await place.answers<{ warnings: unknown[] }>('prune')).warnings, [])
    const shown = await place.run(['lifecycle', 'plan'])
    assert.match(
      shown.output,
      /^bucket .*\nRULE +STATE +WHAT IT DOES\nstrata-\S+-expire-retired +as-wanted +deletes retired/,
    )
  })
})

/** A full and four increments, in which much lives and a pack or two do not after the third. */
async function filledMachine(store: ObjectStore): Promise<Machine> {
  const machine = new Machine(await makeRepository({ store }), emptyDisks(40))
  machine.write(0, ...Array.from({ length: 24 }, (_, block) => block), 39)
  machine.write(1, 0, 1, 2, 3, 4, 5, 6, 7)
  await machine.backUp('full')
  machine.write(0, 0, 1, 2, 3, 30, 31)
  await machine.backUp()
  machine.write(0, 30, 31, 32)
  await machine.backUp()
  machine.write(1, 0, 19)
  await machine.backUp()
  machine.write(0, 33)
  await machine.backUp()
  assert.equal((await pointsOf(machine.owner.repository)).length, 5)
  return machine
}

/** Which of them carry the tag; of what is gone already, it did. */
async function retiredAmong(store: ObjectStore, names: readonly string[]): Promise<Set<string>> {
  const retired = new Set<string>()
  for (const name of names) {
    const tags = await store.tags(name).catch((error: unknown) => {
      if (hasCode(error, 'E_OBJECT_MISSING')) return retiredTags
      throw error
    })
    if (isDeepStrictEqual({ ...tags }, retiredTags)) retired.add(name)
  }
  return retired
}

async function untilThereAre(store: ObjectStore, expected: readonly string[]): Promise<void> {
  const startedMs = systemClock.monotonicMs()
  for (;;) {
    const there = await namesIn(store, '')
    if (isDeepStrictEqual(there, expected)) return
    if (systemClock.monotonicMs() - startedMs > vanishMsMax) assert.deepEqual(there, expected)
    await sleep(500)
  }
}

/** As if so many days had passed, for the store and for us. The tags that it sets are real. */
async function pruneLater({ owner }: Machine, days: number): Promise<SetPruning> {
  const later: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + days * dayMs }
  const store = storeWith(owner.store, { now: async () => (await owner.store.now()) + days * dayMs })
  const repository = new Repository(store, owner.repository.ingestKeys, owner.random)
  const retention = { last: 2, undoWindow: '1d' }
  const { policy } = readPolicy({ strata: 'policy', version: 1, schedule: { every: '1d' }, retention })
  const set = repository.setIdOf('machine')
  return await pruneSet({ repository, set, policy, policyVersion: 1, clock: later, dryRun: false })
}
