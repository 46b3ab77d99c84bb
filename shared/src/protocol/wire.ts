import * as v from 'valibot'
import { digestHexSchema, idSchema, instantSchema, bytesSchema, sequenceSchema } from '../format/document.ts'
import {
  baseSchema,
  consistencySchema,
  diskSchema,
  identitySchema,
  kindSchema,
  machineSchema,
  warningSchema,
} from '../format/manifest.ts'
import { wantedSchema } from '../format/session.ts'
import { hexText, list, matching, text, wholeNumber, type Fitting } from '../format/schema.ts'
import {
  baseDigestPagesPerRequest,
  blockBytesMax,
  blockBytesMin,
  diskNameCharsMax,
  disksPerSetMax,
  endpointNameCharsMax,
  handOverFileBytesMax,
  nameCharsMax,
  nodesPerDiskMax,
  pageEntriesMax,
  pointsPerSetMax,
  segmentBytesMax,
  segmentsPerSessionMax,
  uploadUrlCharsMax,
  warningsPerPointMax,
} from '../limits.ts'
import { asId, type ChainId, type SessionId, type SetId } from '../types.ts'
import type { CommittedPoint, FinishRequest, SessionInfo } from './uplink.ts'

/**
 * What agent and service say to each other, as JSON: bytes are lower-case hex. Both sides check what they get; members
 * that they do not know are ignored, so that either may be newer.
 */
const warningsSchema = list(warningSchema, { max: warningsPerPointMax })

// ── enrolment ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const enrolmentSchema = v.object({
  /** The line that `strata token create` has shown. */
  token: text({ charsMin: 1, charsMax: nameCharsMax }),
  /** Ed25519. */
  publicKey: hexText(32),
  machineFingerprint: hexText(32),
  name: text({ charsMin: 1, charsMax: endpointNameCharsMax }),
  machine: machineSchema,
})
export type WireEnrolment = Fitting<typeof enrolmentSchema>

export const enrolledSchema = v.object({
  repository: idSchema,
  tenant: idSchema,
  endpoint: idSchema,
  endpointName: text({ charsMin: 1, charsMax: endpointNameCharsMax }),
})

// ── policy ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** As it was written: the agent may be older than who wrote it, and then says so itself. */
export const policyAnswerSchema = v.object({
  policy: v.nullable(v.object({ id: idSchema, version: wholeNumber(1), document: v.record(v.string(), v.unknown()) })),
})

// ── open ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const openRequestSchema = v.object({
  setName: text({ charsMin: 1, charsMax: nameCharsMax }),
  kind: v.union([kindSchema, v.literal('auto')]),
  /** Chosen by the agent: the same session comes of it, however often the request is repeated. */
  attempt: hexText(16),
  machineFingerprint: hexText(32),
  disks: list(
    v.object({
      name: text({ charsMin: 1, charsMax: diskNameCharsMax }),
      sizeBytes: wholeNumber(1),
      identity: identitySchema,
      blockBytes: v.exactOptional(wholeNumber(blockBytesMin, blockBytesMax)),
    }),
    { min: 1, max: disksPerSetMax },
  ),
})

export const sessionInfoSchema = v.object({
  session: idSchema,
  set: idSchema,
  setName: text({ charsMin: 1, charsMax: nameCharsMax }),
  chain: idSchema,
  kind: kindSchema,
  base: v.nullable(baseSchema),
  baseCopyOf: v.exactOptional(digestHexSchema),
  sequenceAtOpen: wholeNumber(0, pointsPerSetMax),
  disks: list(diskSchema, { min: 1, max: disksPerSetMax }),
  blockDigestKey: hexText(32),
  treeDigestKey: hexText(32),
  transportKey: hexText(32),
  segmentBytesMax: wholeNumber(blockBytesMax, segmentBytesMax),
  expiresAt: instantSchema,
  warnings: warningsSchema,
  wanted: v.exactOptional(wantedSchema),
})
export type WireSessionInfo = Fitting<typeof sessionInfoSchema>

export function toWireSessionInfo(info: SessionInfo): WireSessionInfo {
  const { wanted, ...others } = info
  return {
    ...others,
    ...(wanted === undefined ? {} : { wanted: [...wanted] }),
    disks: [...info.disks],
    warnings: [...info.warnings],
    blockDigestKey: hexOf(info.blockDigestKey),
    treeDigestKey: hexOf(info.treeDigestKey),
    transportKey: hexOf(info.transportKey),
  }
}

