import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enrolmentUsesMax } from '../limits.ts'
import { boxedExamples, exampleEndpoint, exampleToken, versionedExamples } from '../testing/boxed-examples.ts'
import { ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { boxKinds } from './box.ts'
import { decodeDocument, encodeDocument, parseDocument } from './document.ts'
import { endpointType } from './endpoint.ts'
import { enrolmentTokenType } from './enrolment-token.ts'
import { registryFolders } from './names.ts'

const id = (digit: string): string => digit.repeat(32)

test('each is read as it was written, from a box of the one kind they share', () => {
  const keys = testIndexKeys()
  for (const [type, document] of boxedExamples) {
    const bytes = encodeDocument(type, 'name', document, keys, ramp(0, 24))
    assert.equal(bytes[7], boxKinds.registry)
    assert.deepEqual(decodeDocument(type, 'name', bytes, keys), document)
    for (const [other] of boxedExamples) {
      if (other === type) continue
      assert.throws(() => decodeDocument(other, 'name', bytes, keys), { code: 'E_FORMAT_KIND' }, other.title)
    }
  }
})

test('every kind has a folder of its own', () => {
  assert.deepEqual(versionedExamples.map(([{ folder }]) => folder).sort(), [...registryFolders].sort())
})

test('every member is needed', () => {
  for (const [type, document] of boxedExamples) {
    for (const member of Object.keys(document).slice(2)) {
      const without = Buffer.from(JSON.stringify({ ...document, [member]: undefined }))
      assert.throws(() => parseDocument(type, 'name', without), { code: 'E_FORMAT_DAMAGED' }, member)
    }
  }
})

test('what is out of bounds is damaged', () => {
  const wrongEndpoints = [{ state: 'gone' }, { name: '' }, { publicKey: id('2') }, { use: 0 }, { enrolledAt: 'now' }]
  for (const change of wrongEndpoints) {
    const bytes = Buffer.from(JSON.stringify({ ...exampleEndpoint, ...change }))
    assert.throws(() => parseDocument(endpointType, 'name', bytes), { code: 'E_FORMAT_DAMAGED' })
  }
  for (const change of [{ usesMax: 0 }, { usesMax: enrolmentUsesMax + 1 }, { endpoint: '' }, { revoked: 'no' }]) {
    const bytes = Buffer.from(JSON.stringify({ ...exampleToken, ...change }))
    assert.throws(() => parseDocument(enrolmentTokenType, 'name', bytes), { code: 'E_FORMAT_DAMAGED' })
  }
})
