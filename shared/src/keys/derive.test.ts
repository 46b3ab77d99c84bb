import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { idFromBytes, type SessionId, type SetId } from '../types.ts'
import { blockDigestKey, derive, registryHash, setIdFromName, transportKey, treeDigestKey } from './derive.ts'

const indexKey = Uint8Array.from({ length: 32 }, (_, i) => i)
const setId = idFromBytes<SetId>(Uint8Array.from({ length: 16 }, (_, i) => 16 + i))
const session = idFromBytes<SessionId>(Uint8Array.from({ length: 16 }, (_, i) => 16 + i))

// Computed with Python's hmac and hashlib from the words of docs/format.md. They are in every repository: a change
// of one of them is another format.
test('derived keys are what the format says', () => {
  assert.equal(
    blockDigestKey(indexKey, setId).toString('hex'),
    '275fae2a891e6ec983dbd792f641293e74c44fe3d8b9525fb1fdc85ab1bcb6d0',
  )
  assert.equal(
    treeDigestKey(indexKey, setId).toString('hex'),
    '2f2f3589a0be4744d5ca229e2770e446a376a9eb95c8ea708de9dddf58f574ef',
  )
  assert.equal(setIdFromName(indexKey, 'Büro-Server'), 'b603592f92ae878bfc48842fbe16bc05')
  assert.equal(
    transportKey(indexKey, session).toString('hex'),
    'ca8bdb9b9d1f2e1c9c94e15b07965cbcae41336601c27af1de92c45c7575451d',
  )
  assert.equal(
    registryHash(indexKey, 'name', 'Büro'),
    '64e382a72df26b36e158ec79a72f5cab488c7d8a4b23a33e898977a434e044fc',
  )
})

test('derivation is HKDF-SHA256 as RFC 5869 defines it', () => {
  const mac = (key: Uint8Array, data: Uint8Array): Buffer => createHmac('sha256', key).update(data).digest()
  const pseudorandomKey = mac(Buffer.from('salt'), indexKey)
  const expected = mac(pseudorandomKey, Buffer.concat([Buffer.from('info'), Uint8Array.of(1)]))
  assert.deepEqual(derive(indexKey, Buffer.from('salt'), 'info'), expected)
})

test('a set has one id however its name is composed, and another with another name or tenant', () => {
  assert.equal(setIdFromName(indexKey, 'Bu\u0308ro'), setIdFromName(indexKey, 'B\u00fcro'))
  const ids = [
    setIdFromName(indexKey, 'default'),
    setIdFromName(indexKey, 'Default'),
    setIdFromName(indexKey, 'default '),
    setIdFromName(Uint8Array.from(indexKey).fill(1), 'default'),
  ]
  assert.equal(new Set(ids).size, ids.length)
})

test('sets, sessions and purposes have keys of their own', () => {
  const otherSet = idFromBytes<SetId>(new Uint8Array(16))
  const keys = [
    blockDigestKey(indexKey, setId),
    treeDigestKey(indexKey, setId),
    blockDigestKey(indexKey, otherSet),
    treeDigestKey(indexKey, otherSet),
    // The same 16 bytes as the set's id.
    transportKey(indexKey, session),
    transportKey(indexKey, idFromBytes<SessionId>(new Uint8Array(16))),
  ].map((key) => key.toString('hex'))
  assert.equal(new Set(keys).size, keys.length)
})

test('hashes of a registry are others for another purpose, value or tenant', () => {
  const hashes = [
    registryHash(indexKey, 'name', 'web1'),
    registryHash(indexKey, 'machine', 'web1'),
    registryHash(indexKey, 'name', 'web2'),
    registryHash(Uint8Array.from(indexKey).fill(1), 'name', 'web1'),
  ]
  assert.equal(new Set(hashes).size, hashes.length)
})

test('a key of another length is our own mistake', () => {
  assert.throws(() => derive(new Uint8Array(31), new Uint8Array(0), 'info'), { code: 'E_BUG' })
})
