import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enrolmentUsesMax } from '../limits.ts'
import { ramp } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { boxKinds } from './box.ts'
import { decodeDocument, encodeDocument, parseDocument, type DocumentType } from './document.ts'
import { claimType, endpointType, type Endpoint } from './endpoint.ts'
import { enrolmentTokenType, tokenUseType, type EnrolmentTokenDocument } from './enrolment-token.ts'
import { registryFolders } from './names.ts'
import { repairsType } from './repairs.ts'
import { retentionType } from './retention.ts'
import type { Schema } from './schema.ts'
import { scrubType } from './scrub.ts'
import { tenantPolicyType } from './tenant-policy.ts'

const id = (digit: string): string => digit.repeat(32)
const at = '2026-01-02T03:04:05.678Z'

const endpoint: Endpoint = {
  strata: 'endpoint',
  version: 1,
  endpoint: id('1'),
  name: 'web1',
  publicKey: id('2').repeat(2),
  fingerprint: id('3').repeat(2),
  machine: { hostName: 'h', system: 's', architecture: 'a' },
  state: 'active',
  token: id('4'),
  use: 1,
  enrolledAt: at,
  changedAt: at,
  note: '',
}

const token: EnrolmentTokenDocument = {
  strata: 'enrolment-token',
  version: 1,
  token: id('4'),
  secretHash: id('5').repeat(2),
  createdAt: at,
  expiresAt: at,
  usesMax: 1,
  endpoint: null,
  note: '',
  revoked: false,
}

const use = { strata: 'token-use', version: 1, token: id('4'), enrolment: id('6'), endpoint: id('1'), usedAt: at }
const policy = { strata: 'tenant-policy', version: 1, policy: id('8'), body: { anything: [1] }, createdAt: at }
const claim = { strata: 'claim', version: 1, claim: id('7'), endpoint: id('1') }
const retention = {
  strata: 'retention',
  version: 1,
  set: id('9'),
  changedAt: at,
  change: 'why',
  marked: [],
  gone: [[1, 2]],
  held: [],
  heldSet: null,
  collected: [],
}
const object = `${id('a')}/data-00000000-${'1'.repeat(16)}`
const scrub = {
  strata: 'scrub',
  version: 1,
  set: id('9'),
  changedAt: at,
  change: 'why',
  periodMs: 1,
  since: at,
  oldestBefore: at,
  coveredUntil: at,
  takenIn: 0,
  takenInTo: object,
  walkedAt: null,
  damage: [],
  damageTruncated: false,
  past: [],
  deep: [],
}
const repairs = {
  strata: 'repairs',
  version: 1,
  chain: id('c'),
  set: id('9'),
  changedAt: at,
  objects: [object],
  records: [[0, 1, 0, 2, 3]],
  keys: ['ab'.repeat(96)],
}

type AnyType = DocumentType<Schema> & { readonly folder: string }

const documents: readonly (readonly [AnyType, object])[] = [
  [endpointType, endpoint],
  [enrolmentTokenType, token],
  [tokenUseType, use],
  [claimType, claim],
  [tenantPolicyType, policy],
  [retentionType, retention],
  [scrubType, scrub],
  [repairsType, repairs],
]

test('each is read as it was written, from a box of the one kind they share', () => {
  const keys = testIndexKeys()
  for (const [type, document] of documents) {
    const bytes = encodeDocument(type, 'name', document, keys, ramp(0, 24))
    assert.equal(bytes[7], boxKinds.registry)
    assert.deepEqual(decodeDocument(type, 'name', bytes, keys), document)
    for (const [other] of documents) {
      if (other === type) continue
      assert.throws(() => decodeDocument(other, 'name', bytes, keys), { code: 'E_FORMAT_KIND' }, other.title)
    }
  }
})

test('every kind has a folder of its own', () => {
  assert.deepEqual(documents.map(([{ folder }]) => folder).sort(), [...registryFolders].sort())
})

test('every member is needed', () => {
  for (const [type, document] of documents) {
    for (const member of Object.keys(document).slice(2)) {
      const without = Buffer.from(JSON.stringify({ ...document, [member]: undefined }))
      assert.throws(() => parseDocument(type, 'name', without), { code: 'E_FORMAT_DAMAGED' }, member)
    }
  }
})

test('what is out of bounds is damaged', () => {
  const wrongEndpoints = [{ state: 'gone' }, { name: '' }, { publicKey: id('2') }, { use: 0 }, { enrolledAt: 'now' }]
  for (const change of wrongEndpoints) {
    const bytes = Buffer.from(JSON.stringify({ ...endpoint, ...change }))
    assert.throws(() => parseDocument(endpointType, 'name', bytes), { code: 'E_FORMAT_DAMAGED' })
  }
  for (const change of [{ usesMax: 0 }, { usesMax: enrolmentUsesMax + 1 }, { endpoint: '' }, { revoked: 'no' }]) {
    const bytes = Buffer.from(JSON.stringify({ ...token, ...change }))
    assert.throws(() => parseDocument(enrolmentTokenType, 'name', bytes), { code: 'E_FORMAT_DAMAGED' })
  }
})
