import assert from 'node:assert/strict'
import { test } from 'node:test'
import { azureDangers } from './azure-dangers.ts'
import { sameAzureRule, type AzureActions, type AzureFilters, type AzureRule } from './azure-rules.ts'
import type { LifecycleScope } from './scope.ts'

const scope: LifecycleScope = { use: 'repository', prefix: 'vault/backup/', keepsVersions: true }
const deleting: AzureActions = { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }

function ruleOf(filters: AzureFilters, actions: AzureActions = deleting): AzureRule {
  return { name: 'x', type: 'Lifecycle', definition: { filters, actions } }
}

test('rules of others that cannot meet what is needed are harmless', () => {
  const harmless: Record<string, AzureRule> = {
    disabled: { ...ruleOf({}), enabled: false },
    'append blobs': ruleOf({ blobTypes: ['appendBlob'] }),
    'another container': ruleOf({ prefixMatch: ['vault2/', 'logs'] }),
    'beside ours': ruleOf({ prefixMatch: ['vault/backup/reports'] }),
    'a tag that we never set': ruleOf({ blobIndexMatch: [{ name: 'team', op: '==', value: 'web' }] }),
    'tiers that can be read': ruleOf(
      {},
      {
        baseBlob: {
          tierToCool: { daysAfterLastAccessTimeGreaterThan: 1 },
          tierToCold: { daysAfterCreationGreaterThan: 1 },
          enableAutoTierToHotFromCool: true,
        },
      },
    ),
    snapshots: ruleOf({}, { snapshot: { delete: { daysAfterCreationGreaterThan: 1 } } }),
  }
  for (const [what, rule] of Object.entries(harmless)) assert.deepEqual(azureDangers(rule, scope), [], what)
})

test('rules of others that could do harm say which, and to what', () => {
  const harmful: [what: string, rule: AzureRule, could: RegExp][] = [
    ['no filter at all', ruleOf({}), /^delete objects that points need \(daysAfterModificationGreaterThan 30\)$/],
    ['block blobs', ruleOf({ blobTypes: ['appendBlob', 'blockBlob'] }), /^delete/],
    ['the container, by the beginning of its name', ruleOf({ prefixMatch: ['logs', 'va'] }), /below logs, va/],
    ['the container', ruleOf({ prefixMatch: ['vault/'] }), /^delete/],
    [
      'the archive',
      ruleOf({}, { baseBlob: { tierToArchive: { daysAfterLastAccessTimeGreaterThan: 9 } } }),
      /^freeze objects that points need \(daysAfterLastAccessTimeGreaterThan 9\)$/,
    ],
    ['versions', ruleOf({}, { version: { delete: { daysAfterCreationGreaterThan: 1 } } }), /^delete older versions/],
    ['an action that nobody knows', ruleOf({}, { baseBlob: { shred: {} } }), /^do shred to objects/],
    ['a type that nobody knows', { ...ruleOf({}), type: 'Other' }, /only type Other knows/],
  ]
  for (const [what, rule, could] of harmful) {
    const [danger = 'harmless', ...more] = azureDangers(rule, scope)
    assert.match(danger, could, what)
    assert.deepEqual(more, [], what)
  }
  const versions = ruleOf({}, { version: { delete: {} } })
  assert.deepEqual(azureDangers(versions, { ...scope, keepsVersions: false }), [])
  const staging: LifecycleScope = { ...scope, use: 'staging' }
  assert.deepEqual(azureDangers(ruleOf({}), staging), [])
  const soon = ruleOf({}, { baseBlob: { delete: { daysAfterModificationGreaterThan: 2 } } })
  assert.match(azureDangers(soon, staging)[0] ?? '', /no worker has packed yet/)
})

test('an answer may say more than the request did, and mean the same', () => {
  const rule = ruleOf({ prefixMatch: ['a/'] })
  const answered = {
    ...rule,
    enabled: true,
    definition: { ...rule.definition, filters: { prefixMatch: ['a/'], blobTypes: [] } },
  }
  assert.ok(sameAzureRule(rule, answered))
  assert.ok(!sameAzureRule(rule, { ...rule, enabled: false }))
  assert.ok(!sameAzureRule(rule, ruleOf({ prefixMatch: ['b/'] })))
})
