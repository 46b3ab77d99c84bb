import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../errors.ts'
import { asId, type TenantId } from '../types.ts'
import { azureDialect, s3Dialect } from './dialects.ts'
import { judgeRules } from './judge.ts'
import { compileLifecycle, describeRule, type LifecycleInput, type TenantClasses } from './rules.ts'
import { s3Dangers } from './s3-dangers.ts'
import type { S3Rule } from './s3-rules.ts'
import type { LifecycleScope } from './scope.ts'

/** What is compiled, in full; and which rules of others are harmless, one by one. */
const tenant = asId<TenantId>('0123456789abcdef0123456789abcdef')
const classes: TenantClasses = {
  id: tenant,
  chainAgeDaysMax: 180,
  classes: [
    { afterDays: 30, class: 'infrequent' },
    { afterDays: 90, class: 'archive-instant' },
    { afterDays: 400, class: 'deep-archive' },
  ],
}
const inS3 = { use: 'repository', provider: 's3', prefix: 'backup/', keepsVersions: true } as const
const scope: LifecycleScope = { use: 'repository', prefix: 'backup/', keepsVersions: true }

function compiled(input: LifecycleInput): S3Rule[] {
  return compileLifecycle(input).map(s3Dialect(scope).compile)
}

test('the rules of a repository on S3', () => {
  const rules = compiled({ ...inS3, tenant: classes })
  // Of the store's prefix. An id that changed would leave the rules of today behind, for nobody to remove.
  const start = 'strata-566faf8de07e-'
  assert.deepEqual(
    rules.map(({ ID }) => ID),
    [
      `${start}expire-retired`,
      `${start}remove-delete-markers`,
      `${start}abort-uploads`,
      `${start}tenant-${tenant}-classes`,
      `${start}tenant-${tenant}-archive`,
    ],
  )
  const withoutIds = rules.map(({ ID: _, ...rule }) => rule)
  const chains = `backup/tenants/${tenant}/chains/`
  assert.deepEqual(withoutIds, [
    {
      Status: 'Enabled',
      Filter: { And: { Prefix: 'backup/tenants/', Tags: [{ Key: 'strata-state', Value: 'retired' }] } },
      Expiration: { Days: 1 },
      NoncurrentVersionExpiration: { NoncurrentDays: 7 },
    },
    {
      Status: 'Enabled',
      Filter: { Prefix: 'backup/tenants/' },
      Expiration: { ExpiredObjectDeleteMarker: true },
    },
    {
      Status: 'Enabled',
      Filter: { Prefix: 'backup/tenants/' },
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
    },
    {
      Status: 'Enabled',
      Filter: { Prefix: chains },
      Transitions: [
        { Days: 30, StorageClass: 'STANDARD_IA' },
        { Days: 90, StorageClass: 'GLACIER_IR' },
      ],
    },
    {
      Status: 'Enabled',
      Filter: { And: { Prefix: chains, ObjectSizeGreaterThan: 64 * 1024 ** 2 } },
      Transitions: [{ Days: 400, StorageClass: 'DEEP_ARCHIVE' }],
    },
  ])
  const plain = compiled({ ...inS3, keepsVersions: false })
  assert.deepEqual(
    plain.map((rule) => [rule.Expiration, rule.NoncurrentVersionExpiration]),
    [
      [{ Days: 1 }, undefined],
      [undefined, undefined],
    ],
  )
})

test('the rules of a repository on Azure', () => {
  const dialect = azureDialect('vault', { use: 'repository', prefix: 'backup/', keepsVersions: false })
  const input = {
    use: 'repository',
    provider: 'azure',
    prefix: 'backup/',
    keepsVersions: true,
    tenant: { ...classes, classes: classes.classes.slice(0, 2) },
  } as const
  const rules = compileLifecycle(input).map(dialect.compile)
  assert.ok(rules.every(({ name }) => /^strata[A-Za-z0-9]+$/.test(name)))
  assert.deepEqual(
    rules.map(({ name }) => dialect.shortNameOf(name)),
    ['expire-retired', `tenant-${tenant}-classes`],
  )
  assert.deepEqual(
    rules.map(({ name: _, ...rule }) => rule),
    [
      {
        enabled: true,
        type: 'Lifecycle',
        definition: {
          filters: {
            blobTypes: ['blockBlob'],
            prefixMatch: ['vault/backup/tenants/'],
            blobIndexMatch: [{ name: 'strata-state', op: '==', value: 'retired' }],
          },
          actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 1 } } },
        },
      },
      {
        enabled: true,
        type: 'Lifecycle',
        definition: {
          filters: { blobTypes: ['blockBlob'], prefixMatch: [`vault/backup/tenants/${tenant}/chains/`] },
          actions: {
            baseBlob: {
              tierToCool: { daysAfterModificationGreaterThan: 30 },
              tierToCold: { daysAfterModificationGreaterThan: 90 },
            },
          },
        },
      },
    ],
  )
})

