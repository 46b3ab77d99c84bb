import type { DocumentType } from '../format/document.ts'
import { claimType, endpointType, type Endpoint } from '../format/endpoint.ts'
import { enrolmentTokenType, tokenUseType, type EnrolmentTokenDocument } from '../format/enrolment-token.ts'
import { repairsType } from '../format/repairs.ts'
import { pinType, retentionType } from '../format/retention.ts'
import type { Schema } from '../format/schema.ts'
import { scrubType } from '../format/scrub.ts'
import { tenantPolicyType } from '../format/tenant-policy.ts'
import { usageType } from '../format/usage.ts'

/** A document of each kind that lies in a box of kind 8. */
const id = (digit: string): string => digit.repeat(32)
const at = '2026-01-02T03:04:05.678Z'

export const exampleEndpoint: Endpoint = {
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

export const exampleToken: EnrolmentTokenDocument = {
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

const pin = {
  strata: 'pin',
  version: 1,
  pin: id('b'),
  points: [[1, 2]],
  purpose: 'why',
  madeAt: at,
  expiresAt: at,
}
const usage = {
  strata: 'usage',
  version: 1,
  day: '2026-11-28',
  process: id('d'),
  part: 0,
  by: 'who',
  writtenAt: at,
  sets: [
    {
      set: id('9'),
      requests: { put: 1, list: 2 },
      bytesSent: 3,
      bytesReceived: 4,
      stored: { at, classes: [{ class: 'standard', objects: 1, bytes: 2 }] },
    },
    { set: null, requests: {}, bytesSent: 0, bytesReceived: 0 },
  ],
}

type AnyType = DocumentType<Schema>

/** Those in numbered versions, in folders of their own. */
export const versionedExamples: readonly (readonly [AnyType & { readonly folder: string }, object])[] = [
  [endpointType, exampleEndpoint],
  [enrolmentTokenType, exampleToken],
  [tokenUseType, use],
  [claimType, claim],
  [tenantPolicyType, policy],
  [retentionType, retention],
  [scrubType, scrub],
  [repairsType, repairs],
]

export const boxedExamples: readonly (readonly [AnyType, object])[] = [
  ...versionedExamples,
  [pinType, pin],
  [usageType, usage],
]
