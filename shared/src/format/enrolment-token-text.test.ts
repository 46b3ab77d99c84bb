import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { hasCode } from '../errors.ts'
import { ramp, toHex } from '../testing/layout.ts'
import { asId, idFromBytes, type EnrolmentTokenId, type TenantId } from '../types.ts'
import { EnrolmentToken } from './enrolment-token-text.ts'

const bytes = (count: number) => fc.uint8Array({ minLength: count, maxLength: count })
const token = fc
  .tuple(bytes(16), bytes(16), bytes(32))
  .map(
    ([tenant, id, secret]) =>
      new EnrolmentToken(idFromBytes<TenantId>(tenant), idFromBytes<EnrolmentTokenId>(id), secret),
  )

const example = new EnrolmentToken(asId<TenantId>('1'.repeat(32)), asId<EnrolmentTokenId>('2'.repeat(32)), ramp(0, 32))
const line = `strata-enrol-${'1'.repeat(32)}-${'2'.repeat(32)}-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8`

test('the line and the hash are those of docs/format.md', () => {
  assert.equal(example.text(), line)
  assert.equal(example.secretHash(), '630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd')
})

test('property: a token is read as it was written, and is one line that needs no quotes', () => {
  fc.assert(
    fc.property(token, (written) => {
      const read = EnrolmentToken.parse(written.text())
      assert.deepEqual([read.tenant, read.id, read.text()], [written.tenant, written.id, written.text()])
      assert.match(written.text(), /^[A-Za-z0-9_-]+$/)
      assert.ok(read.fits(written.secretHash()))
    }),
  )
})

test('property: a token with another character in it is no token, or another one', () => {
  fc.assert(
    fc.property(token, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (written, at, character) => {
      const text = written.text()
      const changed = text.slice(0, at % text.length) + character + text.slice((at % text.length) + 1)
      if (changed === text) return
      try {
        const read = EnrolmentToken.parse(changed)
        assert.equal(read.text(), changed)
        const isOther = read.tenant !== written.tenant || read.id !== written.id || !read.fits(written.secretHash())
        assert.ok(isOther)
      } catch (error) {
        assert.ok(hasCode(error, 'E_ENROLMENT_TOKEN'))
      }
    }),
  )
})

test('property: any text is a token or is refused by its code, without being repeated', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constant(`${line}x`), fc.constant(line.slice(1))), (text) => {
      assert.throws(
        () => EnrolmentToken.parse(text),
        (error) => hasCode(error, 'E_ENROLMENT_TOKEN') && (text.length < 9 || !JSON.stringify(error).includes(text)),
      )
    }),
  )
})

test('it is read strictly: no space, no other letters, no second spelling of the secret', () => {
  const wrong = [
    '',
    ` ${line}`,
    `${line}\n`,
    `${line}=`,
    line.slice(0, -1),
    line.toUpperCase(),
    line.replace('enrol', 'enroll'),
    line.replace('1111', '111g'),
    // The last character has two bits that no byte has.
    `${line.slice(0, -1)}9`,
  ]
  for (const text of wrong) assert.throws(() => EnrolmentToken.parse(text), { code: 'E_ENROLMENT_TOKEN' }, text)
})

test('only the hash of its own secret fits', () => {
  assert.ok(example.fits(example.secretHash()))
  for (const hash of ['', '00', '0'.repeat(64), toHex(ramp(0, 32)), example.secretHash().slice(2)]) {
    assert.ok(!example.fits(hash), hash)
  }
})

test('what is printed or serialised by accident shows no secret', () => {
  const secret = line.slice(-43)
  for (const shown of [inspect(example, { depth: 9, showHidden: true }), JSON.stringify({ example })]) {
    assert.ok(!shown.includes(secret.slice(0, 8)) && !shown.includes('000102'), shown)
  }
})
