import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockBytesMax } from '../limits.ts'
import { hexBytes, joined, patched, ramp, toHex, u16, u32, u8 } from '../testing/layout.ts'
import {
  codecStored,
  codecZstd,
  decodeRecord,
  peekKeyId,
  recordAad,
  recordBytesMax,
  recordHeaderBytes,
  recordOverheadBytes,
  writeRecordHeader,
} from './record.ts'

const keyIdBytes = ramp(0xa0, 16)
const nonce = ramp(0x10, 24)
const damaged = { code: 'E_FORMAT_DAMAGED' }

/** A record as docs/format.md draws it; `content` stands for the sealed bytes, the tag included. */
function layout(codec: number, plainBytes: number, content: Uint8Array): Uint8Array {
  return joined(u8(1), u8(codec), u16(0), u32(plainBytes), keyIdBytes, nonce, content)
}

test('layout: version, codec, reserved, length, key id, nonce, sealed', () => {
  const record = new Uint8Array(2 + recordHeaderBytes)
  writeRecordHeader(record, 2, { codec: codecZstd, plainBytes: 0x010203, keyIdBytes, nonce })
  assert.equal(
    toHex(record),
    '0000' + '01' + '01' + '0000' + '03020100' + toHex(keyIdBytes) + toHex(nonce),
    'the layout of a record changed: that is another version of the format',
  )
  assert.deepEqual([recordHeaderBytes, recordOverheadBytes, recordBytesMax], [48, 64, 64 + 4 * 1024 * 1024])
})

test('layout: context, header up to the nonce and digest are authenticated', () => {
  const digest = ramp(0x40, 32)
  const record = layout(codecStored, 5, new Uint8Array(21))
  const expected = toHex(Buffer.from('strata/record/v1')) + toHex(record.subarray(0, 24)) + toHex(digest)
  assert.equal(toHex(recordAad(record, digest)), expected)
})

test('a record is read where it begins in a larger buffer', () => {
  const record = layout(codecZstd, 500, ramp(7, 40))
  const header = decodeRecord(joined(ramp(0, 9), record).subarray(9))
  assert.equal(header.codec, codecZstd)
  assert.equal(header.plainBytes, 500)
  assert.equal(header.keyId, toHex(keyIdBytes))
  assert.deepEqual(header.nonce, nonce)
  assert.deepEqual(header.sealed, ramp(7, 40))
  assert.equal(peekKeyId(record), toHex(keyIdBytes))
})

test('a writer leaves the reserved bytes zero, whatever was there', () => {
  const record = new Uint8Array(recordHeaderBytes).fill(0xff)
  writeRecordHeader(record, 0, { codec: codecStored, plainBytes: 1, keyIdBytes, nonce })
  assert.deepEqual(record, layout(codecStored, 1, new Uint8Array(0)))
})

const whole = layout(codecStored, 30, ramp(1, 46))
const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'ends in its tag': layout(codecZstd, 30, new Uint8Array(15)),
  'is of version 0': patched(whole, 0, u8(0)),
  'has an unknown codec': patched(whole, 1, u8(2)),
  'has reserved bytes': patched(whole, 3, u8(1)),
  'is of an empty block': layout(codecStored, 0, new Uint8Array(16)),
  'is of a block that is too large': layout(codecZstd, blockBytesMax + 1, ramp(0, 40)),
  'is stored and one byte short': whole.subarray(0, -1),
  'is stored and one byte long': joined(whole, u8(0)),
  'was compressed to more than it was': layout(codecZstd, 29, ramp(1, 46)),
  'was compressed to what it was': layout(codecZstd, 30, ramp(1, 46)),
}
for (const [what, record] of Object.entries(malformed)) {
  test(`a record that ${what} is damaged`, () => {
    assert.throws(() => decodeRecord(record), damaged)
  })
}

test('a record of a version to come says so', () => {
  assert.throws(() => decodeRecord(patched(whole, 0, u8(2))), { code: 'E_FORMAT_NEWER' })
})

test('the key id of what is shorter than any record is not read', () => {
  assert.throws(() => peekKeyId(new Uint8Array(recordOverheadBytes - 1)), damaged)
})

test('property: what is written is read', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(codecStored, codecZstd),
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.nat(500),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array({ minLength: 24, maxLength: 24 }),
      (codec, content, saved, keyId, anyNonce) => {
        const plainBytes = content.length + (codec === codecStored ? 0 : 1 + saved)
        const record = joined(new Uint8Array(recordHeaderBytes), content, new Uint8Array(16))
        writeRecordHeader(record, 0, { codec, plainBytes, keyIdBytes: keyId, nonce: anyNonce })
        const header = decodeRecord(record)
        assert.deepEqual(
          [header.codec, header.plainBytes, header.keyId, toHex(header.nonce), header.sealed.length],
          [codec, plainBytes, toHex(keyId), toHex(anyNonce), content.length + 16],
        )
      },
    ),
  )
})

test('a published record: the bytes of docs/format.md, section 16', () => {
  const record = hexBytes(
    '010000002800000043ab8784df2e2e39fa941951272acd0f6f801e2f7a6638804cf22a9d000000000000000000000001' +
      '6502f22b1464f04dae3db9f083b06b08bcc80ea0adad58316162e2bef564ff737892b4bb2c7c6a40a268f49cfe2ce2eb188dfb1ed9a37f99',
  )
  const header = decodeRecord(record)
  assert.deepEqual(
    [header.codec, header.plainBytes, header.keyId],
    [codecStored, 40, '43ab8784df2e2e39fa941951272acd0f'],
  )
})
