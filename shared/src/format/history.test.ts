import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asId, type ChainId, type Id, type SessionId, type SetId, type TenantId } from '../types.ts'
import { historyOf } from './history.ts'
import {
  catalogName,
  chainPrefix,
  manifestName,
  packName,
  pinName,
  registryDocumentName,
  registryFolders,
  repositoryName,
  sessionEndName,
  sessionName,
  sessionOverName,
  tenantKeysName,
  tenantPointsPrefix,
  tenantSessionsPrefix,
  tenantsPrefix,
  tombstoneName,
} from './names.ts'

const tenant = asId<TenantId>('0'.repeat(32))
const place = { tenant, set: asId<SetId>('1'.repeat(32)), chain: asId<ChainId>('2'.repeat(32)) }
const session = asId<SessionId>('3'.repeat(32))

test('what is written once means its first version; what is renewed or cleared away does not', () => {
  const kept = [
    repositoryName,
    tenantsPrefix,
    tenantKeysName(tenant, 1),
    tombstoneName(tenant),
    tenantPointsPrefix(tenant),
    manifestName(place, 1),
    catalogName(place, 0, 16),
    ...registryFolders.map((folder) => registryDocumentName({ tenant, folder }, asId<Id>('4'.repeat(32)), 1)),
  ]
  for (const name of kept) assert.equal(historyOf(name), 'kept', name)
  assert.equal(historyOf(packName(place, 'data', { session, number: 0, attempt: '5'.repeat(16) })), 'data')
  assert.equal(historyOf(chainPrefix(place)), 'data')
  for (const name of [sessionName(place, session), 'probes/0']) assert.equal(historyOf(name), 'created', name)
  const replaced = [
    sessionEndName(place, session),
    sessionOverName(place, session),
    tenantSessionsPrefix(tenant),
    pinName(place, asId<Id>('6'.repeat(32))),
  ]
  for (const name of replaced) assert.equal(historyOf(name), 'replaced', name)
})
