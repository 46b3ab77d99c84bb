import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TransitionStorageClass } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { hasCode } from '../errors.ts'
import { archivedBytesMin } from '../limits.ts'
import { colderClasses } from '../format/storage-class.ts'
import { asId, type TenantId } from '../types.ts'
import { azureDialect, s3Dialect } from './dialects.ts'
import { judgeRules, sameRules } from './judge.ts'
import { compileLifecycle, type RepositoryLifecycle } from './rules.ts'
import { s3Dangers } from './s3-dangers.ts'
import type { S3Rule } from './s3-rules.ts'
import type { LifecycleScope } from './scope.ts'

/** Whatever policy, place and rules of others there are. fast-check prints the seed of what fails. */
const prefixes = fc.constantFrom('', 'backup/', 'backup/b/', 'tenants/', 'a/tenants/')
const tenants = fc.constantFrom('0', 'a', 'f').map((digit) => asId<TenantId>(digit.repeat(32)))
const inputs = fc.record({
  use: fc.constant('repository' as const),
  provider: fc.constantFrom('s3' as const, 'azure' as const),
  prefix: prefixes,
  keepsVersions: fc.boolean(),
  tenant: fc.record({
    id: tenants,
    chainAgeDaysMax: fc.integer({ min: 1, max: 400 }),
    classes: fc
      .uniqueArray(fc.integer({ min: 0, max: 1500 }), { maxLength: 4 })
      .map((days) => days.sort((a, b) => a - b))
      .chain((days) =>
        fc
          .subarray([...colderClasses], { minLength: days.length, maxLength: days.length })
          .map((classes) => classes.map((name, index) => ({ class: name, afterDays: days[index] ?? 0 }))),
      ),
  }),
})

function compileOrNone(input: RepositoryLifecycle) {
  try {
    return compileLifecycle(input)
  } catch (error) {
    assert.ok(hasCode(error, 'E_LIFECYCLE_IMPOSSIBLE'))
    return []
  }
}

const tagFilters = fc.constantFrom<NonNullable<S3Rule['Filter']>>(
  {},
  { Tag: { Key: 'team', Value: 'x' } },
  {
    And: {
      Tags: [
        { Key: 'strata-state', Value: 'retired' },
        { Key: 'b', Value: '' },
      ],
    },
  },
)
/** As an answer has it; of nothing but the members that are there. */
const plain = { noNullPrototype: true } as const
const foreignFilters: fc.Arbitrary<NonNullable<S3Rule['Filter']>> = fc.oneof(
  fc.record(
    { Prefix: fc.constantFrom('', 'b', 'backup/', 'backup/tenants/0', 'logs/', 'tenants/', 'a/tenants/f') },
    plain,
  ),
  fc.record({ ObjectSizeGreaterThan: fc.constantFrom(0, 1000, 2 ** 40) }, plain),
  fc
    .record({ Prefix: fc.constantFrom('', 'backup/'), ObjectSizeLessThan: fc.constantFrom(1, 500) }, plain)
    .map((And) => ({ And })),
  tagFilters,
)
const foreignRules: fc.Arbitrary<S3Rule> = fc.record(
  {
    ID: fc.constantFrom('logs', 'old', 'strata', 'strata-000000000000-expire-retired'),
    Status: fc.constantFrom('Enabled' as const, 'Disabled' as const),
    Filter: foreignFilters,
    Expiration: fc.constantFrom(
      { Days: 1 },
      { Days: 9999 },
      { Date: new Date(0) },
      { ExpiredObjectDeleteMarker: true },
    ),
    Transitions: fc.array(
      fc
        .constantFrom<TransitionStorageClass>('GLACIER', 'STANDARD_IA', 'DEEP_ARCHIVE', 'GLACIER_IR')
        .map((StorageClass) => ({ Days: 30, StorageClass })),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: ['ID', 'Status'], noNullPrototype: true },
)

test('no rule that is compiled deletes without the tag, or freezes what may be a map', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const rule of compileOrNone(input)) {
        assert.ok(rule.prefix.startsWith(`${input.prefix}tenants/`))
        if (rule.deleteAfterDays !== undefined || rule.deleteVersionsAfterDays !== undefined)
          assert.ok(rule.retiredOnly)
        for (const move of rule.moves ?? []) {
          const isReadable = move.class === 'infrequent' || move.class === 'archive-instant'
          assert.ok(isReadable || rule.largerThanBytes === archivedBytesMin)
        }
      }
    }),
  )
})

