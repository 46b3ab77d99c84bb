import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joined, patched, ramp, toHex, u16, u32, u8 } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { decodeMapFooter, encodeMapFooter, openMapFooter, sealMapFooter } from './map-footer.ts'
import { decodePackTail, encodePackTail, packKinds, type Piece } from './pack.ts'

const damaged = { code: 'E_FORMAT_DAMAGED' }
const keys = testIndexKeys()
const nonce = ramp(0x80, 24)
const name = 'tenants/t/chains/s/c/x/map-00000007-0102030405060708'

const described = [
  { disk: 0x0102, level: 0, number: 0x01020304 },
  { disk: 0, level: 2, number: 0 },
]
const drawn = joined(u16(0x0102), u8(0), u8(0), u32(0x01020304), u16(0), u8(2), u8(0), u32(0))

test('layout: footer of a page pack', () => {
  assert.equal(toHex(encodeMapFooter(described)), toHex(drawn))
  assert.deepEqual(decodeMapFooter(name, drawn, 2), described)
  assert.throws(() => decodeMapFooter(name, drawn, 1), damaged)
  assert.throws(() => decodeMapFooter(name, drawn, 3), damaged)
  assert.throws(() => decodeMapFooter(name, patched(drawn, 3, u8(1)), 2), damaged)
})

test('a footer is bound to the name of its page pack', () => {
  const pieces: readonly Piece[] = [
    { offset: 0, length: 5, hash: ramp(0x10, 32) },
    { offset: 5, length: 7, hash: ramp(0x40, 32) },
  ]
  const bytes = encodePackTail(packKinds.map, 12, pieces, sealMapFooter(name, described, keys, nonce))
  const tail = decodePackTail(name, bytes, 12 + bytes.length)
  assert.ok(typeof tail !== 'number')
  assert.deepEqual(openMapFooter(name, tail, keys), described)
  assert.throws(() => openMapFooter(`${name}0`, tail, keys), { code: 'E_SEAL_BROKEN' })
})
