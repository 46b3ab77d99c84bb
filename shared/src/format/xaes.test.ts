import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemRandomBytes } from '../clock.ts'
import { derivedKeysCachedMax } from '../limits.ts'
import { keyBytes, nonceBytes, saltBytes, saltedNonce, SaltedNonces, SealingKey, tagBytes } from './xaes.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')

// The two published vectors take both ways through CMAC's doubling: their keys give an L with and without the top bit.
const vectors = [
  { fill: 0x01, aad: '', sealed: 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271' },
  { fill: 0x03, aad: 'c2sp.org/XAES-256-GCM', sealed: '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d' },
]

for (const { fill, aad, sealed } of vectors) {
  test(`seals and opens C2SP's vector for the key of 0x0${String(fill)}`, () => {
    const key = new SealingKey(new Uint8Array(keyBytes).fill(fill))
    const nonce = ascii('ABCDEFGHIJKLMNOPQRSTUVWX')
    assert.equal(hex(key.seal(nonce, ascii(aad), ascii('XAES-256-GCM'))), sealed)
    assert.equal(hex(key.open(nonce, ascii(aad), Buffer.from(sealed, 'hex'))), hex(ascii('XAES-256-GCM')))
  })
}

test("gives C2SP's accumulated result over 10,000 random keys, nonces, messages and additional data", () => {
  const iterations = 10_000
  const source = createHash('shake128', { outputLength: iterations * (keyBytes + nonceBytes + 2 * 256) }).digest()
  let at = 0
  const take = (count: number): Uint8Array => source.subarray(at, (at += count))
  const sum = createHash('shake128', { outputLength: 32 })
  for (let i = 0; i < iterations; i++) {
    const key = new SealingKey(take(keyBytes))
    const nonce = take(nonceBytes)
    const plaintext = take(take(1)[0] ?? 0)
    const aad = take(take(1)[0] ?? 0)
    const sealed = key.seal(nonce, aad, plaintext)
    assert.ok(Buffer.from(key.open(nonce, aad, sealed)).equals(plaintext))
    sum.update(sealed)
  }
  assert.equal(sum.digest('hex'), 'e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939')
})

const bytes = (lengthMax: number, lengthMin = 0) => fc.uint8Array({ minLength: lengthMin, maxLength: lengthMax })
const exactly = (length: number) => bytes(length, length)

test('property: one flipped bit of nonce, additional data or sealed bytes does not open', () => {
  fc.assert(
    fc.property(
      exactly(keyBytes),
      exactly(nonceBytes),
      bytes(80),
      bytes(300),
      fc.nat(),
      (rawKey, nonce, aad, plaintext, at) => {
        const key = new SealingKey(rawKey)
        const sealed = key.seal(nonce, aad, plaintext)
        const all = Buffer.concat([nonce, aad, sealed])
        const bit = at % (all.length * 8)
        all[bit >> 3] = (all[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const sealedAt = nonceBytes + aad.length
        assert.throws(
          () => key.open(all.subarray(0, nonceBytes), all.subarray(nonceBytes, sealedAt), all.subarray(sealedAt)),
          { code: 'E_SEAL_BROKEN' },
        )
      },
    ),
  )
})

test('property: another key, missing bytes or added bytes do not open', () => {
  fc.assert(
    fc.property(
      exactly(keyBytes),
      exactly(nonceBytes),
      bytes(40),
      bytes(100),
      fc.nat(),
      (rawKey, nonce, aad, plaintext, n) => {
        const key = new SealingKey(rawKey)
        const sealed = key.seal(nonce, aad, plaintext)
        const other = Uint8Array.from(rawKey)
        other[n % keyBytes] = (other[n % keyBytes] ?? 0) ^ 0x40
        const broken = { code: 'E_SEAL_BROKEN' }
        assert.throws(() => new SealingKey(other).open(nonce, aad, sealed), broken)
        assert.throws(() => key.open(nonce, aad, sealed.subarray(0, n % sealed.length)), broken)
        assert.throws(() => key.open(nonce, aad, Buffer.concat([sealed, Uint8Array.of(n & 0xff)])), broken)
      },
    ),
  )
})

test('property: the variants into given memory do what the plain ones do, and touch nothing else', () => {
  fc.assert(
    fc.property(
      exactly(nonceBytes),
      bytes(40),
      bytes(300),
      fc.nat(20),
      fc.nat(20),
      (nonce, aad, plaintext, before, after) => {
        const key = new SealingKey(new Uint8Array(keyBytes).fill(7))
        const sealed = key.seal(nonce, aad, plaintext)
        const target = new Uint8Array(before + sealed.length + after).fill(0xaa)
        assert.equal(key.sealInto(target, before, nonce, aad, plaintext), sealed.length)
        const expected = new Uint8Array(target.length).fill(0xaa)
        expected.set(sealed, before)
        assert.deepEqual(target, expected)

        const opened = new Uint8Array(plaintext.length + after).fill(0xbb)
        assert.equal(key.openInto(opened, nonce, aad, sealed), plaintext.length)
        assert.deepEqual(opened.subarray(0, plaintext.length), plaintext)
        assert.ok(opened.subarray(plaintext.length).every((byte) => byte === 0xbb))
      },
    ),
  )
})

test('property: in place, the same bytes and tag come out as apart', () => {
  fc.assert(
    fc.property(exactly(nonceBytes), bytes(40), bytes(300), fc.nat(20), (nonce, aad, plaintext, before) => {
      const key = new SealingKey(new Uint8Array(keyBytes).fill(7))
      const memory = new Uint8Array(before + plaintext.length + 5).fill(0xaa)
      const place = memory.subarray(before, before + plaintext.length)
      place.set(plaintext)
      const tag = key.sealInPlace(nonce, aad, place)
      assert.equal(hex(place) + hex(tag), hex(key.seal(nonce, aad, plaintext)))
      key.openInPlace(nonce, aad, place, tag)
      assert.deepEqual(place, plaintext)
      assert.ok([...memory.subarray(0, before), ...memory.subarray(before + plaintext.length)].every((b) => b === 0xaa))

      const otherTag = Uint8Array.from(tag)
      otherTag[before % tagBytes] = (otherTag[before % tagBytes] ?? 0) ^ 1
      key.sealInPlace(nonce, aad, place)
      assert.throws(
        () => {
          key.openInPlace(nonce, aad, place, otherTag)
        },
        { code: 'E_SEAL_BROKEN' },
      )
      assert.ok(place.every((byte) => byte === 0))
    }),
  )
})

test('input longer than one call of the cipher takes is sealed as one message', () => {
  const key = new SealingKey(new Uint8Array(keyBytes).fill(1))
  const nonce = new Uint8Array(nonceBytes)
  const plaintext = systemRandomBytes(600 * 1024 + 1)
  const sealed = key.seal(nonce, ascii('context'), plaintext)
  assert.ok(Buffer.from(key.open(nonce, ascii('context'), sealed)).equals(plaintext))
  const place = Uint8Array.from(plaintext)
  const tag = key.sealInPlace(nonce, ascii('context'), place)
  assert.ok(Buffer.concat([place, tag]).equals(sealed))
  key.openInPlace(nonce, ascii('context'), place, tag)
  assert.ok(Buffer.from(place).equals(plaintext))
  sealed[0] = (sealed[0] ?? 0) ^ 1
  assert.throws(() => key.open(nonce, ascii('context'), sealed), { code: 'E_SEAL_BROKEN' })
})

test('nothing that was not authenticated stays in the target', () => {
  const key = new SealingKey(new Uint8Array(keyBytes).fill(1))
  const nonce = new Uint8Array(nonceBytes)
  const sealed = key.seal(nonce, ascii(''), ascii('a secret that was altered'))
  sealed[sealed.length - 1] = (sealed[sealed.length - 1] ?? 0) ^ 1
  const target = new Uint8Array(64).fill(0xcc)
  assert.throws(() => key.openInto(target, nonce, ascii(''), sealed), { code: 'E_SEAL_BROKEN' })
  const plainBytes = sealed.length - tagBytes
  assert.ok(target.subarray(0, plainBytes).every((byte) => byte === 0))
  assert.ok(target.subarray(plainBytes).every((byte) => byte === 0xcc))
})

test('a target that is too small, a short key and a short nonce are our own mistakes', () => {
  const key = new SealingKey(new Uint8Array(keyBytes))
  const nonce = new Uint8Array(nonceBytes)
  const sealed = key.seal(nonce, ascii(''), ascii('block'))
  const bug = { code: 'E_BUG' }
  assert.throws(() => key.sealInto(new Uint8Array(20), 0, nonce, ascii(''), ascii('block')), bug)
  assert.throws(() => key.sealInto(new Uint8Array(30), 10, nonce, ascii(''), ascii('block')), bug)
  assert.throws(() => key.openInto(new Uint8Array(4), nonce, ascii(''), sealed), bug)
  assert.throws(() => {
    key.openInPlace(nonce, ascii(''), sealed.slice(0, -tagBytes), sealed.subarray(-tagBytes, -1))
  }, bug)
  assert.throws(() => key.seal(nonce.subarray(1), ascii(''), ascii('block')), bug)
  assert.throws(() => new SealingKey(new Uint8Array(16)), bug)
})

test('salts beyond those that are cached open as well, first and again', () => {
  const key = new SealingKey(new Uint8Array(keyBytes).fill(9))
  const sealed = Array.from({ length: 3 * derivedKeysCachedMax }, (_, i) => {
    const nonce = new Uint8Array(nonceBytes)
    nonce[0] = i
    return { nonce, sealed: key.seal(nonce, ascii(''), Uint8Array.of(i)) }
  })
  for (const order of [sealed, sealed.toReversed(), sealed]) {
    for (const one of order) assert.deepEqual([...key.open(one.nonce, ascii(''), one.sealed)], [one.nonce[0]])
  }
})

test('the caller may wipe the key it gave', () => {
  const raw = new Uint8Array(keyBytes).fill(5)
  const nonce = new Uint8Array(nonceBytes)
  const key = new SealingKey(raw)
  raw.fill(0)
  assert.deepEqual(
    key.seal(nonce, ascii(''), ascii('x')),
    new SealingKey(raw.fill(5)).seal(nonce, ascii(''), ascii('x')),
  )
})

test('the nonces of a pack are its salt and a big-endian count from zero, and they end', () => {
  const asked: number[] = []
  const random = (count: number): Uint8Array => {
    asked.push(count)
    return new Uint8Array(count).fill(0xee)
  }
  const nonces = new SaltedNonces(random, 300)
  const salt = 'ee'.repeat(saltBytes)
  const given = Array.from({ length: 300 }, () => hex(nonces.next()))
  assert.equal(given[0], `${salt}000000000000000000000000`)
  assert.equal(given[1], `${salt}000000000000000000000001`)
  assert.equal(given[299], `${salt}00000000000000000000012b`)
  assert.equal(new Set(given).size, given.length)
  assert.throws(() => nonces.next(), { code: 'E_KEY_EXHAUSTED' })
  assert.throws(() => nonces.next(), { code: 'E_KEY_EXHAUSTED' })
  assert.deepEqual(asked, [saltBytes])
})

test('a nonce is made again from its salt and its number', () => {
  const nonces = new SaltedNonces(systemRandomBytes)
  const salt = nonces.salt
  for (let count = 0; count < 300; count += 1) assert.equal(hex(saltedNonce(salt, count)), hex(nonces.next()))
  const copy = hex(salt)
  nonces.salt.fill(0)
  assert.equal(hex(nonces.salt), copy, 'the salt is its own')
})

test('a nonce that was given does not change when the next one is asked for', () => {
  const nonces = new SaltedNonces(systemRandomBytes)
  const first = nonces.next()
  const copy = hex(first)
  nonces.next()
  assert.equal(hex(first), copy)
})
