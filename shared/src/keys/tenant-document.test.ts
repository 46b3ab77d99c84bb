import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { systemRandomBytes } from '../clock.ts'
import { hasCode } from '../errors.ts'
import { documentBytesMax, indexKeyGenerationsMax, privateKeyWrapsMax } from '../limits.ts'
import { idFromBytes, type Id, type TenantId } from '../types.ts'
import { decodeTenantKeys, encodeTenantKeys, type TenantKeysDocument } from './tenant-document.ts'
import { createTenantKeys } from './tenant-keys.ts'
import type { PassphraseWrap } from './wrap-schema.ts'

let document: TenantKeysDocument
const passphraseWrap: PassphraseWrap = {
  kind: 'passphrase',
  kdf: 'scrypt',
  N: 65_536,
  r: 8,
  p: 2,
  salt: '0'.repeat(64),
  nonce: '0'.repeat(48),
  sealed: '0'.repeat(96),
}

before(async () => {
  const created = await createTenantKeys({
    tenantId: idFromBytes<TenantId>(systemRandomBytes(16)),
    repositoryId: idFromBytes<Id>(systemRandomBytes(16)),
    tenantName: 'a tenant',
    unlock: { keyFile: systemRandomBytes(32) },
    random: systemRandomBytes,
  })
  document = { ...created.document, privateKeyWraps: [passphraseWrap, ...created.document.privateKeyWraps] }
})

const textOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), 'utf8')
const withWrap = (change: Partial<PassphraseWrap>): Buffer =>
  textOf({ ...document, privateKeyWraps: [{ ...passphraseWrap, ...change }] })

function requireNamed(bytes: Uint8Array): void {
  try {
    decodeTenantKeys(bytes)
  } catch (error) {
    if (hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER', 'E_LIMIT')) return
    throw error
  }
}

test('a document is one line of JSON that begins with what it is and ends with its mac', () => {
  const text = Buffer.from(encodeTenantKeys(document)).toString('utf8')
  assert.match(text, /^\{"strata":"tenant-keys","version":1,"revision":1,"repositoryId":"[0-9a-f]{32}",/)
  assert.match(text, /,"mac":"[0-9a-f]{64}"\}$/)
  assert.deepEqual(decodeTenantKeys(Buffer.from(text, 'utf8')), document)
})

test('fuzz: arbitrary bytes end in a named error', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), requireNamed), { numRuns: 500 })
})

test('fuzz: arbitrary JSON with the right head ends in a named error', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (members) => {
      requireNamed(textOf({ strata: 'tenant-keys', version: 1, ...members }))
      requireNamed(textOf({ ...document, ...members }))
    }),
    { numRuns: 300 },
  )
})

test('fuzz: a valid document with bytes changed, cut out or doubled ends in a named error or is unchanged in meaning', () => {
  const change = fc.record({ at: fc.nat(), length: fc.nat(20), bytes: fc.uint8Array({ maxLength: 20 }) })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      let bytes = Buffer.from(encodeTenantKeys(document))
      for (const { at, length, bytes: inserted } of changes) {
        const start = at % bytes.length
        bytes = Buffer.concat([bytes.subarray(0, start), inserted, bytes.subarray(start + length)])
      }
      requireNamed(bytes)
    }),
    { numRuns: 500 },
  )
})

test('fuzz: a valid document with one member replaced by any JSON ends in a named error', () => {
  const names = [
    'strata',
    'version',
    'revision',
    'repositoryId',
    'tenantId',
    'publicKey',
    'tenantName',
    'indexKeys',
    'privateKeyWraps',
    'mac',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.jsonValue(), (name, value) => {
      // Numbers may happen to be right; everything else has a form that no arbitrary JSON has.
      fc.pre(typeof value !== 'number' || !Number.isInteger(value))
      assert.throws(
        () => decodeTenantKeys(textOf({ ...document, [name]: value })),
        (error) => hasCode(error, 'E_FORMAT_DAMAGED', 'E_FORMAT_KIND', 'E_FORMAT_NEWER'),
      )
    }),
    { numRuns: 300 },
  )
})

