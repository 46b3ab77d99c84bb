import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { displayWidth, fitted, printable } from './printable.ts'

test('escape sequences, line breaks and direction marks are written out', () => {
  assert.equal(printable('\u001b[2Jgone\u0007'), '\\x1b[2Jgone\\x07')
  assert.equal(printable('a\r\nb\tc'), 'a\\r\\nb\\tc')
  assert.equal(printable('gpj.\u202eexe\u2028'), 'gpj.\\u{202e}exe\\u{2028}')
  assert.equal(printable('\u009b31m'), '\\x9b31m')
  assert.equal(printable('\ud800'), '\\u{d800}')
})

test('what people write stays as it is', () => {
  for (const text of ['web-1', 'Müller & Söhne', '日本', '🦀', 'C:\\disks', '']) assert.equal(printable(text), text)
})

test('printable text is one line without anything invisible, whatever went in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
    }),
  )
})

test('width counts columns, not characters', () => {
  assert.equal(displayWidth('web-1'), 5)
  assert.equal(displayWidth('日本'), 4)
  assert.equal(displayWidth('e\u0301'), 1)
  assert.equal(displayWidth('🦀'), 2)
  assert.equal(displayWidth('…'), 1)
})

test('fitted text never takes more than its columns, and is cut only where it must be', () => {
  assert.equal(fitted('backup', 6), 'backup')
  assert.equal(fitted('backup', 5), 'back…')
  assert.equal(fitted('日本語', 5), '日本…')
  assert.equal(fitted('日本語', 4), '日…')
  assert.equal(fitted('backup', 0), '')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, columns) => {
      assert.ok(displayWidth(fitted(printable(text), columns)) <= columns)
    }),
  )
})
