import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pointsPerSetMax, registryVersionsMax, segmentsPerSessionMax } from '../limits.ts'
import { isObjectName } from '../store/object-names.ts'
import { joined, ramp, toHex, u32 } from '../testing/layout.ts'
import { asId, type ChainId, type SessionId, type SetId, type TenantId } from '../types.ts'
import {
  attemptFromBytes,
  chainPrefix,
  idBelow,
  isTenantKeysName,
  manifestName,
  manifestPlaceOf,
  nodeContext,
  packName,
  packReferenceBytes,
  packReferenceOf,
  packsPrefix,
  pageContext,
  pointsPrefix,
  readPackReference,
  registryDocumentName,
  registryDocumentOf,
  registryFolders,
  registryPrefix,
  repositoryName,
  rootContext,
  samePack,
  sessionEndName,
  sessionName,
  sessionOverName,
  sessionObjectsPrefix,
  sessionPlaceOf,
  tenantKeysName,
  tenantPointsPrefix,
  tenantSessionsPrefix,
  writePackReference,
  type SessionPlace,
} from './names.ts'

const t = '1'.repeat(32)
const s = '2'.repeat(32)
const c = '3'.repeat(32)
const x = '4'.repeat(32)
const place: SessionPlace = {
  tenant: asId<TenantId>(t),
  set: asId<SetId>(s),
  chain: asId<ChainId>(c),
  session: asId<SessionId>(x),
}
const reference = { session: place.session, number: 7, attempt: '0123456789abcdef' }

test('names and contexts are those of docs/format.md', () => {
  const changed = 'names changed: stores that exist would not be found any more'
  assert.equal(repositoryName, 'repository', changed)
  assert.equal(tenantKeysName(place.tenant, 3), `tenants/${t}/keys/00000003`, changed)
  assert.equal(tenantPointsPrefix(place.tenant), `tenants/${t}/points/`, changed)
  assert.equal(pointsPrefix(place), `tenants/${t}/points/${s}/`, changed)
  assert.equal(manifestName(place, 42), `tenants/${t}/points/${s}/0000000042`, changed)
  assert.equal(tenantSessionsPrefix(place.tenant), `tenants/${t}/sessions/`, changed)
  assert.equal(sessionName(place, place.session), `tenants/${t}/sessions/${s}/${x}/open`, changed)
  assert.equal(sessionEndName(place, place.session), `tenants/${t}/sessions/${s}/${x}/end`, changed)
  assert.equal(sessionOverName(place, place.session), `tenants/${t}/sessions/${s}/${x}/over`, changed)
  for (const folder of ['endpoints', 'tokens', 'token-uses', 'claims'] as const) {
    assert.equal(registryPrefix({ ...place, folder }), `tenants/${t}/${folder}/`, changed)
    assert.equal(registryDocumentName({ ...place, folder }, x, 3), `tenants/${t}/${folder}/${x}/00000003`, changed)
  }
  assert.equal(chainPrefix(place), `tenants/${t}/chains/${s}/${c}/`, changed)
  assert.equal(sessionObjectsPrefix(place), `tenants/${t}/chains/${s}/${c}/${x}/`, changed)
  assert.equal(
    packName(place, 'data', reference),
    `tenants/${t}/chains/${s}/${c}/${x}/data-00000007-0123456789abcdef`,
    changed,
  )
  assert.equal(
    packName(place, 'map', reference),
    `tenants/${t}/chains/${s}/${c}/${x}/map-00000007-0123456789abcdef`,
    changed,
  )
  assert.equal(pageContext(place, 1, 1024), `tenants/${t}/chains/${s}/${c}/disk/1/page/1024`, changed)
  assert.equal(nodeContext(place, 0, 12), `tenants/${t}/chains/${s}/${c}/disk/0/node/12`, changed)
  assert.equal(rootContext(place), `tenants/${t}/chains/${s}/${c}/${x}/root`, changed)
})

test('all of them can name objects, the longest included', () => {
  const longest = { ...reference, number: segmentsPerSessionMax }
  const names = [
    repositoryName,
    tenantKeysName(place.tenant, 99_999_999),
    manifestName(place, pointsPerSetMax),
    sessionName(place, place.session),
    sessionEndName(place, place.session),
    sessionOverName(place, place.session),
    ...registryFolders.map((folder) => registryDocumentName({ ...place, folder }, x, registryVersionsMax)),
    packName(place, 'data', longest),
    packName(place, 'map', longest),
  ]
  for (const name of names) assert.ok(isObjectName(name), name)
})

test('property: sequence numbers sort as numbers do, and are read back', () => {
  const sequence = fc.integer({ min: 1, max: pointsPerSetMax })
  fc.assert(
    fc.property(sequence, sequence, (a, b) => {
      assert.deepEqual(manifestPlaceOf(place.tenant, manifestName(place, a)), { set: place.set, sequence: a })
      assert.equal(manifestName(place, a) < manifestName(place, b), a < b)
    }),
  )
})