test('hostile sizes and depths are refused by name', () => {
  const text = encodeTenantKeys(document)
  assert.throws(() => decodeTenantKeys(new Uint8Array(documentBytesMax + 1)), { code: 'E_LIMIT' })
  for (const filler of ['[', '{"a":', ' ', '"', '0']) {
    requireNamed(Buffer.from(filler.repeat(Math.floor(documentBytesMax / filler.length))))
  }
  // Deep, but well-formed and in a member that nobody knows.
  const depth = 1_000_000
  const deep = `{"x":${'['.repeat(depth)}${']'.repeat(depth)},${Buffer.from(text).toString('utf8').slice(1)}`
  assert.throws(() => decodeTenantKeys(Buffer.from(deep)), { code: 'E_FORMAT_DAMAGED' })

  const many = <T>(count: number, value: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => value(i))
  const [indexKey] = document.indexKeys
  const damaged = { code: 'E_FORMAT_DAMAGED' }
  const tooManyKeys = many(indexKeyGenerationsMax + 1, (i) => ({ ...indexKey, generation: i + 1 }))
  assert.throws(() => decodeTenantKeys(textOf({ ...document, indexKeys: tooManyKeys })), damaged)
  const tooManyWraps = many(privateKeyWrapsMax + 1, () => passphraseWrap)
  assert.throws(() => decodeTenantKeys(textOf({ ...document, privateKeyWraps: tooManyWraps })), damaged)
})

test('what scrypt may cost is bounded before it is spent', () => {
  const limit = { code: 'E_LIMIT' }
  assert.throws(() => decodeTenantKeys(withWrap({ N: 2 ** 21, r: 1 })), limit)
  assert.throws(() => decodeTenantKeys(withWrap({ N: 2 ** 20, r: 8 })), limit)
  assert.throws(() => decodeTenantKeys(withWrap({ r: Number.MAX_SAFE_INTEGER })), limit)
  assert.throws(() => decodeTenantKeys(withWrap({ p: 17 })), limit)
  const damaged = { code: 'E_FORMAT_DAMAGED' }
  assert.throws(() => decodeTenantKeys(withWrap({ N: 65_535 })), damaged)
  assert.throws(() => decodeTenantKeys(withWrap({ N: 1 })), damaged)
  assert.throws(() => decodeTenantKeys(withWrap({ r: 0 })), damaged)
  assert.throws(() => decodeTenantKeys(withWrap({ N: 65_536, r: 1 })), damaged)
  assert.throws(() => decodeTenantKeys(withWrap({ p: 1.5 })), damaged)
  // The bounds themselves are allowed.
  decodeTenantKeys(withWrap({ N: 2 ** 20, r: 2, p: 16 }))
  decodeTenantKeys(withWrap({ N: 32_768, r: 1 }))
})

test('what only the second version has is refused in the first, and the other way round', () => {
  const damaged = { code: 'E_FORMAT_DAMAGED' }
  const [keyFileWrap] = document.privateKeyWraps.slice(-1)
  const sheet = { ...keyFileWrap, kind: 'recoverySheet' }
  assert.throws(() => decodeTenantKeys(textOf({ ...document, privateKeyWraps: [sheet] })), damaged)
  assert.throws(() => decodeTenantKeys(textOf({ ...document, version: 2 })), damaged)
  const { mac, ...others } = document
  const second = { ...others, version: 2, formerKeys: [], privateKeyWraps: [sheet], mac }
  assert.equal(decodeTenantKeys(textOf(second)).privateKeyWraps[0]?.kind, 'recoverySheet')
})

test('a newer version, another kind and another spelling are told apart', () => {
  const { mac, ...rest } = document
  assert.throws(() => decodeTenantKeys(textOf({ ...document, version: 3 })), { code: 'E_FORMAT_NEWER' })
  assert.throws(() => decodeTenantKeys(textOf({ ...document, strata: 'repository' })), { code: 'E_FORMAT_KIND' })
  const damaged = { code: 'E_FORMAT_DAMAGED' }
  assert.throws(() => decodeTenantKeys(Buffer.from(JSON.stringify(document, undefined, 1))), damaged)
  assert.throws(() => decodeTenantKeys(textOf({ mac, ...rest })), damaged)
  const doubled = JSON.stringify(document).replace('"version":1,', '"version":1,"version":1,')
  assert.throws(() => decodeTenantKeys(Buffer.from(doubled)), damaged)
})

test('generations start with the first and ascend', () => {
  const [indexKey] = document.indexKeys
  const damaged = { code: 'E_FORMAT_DAMAGED' }
  for (const generations of [[2], [1, 1], [1, 3, 2]]) {
    const indexKeys = generations.map((generation) => ({ ...indexKey, generation }))
    assert.throws(() => decodeTenantKeys(textOf({ ...document, indexKeys })), damaged)
  }
  const indexKeys = [1, 2, 5].map((generation) => ({ ...indexKey, generation }))
  assert.equal(decodeTenantKeys(textOf({ ...document, indexKeys })).indexKeys.length, 3)
})

test('an encoder does not let out what a reader would refuse', () => {
  assert.throws(() => encodeTenantKeys({ ...document, publicKey: 'AB'.repeat(32) }), { code: 'E_FORMAT_DAMAGED' })
})