test('the rules of a staging area', () => {
  const rules = compileLifecycle({ use: 'staging', provider: 's3', prefix: '' })
  assert.deepEqual(rules.map(describeRule), ['deletes objects after 14 days', 'ends broken uploads after 7 days'])
})

test('what a policy wants and rules cannot do safely is refused, with what to write instead', () => {
  const refused = (provider: 's3' | 'azure', rules: TenantClasses['classes']): string => {
    try {
      compileLifecycle({ ...inS3, provider, tenant: { ...classes, classes: rules } })
    } catch (error) {
      assert.ok(hasCode(error, 'E_LIFECYCLE_IMPOSSIBLE'))
      return error.message
    }
    assert.fail('it was compiled')
  }
  assert.match(refused('s3', [{ afterDays: 90, class: 'archive' }]), /live for up to 180 days.*at least 210/)
  assert.match(refused('azure', [{ afterDays: 900, class: 'archive' }]), /maps would be frozen/)
  assert.match(refused('s3', [{ afterDays: 7, class: 'infrequent' }]), /30 days at the earliest/)
  const tooSoon = [
    { afterDays: 30, class: 'infrequent' },
    { afterDays: 45, class: 'archive-instant' },
  ] as const
  assert.match(refused('s3', tooSoon), /30 days after infrequent/)
})

const expiring = { ID: 'x', Status: 'Enabled', Expiration: { Days: 30 } } as const

test('rules of others that cannot meet what is needed are harmless', () => {
  const harmless: Record<string, Partial<S3Rule>> = {
    disabled: { Status: 'Disabled' },
    'another prefix': { Filter: { Prefix: 'logs/' } },
    'beside ours': { Filter: { Prefix: 'backup/reports/' } },
    'deprecated prefix': { Prefix: 'logs/' },
    'a name that none of ours can have': { Filter: { Prefix: 'backup/tenants/X' } },
    'a tag that we never set': { Filter: { Tag: { Key: 'team', Value: 'web' } } },
    'our own tag': { Filter: { And: { Prefix: '', Tags: [{ Key: 'strata-state', Value: 'retired' }] } } },
    'prefix and tag side by side, as RGW has it': { Filter: { Prefix: '', Tag: { Key: 'a', Value: 'b' } } },
    'larger than any pack': { Filter: { ObjectSizeGreaterThan: 5 * 1024 ** 3 } },
    'empty objects': { Filter: { ObjectSizeLessThan: 1 } },
    'delete markers': { Expiration: { ExpiredObjectDeleteMarker: true } },
    'a class that can be read': { Expiration: undefined, Transitions: [{ Days: 1, StorageClass: 'STANDARD_IA' }] },
    'uploads after a week': { Expiration: undefined, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } },
  }
  for (const [what, change] of Object.entries(harmless)) {
    assert.deepEqual(s3Dangers({ ...expiring, ...change }, scope), [], what)
  }
})