test('property: versions sort as numbers do, and are read back', () => {
  const version = fc.integer({ min: 1, max: registryVersionsMax })
  const registry = { ...place, folder: 'claims' } as const
  fc.assert(
    fc.property(version, version, (a, b) => {
      const name = registryDocumentName(registry, x, a)
      assert.deepEqual(registryDocumentOf(registry, name), { id: x, version: a })
      assert.equal(name < registryDocumentName(registry, x, b), a < b)
      assert.equal(registryDocumentOf({ ...place, folder: 'tokens' }, name), undefined)
    }),
  )
  for (const last of ['', '/', '/1', '/00000000', '/000000001', '/00000001/x', '/0000000x']) {
    assert.equal(registryDocumentOf(registry, registryPrefix(registry) + x + last), undefined, last)
  }
  assert.equal(registryDocumentOf(registry, `${registryPrefix(registry)}x/00000001`), undefined)
})

test('numbers that have no name are our own mistakes', () => {
  const bug = { code: 'E_BUG' }
  for (const sequence of [0, -1, 0.5, pointsPerSetMax + 1, NaN]) assert.throws(() => manifestName(place, sequence), bug)
  const registry = { ...place, folder: 'claims' } as const
  for (const version of [0, 0.5, registryVersionsMax + 1]) {
    assert.throws(() => registryDocumentName(registry, x, version), bug)
  }
  assert.throws(() => registryDocumentName(registry, '..', 1), bug)
  for (const number of [-1, 0.5, 100_000_000])
    assert.throws(() => packName(place, 'data', { ...reference, number }), bug)
  for (const attempt of ['', '0123456789ABCDEF', '0123456789abcde', '../../../../../.']) {
    assert.throws(() => packName(place, 'data', { ...reference, attempt }), bug)
  }
  assert.throws(() => attemptFromBytes(new Uint8Array(7)), bug)
})

test('what lies among points or packs and is none is passed over', () => {
  for (const last of [
    '1',
    '0000000000',
    '000000001',
    '00000000001',
    '000000000x',
    '',
    '0000000001.tmp',
    'old/0000000001',
  ]) {
    assert.equal(manifestPlaceOf(place.tenant, pointsPrefix(place) + last), undefined, last)
  }
  assert.equal(manifestPlaceOf(place.tenant, 'elsewhere'), undefined)
  assert.ok(isTenantKeysName(place.tenant, tenantKeysName(place.tenant, 1)))
  assert.ok(!isTenantKeysName(place.tenant, tenantKeysName(place.tenant, 0)))
  const prefix = packsPrefix(place, 'data')
  assert.deepEqual(packReferenceOf(place, 'data', packName(place, 'data', reference)), reference)
  for (const last of [
    '',
    '7-0123456789abcdef',
    '00000007-0123456789abcdeg',
    '00000007-0123456789abcdef0',
    '00000007',
  ]) {
    assert.equal(packReferenceOf(place, 'data', prefix + last), undefined, last)
  }
  assert.equal(packReferenceOf(place, 'map', packName(place, 'data', reference)), undefined)
  assert.equal(packReferenceOf(place, 'data', 'elsewhere'), undefined)
})

test('a document of a session tells by its name whose it is, and nothing else does', () => {
  const found = { set: place.set, session: place.session }
  assert.deepEqual(sessionPlaceOf(place.tenant, sessionName(place, place.session)), { ...found, document: 'open' })
  assert.deepEqual(sessionPlaceOf(place.tenant, sessionEndName(place, place.session)), { ...found, document: 'end' })
  assert.deepEqual(sessionPlaceOf(place.tenant, sessionOverName(place, place.session)), { ...found, document: 'over' })
  // A sweep relies on it.
  assert.ok(sessionEndName(place, place.session) < sessionName(place, place.session))
  const others = ['', s, `${s}/${x}`, `${s}/open`, `${s}/${x}/open.old`, `${s}/${x}/open/x`, `${s}/x/end`, `x/${x}/end`]
  for (const other of others) {
    assert.equal(sessionPlaceOf(place.tenant, tenantSessionsPrefix(place.tenant) + other), undefined, other)
  }
  assert.equal(sessionPlaceOf(asId<TenantId>(s), sessionName(place, place.session)), undefined)
})

test('layout: a reference in a page', () => {
  const bytes = new Uint8Array(3 + packReferenceBytes)
  const odd = { session: asId<SessionId>(toHex(ramp(0xa0, 16))), number: 0x01020304, attempt: 'f1f2f3f4f5f6f7f8' }
  writePackReference(bytes, 3, odd)
  const expected = joined(new Uint8Array(3), ramp(0xa0, 16), u32(0x01020304), Buffer.from(odd.attempt, 'hex'))
  assert.equal(
    toHex(bytes),
    toHex(expected),
    'the layout of a reference changed: that is another version of the format',
  )
  assert.deepEqual(readPackReference(bytes, 3), odd)
  assert.equal(packReferenceBytes, 28)
})

test('two references are the same when all of their parts are', () => {
  assert.ok(samePack(reference, { ...reference }))
  assert.ok(!samePack(reference, { ...reference, number: 8 }))
  assert.ok(!samePack(reference, { ...reference, attempt: '0123456789abcdee' }))
  assert.ok(!samePack(reference, { ...reference, session: asId<SessionId>(s) }))
})

test('ids directly below a prefix are found, and nothing else', () => {
  const prefix = tenantPointsPrefix(place.tenant)
  assert.equal(idBelow(prefix, manifestName(place, 1)), s)
  assert.equal(idBelow(prefix, `${prefix}${s}`), s)
  assert.equal(idBelow(prefix, `${prefix}x${s}/0000000001`), undefined)
  assert.equal(idBelow(prefix, 'repository'), undefined)
})