export function fromWireSessionInfo(wire: WireSessionInfo): SessionInfo {
  return {
    ...wire,
    session: asId<SessionId>(wire.session),
    set: asId<SetId>(wire.set),
    chain: asId<ChainId>(wire.chain),
    blockDigestKey: bytesOf(wire.blockDigestKey),
    treeDigestKey: bytesOf(wire.treeDigestKey),
    transportKey: bytesOf(wire.transportKey),
  }
}

// ── while it runs ──────────────────────────────────────────────────────────────────────────────────────────────────

export const historySchema = v.object({
  points: list(v.object({ sequence: sequenceSchema, manifestDigest: digestHexSchema }), { max: disksPerSetMax }),
})

export const historyAnswerSchema = v.object({ warnings: warningsSchema })

/** Numbers in a query are text. */
const numberText = (max: number) =>
  v.pipe(v.string(), v.regex(/^(0|[1-9][0-9]{0,15})$/), v.transform(Number), v.maxValue(max))

export const digestsQuerySchema = v.object({
  disk: numberText(disksPerSetMax - 1),
  firstPage: numberText(nodesPerDiskMax * pageEntriesMax),
  pageCount: numberText(baseDigestPagesPerRequest),
})

/** What an agent wants to send: a sealed segment of exactly these bytes. */
export const uploadRequestSchema = v.object({
  bytes: wholeNumber(1, handOverFileBytesMax),
  sha256: digestHexSchema,
})
export type UploadRequest = Fitting<typeof uploadRequestSchema>

/** Where to send it: straight to the staging area, or in a request to the service itself. */
export const uploadAnswerSchema = v.union([
  v.object({
    to: v.literal('staging'),
    /** To be said when it is there. */
    attempt: hexText(8),
    method: v.literal('PUT'),
    url: text({ charsMin: 1, charsMax: uploadUrlCharsMax }),
    headers: v.record(v.string(), v.string()),
    expiresAt: instantSchema,
  }),
  v.object({ to: v.literal('service') }),
])
export type UploadAnswer = Fitting<typeof uploadAnswerSchema>

export const stagedSchema = v.object({
  ...uploadRequestSchema.entries,
  attempt: hexText(8),
})

// ── end ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const endRequestSchema = v.object({
  /** Counted by the agent: a repeat of the same attempt is answered as that one was. */
  attempt: wholeNumber(1, 1000),
  /** As in `stateQuerySchema`: where a repeat finds the point that the session has become meanwhile. */
  after: wholeNumber(0, pointsPerSetMax),
  segments: wholeNumber(0, segmentsPerSessionMax),
  contentRoots: list(digestHexSchema, { min: 1, max: disksPerSetMax }),
  capturedAt: instantSchema,
  consistency: consistencySchema,
  machine: machineSchema,
  scannedBytes: bytesSchema,
  changedBytes: bytesSchema,
  warnings: warningsSchema,
})
export type WireEndRequest = Fitting<typeof endRequestSchema>

export function toWireEnd(end: FinishRequest, attempt: number, after: number): WireEndRequest {
  return { ...end, attempt, after, contentRoots: end.contentRoots.map(hexOf), warnings: [...end.warnings] }
}

export function fromWireEnd({ attempt: _attempt, after: _after, ...wire }: WireEndRequest): FinishRequest {
  return { ...wire, contentRoots: wire.contentRoots.map(bytesOf) }
}

export const committedSchema = v.object({
  point: idSchema,
  sequence: sequenceSchema,
  manifestDigest: digestHexSchema,
  createdAt: instantSchema,
  storedBytes: bytesSchema,
  warnings: warningsSchema,
})

export function fromWireCommitted(wire: Fitting<typeof committedSchema>): CommittedPoint {
  return { ...wire, point: asId<SessionId>(wire.point) }
}

/** How far a session is, for an agent that comes back to it. */
export const sessionStateSchema = v.variant('state', [
  v.object({ state: v.literal('open'), session: sessionInfoSchema }),
  v.object({ state: v.literal('ended'), session: sessionInfoSchema }),
  v.object({ state: v.literal('committed'), point: committedSchema }),
])

export const stateQuerySchema = v.object({
  /** Number of the set's newest point when the session was opened: where to look for the point that it became. */
  after: numberText(pointsPerSetMax),
})

/** Whoever goes on with a session of an earlier run says which machine it is, as at its opening. */
export const resumeQuerySchema = v.object({ ...stateQuerySchema.entries, machineFingerprint: hexText(32) })

// ── errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const errorAnswerSchema = v.object({
  code: matching(/^E_[A-Z_]{1,60}$/),
  kind: v.picklist(['bug', 'transient', 'permanent']),
  message: v.string(),
  hint: v.string(),
  details: v.exactOptional(v.record(v.string(), v.unknown())),
})

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}