test('rules of others that could do harm say which, and to what', () => {
  const moves = (StorageClass: string) =>
    ({ Expiration: undefined, Transitions: [{ Days: 0, StorageClass }] }) as Partial<S3Rule>
  const harmful: [what: string, change: Partial<S3Rule>, could: RegExp][] = [
    ['everything', {}, /^delete objects that points need, 30 days after/],
    ['an empty prefix', { Filter: { Prefix: '' } }, /^delete/],
    ['above ours', { Filter: { Prefix: 'back' } }, /below back, 30 days/],
    ['deprecated prefix', { Prefix: 'backup/' }, /below backup\//],
    ['one tenant', { Filter: { Prefix: `backup/tenants/${tenant}/` } }, /^delete/],
    ['the document of the repository', { Filter: { Prefix: 'backup/repo' } }, /^delete/],
    ['a size', { Filter: { ObjectSizeGreaterThan: 1000 } }, /larger than 1000 bytes/],
    ['size and prefix', { Filter: { And: { Prefix: 'b', ObjectSizeLessThan: 9 } } }, /below b smaller than 9 bytes/],
    ['a date', { Expiration: { Date: new Date('2031-01-01T00:00:00Z') } }, /from 2031-01-01T00:00:00.000Z on/],
    ['Glacier', moves('GLACIER'), /^freeze objects that points need, in GLACIER/],
    ['a class that nobody knows', moves('TAPE'), /^freeze .* in TAPE/],
    ['intelligent tiering', moves('INTELLIGENT_TIERING'), /^freeze/],
    [
      'versions',
      { Expiration: undefined, NoncurrentVersionExpiration: { NoncurrentDays: 90, NewerNoncurrentVersions: 3 } },
      /^delete older versions of objects that points need, after 90 days/,
    ],
    [
      'versions into Glacier',
      { Expiration: undefined, NoncurrentVersionTransitions: [{ NoncurrentDays: 1, StorageClass: 'DEEP_ARCHIVE' }] },
      /^freeze older versions/,
    ],
    [
      'uploads after a day',
      { Expiration: undefined, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } },
      /^end uploads of synthetic fulls/,
    ],
  ]
  for (const [what, change, could] of harmful) {
    const [danger = 'harmless', ...more] = s3Dangers({ ...expiring, ...change }, scope)
    assert.match(danger, could, what)
    assert.deepEqual(more, [], what)
  }
  const versions = { NoncurrentVersionExpiration: { NoncurrentDays: 1 } }
  assert.deepEqual(s3Dangers({ ID: 'x', Status: 'Enabled', ...versions }, { ...scope, keepsVersions: false }), [])
  const staging: LifecycleScope = { ...scope, use: 'staging' }
  assert.match(s3Dangers({ ...expiring, Expiration: { Days: 13 } }, staging)[0] ?? '', /no worker has packed yet/)
  assert.deepEqual(s3Dangers(expiring, staging), [])
})

test('ours are told from those of others, of other stores and of other tenants in the same bucket', () => {
  const dialect = s3Dialect(scope)
  const wanted = compileLifecycle({ ...inS3, tenant: classes })
  const own = wanted.map(dialect.compile)
  const otherTenant = { ...classes, id: asId<TenantId>('f'.repeat(32)) }
  const ofOtherTenant = compileLifecycle({ ...inS3, tenant: otherTenant })
    .map(dialect.compile)
    .slice(3)
  const otherScope = { ...scope, prefix: 'other/' }
  const ofOtherStore = compileLifecycle({ ...inS3, prefix: 'other/' }).map(s3Dialect(otherScope).compile)
  const foreign = [expiringLogs, ...ofOtherTenant, ...ofOtherStore]
  const all = judgeRules([...own.toReversed(), ...foreign], wanted, dialect, tenant)
  assert.deepEqual(new Set(all.rules.map(({ state }) => state)), new Set(['as-wanted']))
  assert.deepEqual([all.foreign.map(({ rule }) => rule), all.conflicts], [foreign, []])
  assert.deepEqual(all.next, [...foreign, ...own])

  const [expire = {} as S3Rule, ...rest] = own
  // Somebody took the tag out of it: all would be deleted, and apply mends it.
  const broken: S3Rule = { ...expire, Filter: { Prefix: 'backup/' } }
  const outdated = judgeRules([broken, ...rest, { ...expire, ID: `${expire.ID ?? ''}-old` }], wanted, dialect, tenant)
  assert.deepEqual(
    outdated.rules.map(({ state }) => state),
    ['outdated', ...rest.map(() => 'as-wanted'), 'left-over'],
  )
  assert.match(outdated.rules[0]?.could.join() ?? '', /^delete objects that points need/)
  assert.deepEqual([outdated.conflicts, outdated.next], [[], own])

  // Under the name of another tenant's rule, and nothing that would be compiled for one.
  const posing: S3Rule = { ...ofOtherTenant[1], Status: 'Enabled', Filter: { Prefix: 'backup/tenants/' } }
  assert.equal(judgeRules([posing], wanted, dialect, tenant).conflicts.length, 1)
})

const expiringLogs: S3Rule = { ...expiring, ID: 'logs', Filter: { Prefix: 'logs/' } }
