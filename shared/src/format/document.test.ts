import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { documentBytesMax } from '../limits.ts'
import { ascii, ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { boxKinds, openBox, sealBox } from './box.ts'
import {
  bytesSchema,
  countSchema,
  decodeDocument,
  decodeEither,
  digestHexSchema,
  documentHead,
  encodeDocument,
  idSchema,
  instantSchema,
  parseDocument,
} from './document.ts'

const keys = testIndexKeys()
const nonce = ramp(1, 24)
const schema = v.object({ ...documentHead('thing', 2), size: bytesSchema, words: v.array(v.string()) })
const type = { kind: boxKinds.session, title: 'thing', version: 2, schema } as const
const thing = { strata: 'thing', version: 2, size: 7, words: ['a', '\u00e4'] } as const
const value = { ...thing, words: [...thing.words] }
const name = 'tenants/t/thing'

const json = (content: unknown): Uint8Array => Buffer.from(JSON.stringify(content), 'utf8')

test('a document is its JSON, in a box whose context is its name', () => {
  const bytes = encodeDocument(type, name, value, keys, nonce)
  const text = Buffer.from(openBox(boxKinds.session, name, bytes, keys)).toString('utf8')
  assert.equal(text, '{"strata":"thing","version":2,"size":7,"words":["a","\u00e4"]}')
  assert.deepEqual(decodeDocument(type, name, bytes, keys), value)
  assert.throws(() => decodeDocument(type, `${name}2`, bytes, keys), { code: 'E_SEAL_BROKEN' })
  assert.throws(() => decodeDocument({ ...type, kind: boxKinds.manifest }, name, bytes, keys), {
    code: 'E_FORMAT_KIND',
  })
})

const refused: readonly (readonly [string, unknown, string])[] = [
  ['is of a version to come', { ...value, version: 3 }, 'E_FORMAT_NEWER'],
  ['is of a version to come that looks quite different', { strata: 'thing', version: 99 }, 'E_FORMAT_NEWER'],
  ['is of a version that is not read any more', { ...value, version: 1 }, 'E_FORMAT_DAMAGED'],
  ['has a version that is no number', { ...value, version: '2' }, 'E_FORMAT_DAMAGED'],
  ['is something else', { ...value, strata: 'manifest' }, 'E_FORMAT_KIND'],
  ['does not say what it is', { size: 7 }, 'E_FORMAT_KIND'],
  ['is null', null, 'E_FORMAT_KIND'],
  ['is a number', 7, 'E_FORMAT_KIND'],
  ['is a list', [value], 'E_FORMAT_KIND'],
  ['lacks a member', { strata: 'thing', version: 2, size: 7 }, 'E_FORMAT_DAMAGED'],
  ['has a member of another type', { ...value, size: '7' }, 'E_FORMAT_DAMAGED'],
  ['has a number out of range', { ...value, size: -1 }, 'E_FORMAT_DAMAGED'],
  ['has half a number', { ...value, size: 0.5 }, 'E_FORMAT_DAMAGED'],
]
for (const [what, content, code] of refused) {
  test(`a document that ${what} is refused with ${code}`, () => {
    assert.throws(() => parseDocument(type, name, json(content)), { code })
    assert.throws(() => decodeDocument(type, name, sealBox(type.kind, name, json(content), keys, nonce), keys), {
      code,
    })
  })
}

const otherSchema = v.object({ ...documentHead('other', 1), words: bytesSchema })
const otherType = { kind: boxKinds.session, title: 'other', version: 1, schema: otherSchema } as const

test('of two documents under one name each says which it is, and has to fit that', () => {
  const either = (content: unknown): unknown =>
    decodeEither(type, otherType, name, sealBox(type.kind, name, json(content), keys, nonce), keys)
  const other = { strata: 'other', version: 1, words: 7 }
  assert.deepEqual(either(value), value)
  assert.deepEqual(either(other), other)
  for (const [what, content, code] of refused) assert.throws(() => either(content), { code }, what)
  assert.throws(() => either({ ...other, version: 2 }), { code: 'E_FORMAT_NEWER' })
  assert.throws(() => either({ ...other, words: [...value.words] }), { code: 'E_FORMAT_DAMAGED' })
  const bytes = encodeDocument(otherType, name, { strata: 'other', version: 1, words: 7 }, keys, nonce)
  assert.throws(() => decodeEither(type, otherType, `${name}2`, bytes, keys), { code: 'E_SEAL_BROKEN' })
  assert.throws(() => decodeEither(type, otherType, name, new Uint8Array(documentBytesMax + 100), keys), {
    code: 'E_FORMAT_DAMAGED',
  })
})

test('what is no JSON is damaged, and the message holds nothing of it', () => {
  for (const text of ['', '{', '{"strata":"thing","version":2,', 'secret', '\u0000']) {
    assert.throws(
      () => parseDocument(type, name, ascii(text)),
      (error) => {
        assert.equal((error as { code: string }).code, 'E_FORMAT_DAMAGED')
        assert.doesNotMatch((error as Error).message, /secret/)
        return true
      },
    )
  }
})

test('a text that is no UTF-8, or begins with a byte order mark, is damaged', () => {
  const text = Buffer.from(json(value))
  const broken = Buffer.from(text)
  broken[text.indexOf('"a"') + 1] = 0xff
  for (const bytes of [broken, Buffer.concat([Buffer.from('\ufeff', 'utf8'), text])]) {
    assert.throws(() => parseDocument(type, name, bytes), { code: 'E_FORMAT_DAMAGED' })
  }
  assert.deepEqual(parseDocument(type, name, text), value)
})

test('members that a reader does not know are ignored', () => {
  const bytes = sealBox(type.kind, name, json({ ...value, more: { of: 'later' } }), keys, nonce)
  assert.equal(decodeDocument(type, name, bytes, keys).size, 7)
})

test('a member named __proto__ makes nothing of what it holds', () => {
  const text = ascii('{"__proto__":{"size":7,"words":[]},"strata":"thing","version":2}')
  assert.throws(() => parseDocument(type, name, text), { code: 'E_FORMAT_DAMAGED' })
})

test('a document that is too long is refused before it is read', () => {
  assert.throws(() => parseDocument(type, name, new Uint8Array(documentBytesMax + 1)), { code: 'E_LIMIT' })
  assert.throws(() => decodeDocument(type, name, new Uint8Array(documentBytesMax + 1), keys), {
    code: 'E_FORMAT_DAMAGED',
  })
})

test('what does not fit its schema is not written either', () => {
  assert.throws(() => encodeDocument(type, name, { ...value, size: -1 }, keys, nonce), { code: 'E_FORMAT_DAMAGED' })
})

test('members that documents share have one form only', () => {
  const check = (member: typeof idSchema | typeof countSchema, content: unknown): boolean => {
    const holder = { title: 'x', version: 1, schema: v.object({ ...documentHead('x', 1), member }) }
    try {
      parseDocument(holder, 'x', json({ strata: 'x', version: 1, member: content }))
      return true
    } catch {
      return false
    }
  }
  assert.equal(check(idSchema, '0123456789abcdef0123456789abcdef'), true)
  for (const id of ['0123456789ABCDEF0123456789abcdef', '0123', `${'0'.repeat(32)}\n`, ` ${'0'.repeat(31)}`, 7]) {
    assert.equal(check(idSchema, id), false, String(id))
  }
  assert.equal(check(digestHexSchema, 'ab'.repeat(32)), true)
  assert.equal(check(digestHexSchema, 'ab'.repeat(31)), false)
  assert.equal(check(instantSchema, '2026-01-02T03:04:05.678Z'), true)
  for (const instant of ['2026-01-02T03:04:05Z', '2026-01-02 03:04:05.678Z', '2026-01-02T03:04:05.678+01:00']) {
    assert.equal(check(instantSchema, instant), false, instant)
  }
  assert.equal(check(countSchema, 2 ** 32 + 1), false)
  assert.equal(check(bytesSchema, Number.MAX_SAFE_INTEGER), true)
  assert.equal(check(bytesSchema, Number.MAX_SAFE_INTEGER + 1), false)
})

test('property: every document is read as it was written', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.array(fc.string({ unit: 'binary' })), (size, words) => {
      const document = { ...value, size, words }
      assert.deepEqual(decodeDocument(type, name, encodeDocument(type, name, document, keys, nonce), keys), document)
    }),
  )
})
