import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { before, test } from 'node:test'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { formerKeysMax } from '../limits.ts'
import { idFromBytes, type Id, type TenantId } from '../types.ts'
import { rotateKeys, withoutWrap, withWrap, type RotatedKeys } from './change-keys.ts'
import { createDataKey, openDataKey } from './data-keys.ts'
import { derive } from './derive.ts'
import { wrapWithSecret } from './private-key-wrap.ts'
import { authenticate, decodeTenantKeys, encodeTenantKeys, formerKeysOf } from './tenant-document.ts'
import { createTenantKeys, ingestKeysFrom, openTenantName, unlockTenant, type CreatedTenant } from './tenant-keys.ts'

const keyFile = systemRandomBytes(32)
const recoveryKey = systemRandomBytes(32)
const random = systemRandomBytes

let created: CreatedTenant

before(async () => {
  created = await createTenantKeys({
    tenantId: idFromBytes<TenantId>(random(16)),
    repositoryId: idFromBytes<Id>(random(16)),
    tenantName: 'Baker',
    unlock: { keyFile },
    random,
  })
})

async function rotate({ document, ingest, privateKey }: RotatedKeys, secrets = {}): Promise<RotatedKeys> {
  const rotated = await rotateKeys(document, ingest, privateKey, { keyFile, ...secrets }, random)
  return { ...rotated, document: decodeTenantKeys(encodeTenantKeys(rotated.document)) }
}

test('after rotations one secret opens the newest revision, and it all data keys and index keys that there were', async () => {
  let keys: RotatedKeys = created
  const sealed = [await createDataKey(keys.ingest.publicKey, keys.ingest.tenantId, random)]
  for (let round = 0; round < 3; round += 1) {
    keys = await rotate(keys)
    sealed.push(await createDataKey(keys.ingest.publicKey, keys.ingest.tenantId, random))
  }
  const { document } = keys
  assert.deepEqual([document.version, document.revision, formerKeysOf(document).length], [2, 4, 3])
  const privateKey = await unlockTenant(document, { keyFile }, created.ingest)
  for (const { key, wrapped } of sealed) {
    assert.deepEqual((await openDataKey(privateKey, created.ingest.tenantId, wrapped)).key, key)
  }
  const ingest = await ingestKeysFrom(document, privateKey)
  assert.deepEqual([...ingest.indexKeys.keys()], [1, 2, 3, 4])
  assert.equal(ingest.currentGeneration, 4)
  assert.deepEqual([...(ingest.indexKeys.get(1) ?? [])], [...(created.ingest.indexKeys.get(1) ?? [])])
  assert.equal(openTenantName(document, created.ingest), 'Baker')
})

test('the former keys open nothing that is sealed after a rotation', async () => {
  const rotated = await rotate(created)
  const later = await createDataKey(rotated.ingest.publicKey, rotated.ingest.tenantId, random)
  const broken = { code: 'E_SEAL_BROKEN' }
  await assert.rejects(openDataKey(created.privateKey, rotated.ingest.tenantId, later.wrapped), broken)
  await assert.rejects(ingestKeysFrom(rotated.document, created.privateKey), { code: 'E_KEY_FOREIGN' })
  // The newest revision with the key pair that was replaced is nobody's.
  const forged = { ...rotated.document, publicKey: created.document.publicKey }
  await assert.rejects(unlockTenant(forged, { keyFile }, created.ingest), { code: 'E_KEY_WRONG' })
})

test('a former key that was swapped or altered is noticed', async () => {
  const { document } = await rotate(await rotate(created))
  const [first, second] = formerKeysOf(document)
  assert.ok(first && second)
  const swapped = { ...document, formerKeys: [second, first] }
  await assert.rejects(unlockTenant(swapped, { keyFile }, created.ingest), { code: 'E_SEAL_BROKEN' })
})

test('a rotation needs the secret of each way, and says which are missing or do not fit', async () => {
  const { privateKey } = created
  const sheet = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), recoveryKey, random)
  const withSheet = { ...created, document: withWrap(created.document, privateKey, sheet) }
  await assert.rejects(rotate(withSheet), (error) => {
    assert.ok(hasCode(error, 'E_KEY_MISSING'))
    assert.match(error.message, /the recovery sheet must be given/)
    assert.deepEqual(error.details, { missing: ['recoverySheet'] })
    return true
  })
  await assert.rejects(rotate(withSheet, { recoveryKey: random(32) }), { code: 'E_KEY_WRONG' })
  const { document } = await rotate(withSheet, { recoveryKey })
  for (const secrets of [{ recoveryKey }, { keyFile }]) await unlockTenant(document, secrets, created.ingest)
})

test('ways are added, replaced and taken out, and the last one stays', async () => {
  const { document, privateKey, ingest } = created
  const other = random(32)
  const wrap = wrapWithSecret('keyFile', privateKey, privateKey.bytes(), other, random)
  const replaced = withWrap(document, privateKey, wrap)
  assert.deepEqual([replaced.version, replaced.revision, replaced.privateKeyWraps.length], [1, 2, 1])
  await unlockTenant(replaced, { keyFile: other }, ingest)
  await assert.rejects(unlockTenant(replaced, { keyFile }, ingest), { code: 'E_KEY_WRONG' })

  const sheet = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), recoveryKey, random)
  const both = withWrap(document, privateKey, sheet)
  assert.equal(both.version, 2)
  await assert.rejects(unlockTenant(both, { keyFile: recoveryKey }, ingest), { code: 'E_KEY_WRONG' })
  const alone = withoutWrap(both, privateKey, 'keyFile')
  assert.throws(() => withoutWrap(alone, privateKey, 'recoverySheet'), { code: 'E_KEY_LAST' })
  assert.throws(() => withoutWrap(alone, privateKey, 'keyFile'), { code: 'E_KEY_MISSING' })
  // What the first version has room for is written in it: older programs can read it again.
  assert.equal(withoutWrap(both, privateKey, 'recoverySheet').version, 1)
})

test('a document with members of a newer program is read, and not written anew without them', async () => {
  const { document, privateKey, ingest } = created
  const { mac: _, ...members } = document
  const later = { ...members, later: 'x' }
  const ids = Buffer.from(document.tenantId + document.repositoryId, 'hex')
  const macKey = derive(privateKey.bytes(), ids, 'strata/v1/tenant-keys')
  const authentic = { ...later, mac: createHmac('sha256', macKey).update(JSON.stringify(later)).digest('hex') }
  await unlockTenant(authentic, { keyFile }, ingest)
  const sheet = wrapWithSecret('recoverySheet', privateKey, privateKey.bytes(), recoveryKey, random)
  assert.throws(() => withWrap(authentic, privateKey, sheet), { code: 'E_FORMAT_NEWER' })
})

test('a tenant that was rotated as often as a document has room for is told so', async () => {
  const { document, ingest, privateKey } = await rotate(created)
  const [former] = formerKeysOf(document)
  assert.ok(former)
  const formerKeys = Array.from({ length: formerKeysMax }, () => former)
  const full = authenticate({ ...document, formerKeys }, privateKey)
  await assert.rejects(rotateKeys(full, ingest, privateKey, { keyFile }, random), { code: 'E_LIMIT' })
})
