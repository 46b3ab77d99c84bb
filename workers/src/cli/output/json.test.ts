import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { jsonDocument } from './json.ts'

test('a document means what it was made from, and holds nothing that steers a terminal', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), (value) => {
      const text = jsonDocument(value)
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
      assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
    }),
  )
})

test('marks of one and of two units', () => {
  assert.equal(jsonDocument('\u009b\u202e\u{e0001}'), '"\\u009b\\u202e\\udb40\\udc01"\n')
})
