import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pointsPerSetMax } from '../limits.ts'
import { ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { boxKinds, openBox } from './box.ts'
import { decodeDocument, encodeDocument, parseDocument } from './document.ts'
import { manifestType } from './manifest.ts'
import { voidType, type Void } from './void.ts'

const given: Void = {
  strata: 'void',
  version: 1,
  session: '1'.repeat(32),
  sequence: 7,
  previous: '4'.repeat(64),
  createdAt: '2026-01-02T03:04:05.678Z',
}
const keys = testIndexKeys()
const name = 'tenants/t/points/s/0000000007'

test('a void is read as it was written, and its text is the one that docs/format.md describes', () => {
  const bytes = encodeDocument(voidType, name, given, keys, ramp(0, 24))
  assert.deepEqual(decodeDocument(voidType, name, bytes, keys), given)
  assert.equal(
    Buffer.from(openBox(boxKinds.manifest, name, bytes, keys)).toString(),
    `{"strata":"void","version":1,"session":"${given.session}","sequence":7,"previous":"${'4'.repeat(64)}","createdAt":"2026-01-02T03:04:05.678Z"}`,
  )
})

test('it is no manifest', () => {
  const bytes = encodeDocument(voidType, name, given, keys, ramp(0, 24))
  assert.throws(() => decodeDocument(manifestType, name, bytes, keys), { code: 'E_FORMAT_KIND' })
})

const parse = (content: unknown): unknown => parseDocument(voidType, name, Buffer.from(JSON.stringify(content)))

test('every member is needed, and has one form only', () => {
  assert.deepEqual(parse({ ...given, sequence: 1, previous: null }), { ...given, sequence: 1, previous: null })
  const wrong = [
    ...Object.keys(given)
      .slice(1)
      .map((member) => ({ [member]: undefined })),
    ...[0, pointsPerSetMax + 1, 0.5].map((sequence) => ({ sequence })),
    { session: 'web-1' },
    { previous: '' },
    { createdAt: 'yesterday' },
  ]
  for (const members of wrong) {
    assert.throws(() => parse({ ...given, ...members }), { code: 'E_FORMAT_DAMAGED' }, JSON.stringify(members))
  }
})
