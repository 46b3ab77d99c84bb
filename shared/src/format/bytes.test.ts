import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ascii, joined, toHex, u64, u8 } from '../testing/layout.ts'
import {
  concatBytes,
  equalBytes,
  readSafeU64,
  requireCount,
  requireExactLength,
  requireLength,
  requirePreamble,
  requireZero,
  viewOf,
  writePreamble,
} from './bytes.ts'

const damaged = { code: 'E_FORMAT_DAMAGED' }

test('the preamble is STRATA, version and kind', () => {
  const bytes = new Uint8Array(12)
  writePreamble(bytes, 2, 1, 16)
  assert.equal(toHex(bytes), '0000' + '535452415441' + '01' + '10' + '0000')
  assert.equal(requirePreamble('thing', bytes.subarray(2), 1, 16), 16)
  assert.equal(requirePreamble('thing', bytes.subarray(2), 1), 16)
})

test('a preamble says newer, another kind and damaged by three different codes', () => {
  const preamble = (version: number, kind: number): Uint8Array => joined(ascii('STRATA'), u8(version), u8(kind))
  assert.throws(() => requirePreamble('thing', preamble(2, 16), 1, 16), { code: 'E_FORMAT_NEWER' })
  assert.throws(() => requirePreamble('thing', preamble(255, 99), 1, 16), { code: 'E_FORMAT_NEWER' })
  assert.throws(() => requirePreamble('thing', preamble(0, 16), 1, 16), damaged)
  assert.throws(() => requirePreamble('thing', preamble(1, 17), 1, 16), { code: 'E_FORMAT_KIND' })
  assert.throws(() => requirePreamble('thing', ascii('STRATAx'), 1, 16), damaged)
  assert.throws(() => requirePreamble('thing', ascii('Strata\u0001\u0010'), 1, 16), damaged)
})

test('lengths, counts and reserved bytes are checked exactly', () => {
  const four = new Uint8Array(4)
  requireLength('thing', four, 4)
  assert.throws(() => {
    requireLength('thing', four, 5)
  }, damaged)
  requireExactLength('thing', four, 4)
  for (const length of [3, 5]) {
    assert.throws(() => {
      requireExactLength('thing', four, length)
    }, damaged)
  }
  requireCount('thing', 7, 7)
  assert.throws(() => {
    requireCount('thing', 8, 7)
  }, damaged)
  requireZero('thing', 0)
  assert.throws(() => {
    requireZero('thing', 1)
  }, damaged)
})

test('64-bit numbers are read up to 2^53 - 1 and refused above', () => {
  const read = (bytes: Uint8Array): number => readSafeU64('thing', viewOf(bytes), 0)
  assert.equal(read(u64(Number.MAX_SAFE_INTEGER)), Number.MAX_SAFE_INTEGER)
  assert.equal(read(u64(0x0102_0304_0506)), 0x0102_0304_0506)
  assert.throws(() => read(joined(u64(0).subarray(1), u8(0x20)).subarray(0, 8)), damaged)
  assert.throws(() => read(new Uint8Array(8).fill(255)), damaged)
})

test('property: joined parts are their bytes one after the other, in memory of their own', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 }), (parts) => {
      const all = concatBytes(parts)
      assert.deepEqual(
        [...all],
        parts.flatMap((part) => [...part]),
      )
      assert.ok(equalBytes(all, Buffer.concat(parts)))
      assert.equal(all.buffer.byteLength, all.length)
    }),
  )
})
