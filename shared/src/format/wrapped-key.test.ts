import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { idFromBytes, type KeyId } from '../types.ts'
import { decodeWrappedDataKey, encodeWrappedDataKey, wrappedDataKeyBytes } from './wrapped-key.ts'

const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

test('a wrapped key is its id, the encapsulated key and the sealed key, one after the other', () => {
  const bytes = encodeWrappedDataKey({
    keyId: idFromBytes<KeyId>(new Uint8Array(16).fill(0x11)),
    encapsulated: new Uint8Array(32).fill(0x22),
    sealed: new Uint8Array(48).fill(0x33),
  })
  assert.equal(Buffer.from(bytes).toString('hex'), '11'.repeat(16) + '22'.repeat(32) + '33'.repeat(48))
})

test('property: any 96 bytes decode and encode to themselves', () => {
  fc.assert(
    fc.property(exactly(wrappedDataKeyBytes), (bytes) => {
      assert.deepEqual(new Uint8Array(encodeWrappedDataKey(decodeWrappedDataKey(bytes))), bytes)
    }),
  )
})

test('property: any other length is damaged', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      fc.pre(bytes.length !== wrappedDataKeyBytes)
      assert.throws(() => decodeWrappedDataKey(bytes), { code: 'E_FORMAT_DAMAGED' })
    }),
  )
})

test('a decoded key does not change with the bytes it was read from', () => {
  const bytes = new Uint8Array(wrappedDataKeyBytes).fill(1)
  const wrapped = decodeWrappedDataKey(bytes)
  bytes.fill(2)
  assert.ok(wrapped.encapsulated.every((byte) => byte === 1) && wrapped.sealed.every((byte) => byte === 1))
})
