import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { objectNameCharsMax, objectNamePartCharsMax } from '../limits.ts'
import { checkListPrefix, checkObjectName, compareNames, isObjectName } from './object-names.ts'

const character = fc.constantFrom('a', 'b', 'x', 'y', 'z', '0', '1', '9', '.', '_', '-')
const part = fc
  .array(character, { minLength: 1, maxLength: 12 })
  .map((characters) => characters.join(''))
  .filter((text) => text !== '.' && text !== '..')
const name = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'))

test('every name of the allowed form is taken, and every start of it as a prefix', () => {
  fc.assert(
    fc.property(name, fc.nat(80), (text, length) => {
      checkObjectName(text)
      checkListPrefix(text.slice(0, length))
    }),
  )
})

test('no name can leave its directory or mean something to a shell, a URL or a file system', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), name), (text) => {
      const parts = text.split('/')
      const isAllowed =
        parts.every((one) => /^[a-z0-9._-]+$/.test(one) && one !== '.' && one !== '..') && !text.includes('\n')
      assert.equal(isObjectName(text), isAllowed)
    }),
  )
})

test('a refusal says why and does not repeat a long name', () => {
  assert.throws(() => {
    checkObjectName('a'.repeat(objectNamePartCharsMax + 1))
  }, /a part has 256 characters, at most 255/)
  assert.throws(() => {
    checkObjectName('a/'.repeat(objectNameCharsMax))
  }, /it has 1800 characters, at most 900/)
  assert.throws(
    () => {
      checkObjectName('a/../b')
    },
    { code: 'E_OBJECT_NAME', message: '"a/../b" cannot name an object: a part must not be ..' },
  )
  assert.throws(
    () => {
      checkListPrefix('a//')
    },
    { code: 'E_OBJECT_NAME' },
  )
  assert.throws(
    () => {
      checkObjectName(`${'secret'.repeat(1000)}!`)
    },
    (error: Error) => error.message.length < 300,
  )
})

test('names compare as their bytes do', () => {
  fc.assert(
    fc.property(name, name, (a, b) => {
      assert.equal(Math.sign(compareNames(a, b)), Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))))
    }),
  )
})
