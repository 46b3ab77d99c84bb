import * as v from 'valibot'
import { type Fitting, hexText, list, optionalMembers, text, wholeNumber } from './schema.ts'
import { createHash } from 'node:crypto'
import {
  blockBytesMax,
  blockBytesMin,
  disksPerSetMax,
  nameCharsMax,
  policyDaysMax,
  rootBytesMax,
  warningCharsMax,
  warningsPerPointMax,
} from '../limits.ts'
import { boxKinds, boxOverheadBytes } from './box.ts'
import {
  bytesSchema,
  countSchema,
  digestHexSchema,
  documentHead,
  idSchema,
  instantSchema,
  sequenceSchema,
  type DocumentType,
} from './document.ts'
import { packNumberMax } from './names.ts'

/**
 * The manifest of a point: published last, by create-if-absent under the set's next sequence number, and never
 * changed. docs/format.md, "Manifests".
 */
export const kindSchema = v.picklist(['full', 'incremental', 'differential'])
export type PointKind = Fitting<typeof kindSchema>

/** What tells a disk from another one, read from the disk itself; members that a disk does not have are absent. */
export const identitySchema = optionalMembers({
  /** GUID of a GPT, lower case. */
  gpt: v.exactOptional(text({ charsMax: 36 })),
  /** Disk signature of an MBR, 8 hex digits. */
  mbr: v.exactOptional(text({ charsMax: 8 })),
  /** Kind and UUID of a file system that begins the disk, such as `ext4:1c9e…`. */
  filesystem: v.exactOptional(text({ charsMax: 80 })),
})
export type DiskIdentity = Fitting<typeof identitySchema>

const nameSchema = text({ charsMin: 1, charsMax: nameCharsMax })

export const diskSchema = v.object({
  name: nameSchema,
  sizeBytes: wholeNumber(1),
  blockBytes: wholeNumber(blockBytesMin, blockBytesMax),
  identity: identitySchema,
})
export type DiskDescription = Fitting<typeof diskSchema>

export const warningSchema = v.object({
  code: text({ charsMax: 64 }),
  message: text({ charsMax: warningCharsMax }),
})
export type Warning = Fitting<typeof warningSchema>

/** As many and as much of the warnings as a document has room for, each once: a long path in one must not end a backup. */
export function keptWarnings(warnings: readonly Warning[]): Warning[] {
  const cut = warnings.map(({ code, message }) => ({
    code,
    message: message.length > warningCharsMax ? `${message.slice(0, warningCharsMax - 1)}…` : message,
  }))
  const distinct = new Map(cut.map((warning) => [`${warning.code} ${warning.message}`, warning]))
  return [...distinct.values()].slice(0, warningsPerPointMax)
}

export const machineSchema = v.object({
  hostName: text({ charsMax: 255 }),
  system: text({ charsMax: 255 }),
  architecture: text({ charsMax: 64 }),
})
export type MachineDescription = Fitting<typeof machineSchema>

/** The point that a session builds on. */
export const baseSchema = v.object({
  point: idSchema,
  sequence: sequenceSchema,
  /** SHA-256 of the manifest object. */
  manifestDigest: digestHexSchema,
})
export type BasePoint = Fitting<typeof baseSchema>

/** The point that a synthetic full is a copy of, disk by disk and block by block. */
export const copiedSchema = v.object({
  ...baseSchema.entries,
  /** When the first point of these contents was made: copies of copies have it from there. */
  createdAt: instantSchema,
})
export type CopiedPoint = Fitting<typeof copiedSchema>

/** Where the root lies: a range of a page pack of the chain. */
export const rootPlaceSchema = v.object({
  session: idSchema,
  number: wholeNumber(0, packNumberMax),
  attempt: hexText(8),
  offset: countSchema,
  length: wholeNumber(1, boxOverheadBytes + rootBytesMax),
})

export const consistencySchema = v.picklist([
  /** The source did not change while it was read. */
  'unchanged',
  /** It did, and the operator wanted the point all the same. */
  'changing',
])
export type Consistency = Fitting<typeof consistencySchema>

/** What all points of a chain have in common where it is locked. docs/decisions/0026-immutability.md. */
const chainLockSchema = v.object({
  mode: v.picklist(['governance', 'compliance']),
  /** For so long after it was made nobody can delete a point. */
  days: wholeNumber(1, policyDaysMax),
  /** No point is made in the chain after that. */
  closesAt: instantSchema,
  /** All objects of the chain are locked until then. */
  until: instantSchema,
})
export type ChainLock = Fitting<typeof chainLockSchema>

export const manifestSchema = v.object({
  ...documentHead('manifest', 1),
  /** The id of the point, which is that of its session. */
  point: idSchema,
  setName: nameSchema,
  chain: idSchema,
  sequence: sequenceSchema,
  kind: kindSchema,
  base: v.nullable(baseSchema),
  /** The full that the chain began with; null for a full itself. So nothing walks a chain to find it. */
  full: v.nullable(baseSchema),
  /** Only a synthetic full has one. */
  copyOf: v.exactOptional(copiedSchema),
  /** Where the chain is locked. */
  lock: v.exactOptional(chainLockSchema),
  /** SHA-256 of the manifest with the sequence number before this one; null for the first of a set. */
  previous: v.nullable(digestHexSchema),
  /** By the store's clock, when the manifest was about to be written. */
  createdAt: instantSchema,
  /** By the endpoint's clock, when the disks began to be read. */
  capturedAt: instantSchema,
  consistency: consistencySchema,
  machine: machineSchema,
  disks: list(v.object({ ...diskSchema.entries, contentRoot: digestHexSchema }), {
    min: 1,
    max: disksPerSetMax,
  }),
  root: rootPlaceSchema,
  statistics: v.object({
    scannedBytes: bytesSchema,
    changedBytes: bytesSchema,
    /** Bytes of the packs and page packs that this session stored. */
    storedBytes: bytesSchema,
    segments: countSchema,
  }),
  warnings: list(warningSchema, { max: warningsPerPointMax }),
})
export type Manifest = Fitting<typeof manifestSchema>

export const manifestType = {
  kind: boxKinds.manifest,
  title: 'manifest',
  version: 1,
  schema: manifestSchema,
} satisfies DocumentType<typeof manifestSchema>

/** The digest by which a later manifest, a session or an agent names a manifest. */
export function manifestDigest(object: Uint8Array): string {
  return createHash('sha256').update(object).digest('hex')
}