test('names are unique, of words that the provider takes, and of one store only', () => {
  fc.assert(
    fc.property(inputs, prefixes, (input, other) => {
      const dialects = [s3Dialect, (scope: LifecycleScope) => azureDialect('vault', scope)] as const
      for (const dialectOf of dialects) {
        const namesIn = (prefix: string): string[] => {
          const dialect = dialectOf({ use: 'repository', prefix, keepsVersions: true })
          // Each dialect has rules of its own, and names alone are looked at here.
          const nameOf = dialect.nameOf as (rule: unknown) => string
          return compileOrNone({ ...input, prefix }).map((rule) => nameOf(dialect.compile(rule)))
        }
        const names = namesIn(input.prefix)
        assert.equal(new Set(names).size, names.length)
        assert.ok(names.every((name) => /^strata(-[a-z0-9-]{1,240}|[A-Za-z0-9]{1,240})$/.test(name)))
        if (other !== input.prefix) assert.ok(!namesIn(other).some((name) => names.includes(name)))
      }
    }),
  )
})

test('what is applied is as wanted from then on, and rules of others are what they were', () => {
  fc.assert(
    fc.property(inputs, fc.uniqueArray(foreignRules, { maxLength: 3, selector: ({ ID }) => ID }), (given, foreign) => {
      const input = { ...given, provider: 's3' as const }
      const dialect = s3Dialect({ use: 'repository', prefix: input.prefix, keepsVersions: input.keepsVersions })
      const wanted = compileOrNone(input)
      const before = structuredClone(foreign)
      const { next } = judgeRules(foreign, wanted, dialect, input.tenant.id)
      assert.deepEqual(next.slice(0, foreign.length), before)
      const again = judgeRules(next, wanted, dialect, input.tenant.id)
      assert.ok(again.rules.every(({ state }) => state === 'as-wanted'))
      assert.ok(sameRules(again.next, next, dialect))
      // Nothing of ours is left where nothing is wanted, and nothing of others is gone.
      assert.deepEqual(judgeRules(next, [], dialect, input.tenant.id).next, before)
    }),
  )
})

/** What S3 does with an object that has no tags, in a few lines and in another way than s3-dangers.ts. */
function harms(rule: S3Rule, key: string, bytes: number): boolean {
  const { Prefix, Tag, ObjectSizeGreaterThan, ObjectSizeLessThan, And } = rule.Filter ?? {}
  const isMet =
    [Prefix, And?.Prefix, rule.Prefix].every((start) => key.startsWith(start ?? '')) &&
    [ObjectSizeGreaterThan, And?.ObjectSizeGreaterThan].every((size) => bytes > (size ?? -1)) &&
    [ObjectSizeLessThan, And?.ObjectSizeLessThan].every((size) => bytes < (size ?? Infinity)) &&
    Tag === undefined &&
    (And?.Tags ?? []).length === 0
  const deletes = rule.Expiration?.Days !== undefined || rule.Expiration?.Date !== undefined
  const freezes = (rule.Transitions ?? []).some(({ StorageClass = '' }) =>
    /^(GLACIER|DEEP_ARCHIVE)$/.test(StorageClass),
  )
  return rule.Status === 'Enabled' && isMet && (deletes || freezes)
}

test('a rule that harms any object of ours is never taken for a harmless one', () => {
  const objects = fc.record({
    name: fc.constantFrom('repository', `tenants/${'0'.repeat(32)}/points/x`, `tenants/${'f'.repeat(32)}/chains/y`),
    bytes: fc.constantFrom(1, 400, 4000, 2 ** 28),
  })
  fc.assert(
    fc.property(foreignRules, prefixes, objects, (rule, prefix, { name, bytes }) => {
      if (!harms(rule, prefix + name, bytes)) return
      assert.ok(s3Dangers(rule, { use: 'repository', prefix, keepsVersions: false }).length > 0)
    }),
    { numRuns: 2000 },
  )
})
