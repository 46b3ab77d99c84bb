import { type Static, Type } from 'typebox'
import { disksPerSetMax, nameCharsMax, pointsPerSetMax, segmentsPerSessionMax, warningsPerPointMax } from '../limits.ts'
import { boxKinds } from './box.ts'
import { bytesSchema, digestHexSchema, documentHead, idSchema, instantSchema, type DocumentType } from './document.ts'
import { baseSchema, consistencySchema, diskSchema, kindSchema, machineSchema, warningSchema } from './manifest.ts'

/**
 * A session's two documents: `open` is written when it begins, `end` when the agent has sent everything. Together they
 * say all that a commit needs to know, so that jobs can be made anew from the bucket. docs/format.md, "Sessions".
 */
export const wrappedKeySchema = Type.Object({
  keyId: idSchema,
  encapsulated: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  sealed: Type.String({ pattern: '^[0-9a-f]{96}$' }),
})

export const sessionSchema = Type.Object({
  ...documentHead('session', 1),
  session: idSchema,
  setName: Type.String({ minLength: 1, maxLength: nameCharsMax }),
  kind: kindSchema,
  chain: idSchema,
  /** null for a full: its base is the empty map. */
  base: Type.Union([baseSchema, Type.Null()]),
  /** Highest sequence number of the set when the session was opened; 0 when it had none. */
  sequenceAtOpen: Type.Integer({ minimum: 0, maximum: pointsPerSetMax }),
  disks: Type.Array(diskSchema, { minItems: 1, maxItems: disksPerSetMax }),
  /** The session's data key, sealed to the tenant. */
  dataKey: wrappedKeySchema,
  /** By the store's clock. */
  openedAt: instantSchema,
  expiresAt: instantSchema,
  warnings: Type.Array(warningSchema, { maxItems: warningsPerPointMax }),
})
export type Session = Static<typeof sessionSchema>

export const sessionType = {
  kind: boxKinds.session,
  title: 'session',
  version: 1,
  schema: sessionSchema,
} satisfies DocumentType<typeof sessionSchema>

export const sessionEndSchema = Type.Object({
  ...documentHead('session-end', 1),
  session: idSchema,
  /** Segments are numbered from 0 without gaps. */
  segments: Type.Integer({ minimum: 0, maximum: segmentsPerSessionMax }),
  /** One a disk, in the order of the session. */
  contentRoots: Type.Array(digestHexSchema, { minItems: 1, maxItems: disksPerSetMax }),
  capturedAt: instantSchema,
  consistency: consistencySchema,
  machine: machineSchema,
  scannedBytes: bytesSchema,
  changedBytes: bytesSchema,
  warnings: Type.Array(warningSchema, { maxItems: warningsPerPointMax }),
})
export type SessionEnd = Static<typeof sessionEndSchema>

export const sessionEndType = {
  kind: boxKinds.sessionEnd,
  title: 'session-end',
  version: 1,
  schema: sessionEndSchema,
} satisfies DocumentType<typeof sessionEndSchema>
