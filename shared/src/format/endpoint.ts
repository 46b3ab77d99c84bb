import * as v from 'valibot'
import { endpointNameCharsMax, enrolmentUsesMax, noteCharsMax } from '../limits.ts'
import { boxKinds } from './box.ts'
import { documentHead, idSchema, instantSchema } from './document.ts'
import { machineSchema } from './manifest.ts'
import type { RegistryType } from './registry-type.ts'
import { hexText, text, wholeNumber, type Fitting } from './schema.ts'

/** A machine with an agent. docs/format.md, "Registry documents". */
export const endpointStateSchema = v.picklist([
  /** Its enrolment has begun, and it may not do anything yet. */
  'enrolling',
  'active',
  /** For good: no version after it has another state. */
  'revoked',
])
export type EndpointState = Fitting<typeof endpointStateSchema>

export const endpointSchema = v.object({
  ...documentHead('endpoint', 1),
  endpoint: idSchema,
  name: text({ charsMin: 1, charsMax: endpointNameCharsMax }),
  /** Ed25519; its requests are signed with the other half. */
  publicKey: hexText(32),
  /** Keyed hash of what the agent says of its machine. */
  fingerprint: hexText(32),
  machine: machineSchema,
  state: endpointStateSchema,
  /** The enrolment token that it has its key by. */
  token: idSchema,
  /** Which use of that token; while it enrols, the first one that can be its own. */
  use: wholeNumber(1, enrolmentUsesMax),
  /** Both by the store's clock. */
  enrolledAt: instantSchema,
  changedAt: instantSchema,
  note: text({ charsMax: noteCharsMax }),
})
export type Endpoint = Fitting<typeof endpointSchema>

export const endpointType = {
  kind: boxKinds.registry,
  title: 'endpoint',
  version: 1,
  schema: endpointSchema,
  folder: 'endpoints',
  idOf: ({ endpoint }) => endpoint,
} satisfies RegistryType<typeof endpointSchema>

/** Who is the only one to have something: a machine, or a name. The last holder holds it, unless it was revoked. */
export const claimSchema = v.object({
  ...documentHead('claim', 1),
  claim: idSchema,
  endpoint: idSchema,
})

export const claimType = {
  kind: boxKinds.registry,
  title: 'claim',
  version: 1,
  schema: claimSchema,
  folder: 'claims',
  idOf: ({ claim }) => claim,
} satisfies RegistryType<typeof claimSchema>
