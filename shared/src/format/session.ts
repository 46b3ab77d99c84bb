import * as v from 'valibot'
import { type Fitting, list, text, wholeNumber } from './schema.ts'
import {
  blocksPerDiskMax,
  disksPerSetMax,
  nameCharsMax,
  pointsPerSetMax,
  segmentsPerSessionMax,
  wantedBlocksMax,
  wantedRangesMax,
  warningsPerPointMax,
} from '../limits.ts'
import { boxKinds } from './box.ts'
import { bytesSchema, digestHexSchema, documentHead, idSchema, instantSchema, type DocumentType } from './document.ts'
import {
  baseSchema,
  consistencySchema,
  copiedSchema,
  diskSchema,
  kindSchema,
  machineSchema,
  warningSchema,
} from './manifest.ts'

/** Ranges of blocks, by disk and block. */
export const wantedSchema = list(
  v.object({
    disk: wholeNumber(0, disksPerSetMax - 1),
    block: wholeNumber(0, blocksPerDiskMax - 1),
    blocks: wholeNumber(1, wantedBlocksMax),
  }),
  { max: wantedRangesMax },
)
export type WantedBlocks = Fitting<typeof wantedSchema>[number]

/**
 * A session's two documents: `open` is written when it begins, `end` when the agent has sent everything. Together they
 * say all that a commit needs to know, so that jobs can be made anew from the bucket. docs/format.md, "Sessions".
 */
export const sessionSchema = v.object({
  ...documentHead('session', 1),
  session: idSchema,
  setName: text({ charsMin: 1, charsMax: nameCharsMax }),
  kind: kindSchema,
  chain: idSchema,
  /** null for a full: its base is the empty map. */
  base: v.nullable(baseSchema),
  /** Where the base is a synthetic full: manifest digest of the point that it is a copy of. An agent may know that one. */
  baseCopyOf: v.exactOptional(digestHexSchema),
  /** Only a synthetic full has one: what was to be copied when it began. */
  copyOf: v.exactOptional(copiedSchema),
  /** Highest sequence number of the set when the session was opened; 0 when it had none. */
  sequenceAtOpen: wholeNumber(0, pointsPerSetMax),
  disks: list(diskSchema, { min: 1, max: disksPerSetMax }),
  /** By the store's clock. */
  openedAt: instantSchema,
  expiresAt: instantSchema,
  warnings: list(warningSchema, { max: warningsPerPointMax }),
  /** Blocks whose records in the base are damaged: the agent sends them whether or not they changed. */
  wanted: v.exactOptional(wantedSchema),
})
export type Session = Fitting<typeof sessionSchema>

export const sessionType = {
  kind: boxKinds.session,
  title: 'session',
  version: 1,
  schema: sessionSchema,
} satisfies DocumentType<typeof sessionSchema>

export const sessionEndSchema = v.object({
  ...documentHead('session-end', 1),
  session: idSchema,
  /** Segments are numbered from 0 without gaps. */
  segments: wholeNumber(0, segmentsPerSessionMax),
  /** One a disk, in the order of the session. */
  contentRoots: list(digestHexSchema, { min: 1, max: disksPerSetMax }),
  capturedAt: instantSchema,
  consistency: consistencySchema,
  machine: machineSchema,
  scannedBytes: bytesSchema,
  changedBytes: bytesSchema,
  warnings: list(warningSchema, { max: warningsPerPointMax }),
  /** Only a synthetic full has one: what it came to be a copy of. */
  copyOf: v.exactOptional(copiedSchema),
})
export type SessionEnd = Fitting<typeof sessionEndSchema>

export const sessionEndType = {
  kind: boxKinds.sessionEnd,
  title: 'session-end',
  version: 1,
  schema: sessionEndSchema,
} satisfies DocumentType<typeof sessionEndSchema>
