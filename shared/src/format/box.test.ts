import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ascii, joined, patched, ramp, toHex, u32, u8 } from '../testing/layout.ts'
import { testIndexKeys, testKey } from '../testing/test-repository.ts'
import { boxKinds, boxOverheadBytes, openBox, sealBox } from './box.ts'
import { SealingKey } from './xaes.ts'

const keys = testIndexKeys([1, 0x01020304])
const nonce = ramp(0x10, 24)
const context = 'tenants/t/points/s/0000000001'
const text = ascii('what is in the box')

test('layout: preamble, generation, reserved, nonce, sealed', () => {
  const box = sealBox(boxKinds.manifest, context, text, keys, nonce)
  const head = joined(ascii('STRATA'), u8(1), u8(5), u32(0x01020304), u32(0), nonce)
  assert.equal(toHex(box.subarray(0, 40)), toHex(head), 'the layout of a box changed: that is another version')
  const key = new SealingKey(testKey(`index ${String(0x01020304)}`))
  const aad = joined(head.subarray(0, 16), Buffer.from(context))
  assert.equal(toHex(box.subarray(40)), toHex(key.seal(nonce, aad, text)))
  assert.equal(box.length, text.length + boxOverheadBytes)
  assert.equal(boxOverheadBytes, 56)
})

test('the kinds of boxes are the numbers that docs/format.md lists', () => {
  assert.deepEqual(boxKinds, {
    footer: 1,
    page: 2,
    node: 3,
    root: 4,
    manifest: 5,
    session: 6,
    sessionEnd: 7,
    registry: 8,
    catalog: 9,
  })
})

test('a box of an earlier generation opens as long as its key is at hand', () => {
  const box = sealBox(boxKinds.page, context, text, testIndexKeys([1]), nonce)
  assert.deepEqual(openBox(boxKinds.page, context, box, keys), new Uint8Array(text))
  assert.throws(() => openBox(boxKinds.page, context, box, testIndexKeys([2])), { code: 'E_SEAL_BROKEN' })
})

test('a box of a later generation: the keyring is behind, where the keys come from one', () => {
  const box = sealBox(boxKinds.page, context, text, keys, nonce)
  const earlier = testIndexKeys([1])
  assert.throws(() => openBox(boxKinds.page, context, box, earlier), { code: 'E_SEAL_BROKEN' })
  assert.throws(() => openBox(boxKinds.page, context, box, { ...earlier, mayBeBehind: true }), {
    code: 'E_KEYRING_BEHIND',
  })
  const inBetween = patched(box, 8, u32(7))
  assert.throws(() => openBox(boxKinds.page, context, inBetween, { ...keys, mayBeBehind: true }), {
    code: 'E_SEAL_BROKEN',
  })
})

const whole = sealBox(boxKinds.page, context, text, keys, nonce)
const refused: readonly (readonly [string, Uint8Array, string])[] = [
  ['is empty', new Uint8Array(0), 'E_FORMAT_DAMAGED'],
  ['ends in its head', whole.subarray(0, 39), 'E_FORMAT_DAMAGED'],
  ['ends in its tag', whole.subarray(0, 55), 'E_FORMAT_DAMAGED'],
  ['begins otherwise', patched(whole, 0, u8(0)), 'E_FORMAT_DAMAGED'],
  ['is of version 0', patched(whole, 6, u8(0)), 'E_FORMAT_DAMAGED'],
  ['is of a version to come', patched(whole, 6, u8(2)), 'E_FORMAT_NEWER'],
  ['is of another kind', patched(whole, 7, u8(boxKinds.node)), 'E_FORMAT_KIND'],
  ['has reserved bytes', patched(whole, 12, u32(1)), 'E_FORMAT_DAMAGED'],
  ['names a key that is not there', patched(whole, 8, u32(7)), 'E_SEAL_BROKEN'],
  ['names another key', patched(whole, 8, u32(1)), 'E_SEAL_BROKEN'],
  ['has another nonce', patched(whole, 16, u8(0xff)), 'E_SEAL_BROKEN'],
  ['has other content', patched(whole, 40, u8((whole[40] ?? 0) ^ 1)), 'E_SEAL_BROKEN'],
  ['was cut', whole.subarray(0, -1), 'E_SEAL_BROKEN'],
  ['grew', joined(whole, u8(0)), 'E_SEAL_BROKEN'],
]
for (const [what, box, code] of refused) {
  test(`a box that ${what} is refused with ${code}`, () => {
    assert.throws(() => openBox(boxKinds.page, context, box, keys), { code })
  })
}

test('a box in the place of another does not open, and the message names the place', () => {
  assert.throws(() => openBox(boxKinds.page, `${context}0`, whole, keys), {
    code: 'E_SEAL_BROKEN',
    message: /tenants\/t\/points\/s\/00000000010/,
  })
})

test("another tenant's key does not open it", () => {
  const foreign = testIndexKeys([1, 0x01020304], 'foreign')
  assert.throws(() => openBox(boxKinds.page, context, whole, foreign), { code: 'E_SEAL_BROKEN' })
})

test('property: what is sealed opens, and with one flipped bit it does not', () => {
  const kinds = fc.constantFrom(...Object.values(boxKinds))
  fc.assert(
    fc.property(kinds, fc.string(), fc.uint8Array({ maxLength: 100 }), fc.nat(), (kind, place, content, bit) => {
      const box = sealBox(kind, place, content, keys, nonce)
      assert.deepEqual(openBox(kind, place, box, keys), content)
      const at = bit % (box.length * 8)
      const flipped = patched(box, at >> 3, u8((box[at >> 3] ?? 0) ^ (1 << (at & 7))))
      assert.throws(
        () => openBox(kind, place, flipped, keys),
        (error) => /^E_(SEAL_BROKEN|FORMAT_(DAMAGED|KIND|NEWER))$/.test((error as { code: string }).code),
      )
    }),
  )
})
