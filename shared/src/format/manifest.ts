import { type Static, Type } from 'typebox'
import { createHash } from 'node:crypto'
import {
  blockBytesMax,
  blockBytesMin,
  disksPerSetMax,
  nameCharsMax,
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
export const kindSchema = Type.Union([Type.Literal('full'), Type.Literal('incremental'), Type.Literal('differential')])
export type PointKind = Static<typeof kindSchema>

/** What tells a disk from another one, read from the disk itself; members that a disk does not have are absent. */
export const identitySchema = Type.Object({
  /** GUID of a GPT, lower case. */
  gpt: Type.Optional(Type.String({ maxLength: 36 })),
  /** Disk signature of an MBR, 8 hex digits. */
  mbr: Type.Optional(Type.String({ maxLength: 8 })),
  /** Kind and UUID of a file system that begins the disk, such as `ext4:1c9e…`. */
  filesystem: Type.Optional(Type.String({ maxLength: 80 })),
})
export type DiskIdentity = Static<typeof identitySchema>

const nameSchema = Type.String({ minLength: 1, maxLength: nameCharsMax })

export const diskSchema = Type.Object({
  name: nameSchema,
  sizeBytes: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  blockBytes: Type.Integer({ minimum: blockBytesMin, maximum: blockBytesMax }),
  identity: identitySchema,
})
export type DiskDescription = Static<typeof diskSchema>

export const warningSchema = Type.Object({
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: warningCharsMax }),
})
export type Warning = Static<typeof warningSchema>

/** As many and as much of the warnings as a document has room for, each once: a long path in one must not end a backup. */
export function keptWarnings(warnings: readonly Warning[]): Warning[] {
  const cut = warnings.map(({ code, message }) => ({
    code,
    message: message.length > warningCharsMax ? `${message.slice(0, warningCharsMax - 1)}…` : message,
  }))
  const distinct = new Map(cut.map((warning) => [`${warning.code} ${warning.message}`, warning]))
  return [...distinct.values()].slice(0, warningsPerPointMax)
}

export const machineSchema = Type.Object({
  hostName: Type.String({ maxLength: 255 }),
  system: Type.String({ maxLength: 255 }),
  architecture: Type.String({ maxLength: 64 }),
})
export type MachineDescription = Static<typeof machineSchema>

/** The point that a session builds on. */
export const baseSchema = Type.Object({
  point: idSchema,
  sequence: sequenceSchema,
  /** SHA-256 of the manifest object. */
  manifestDigest: digestHexSchema,
})
export type BasePoint = Static<typeof baseSchema>

/** Where the root lies: a range of a page pack of the chain. */
export const rootPlaceSchema = Type.Object({
  session: idSchema,
  number: Type.Integer({ minimum: 0, maximum: packNumberMax }),
  attempt: Type.String({ pattern: '^[0-9a-f]{16}$' }),
  offset: countSchema,
  length: Type.Integer({ minimum: 1, maximum: boxOverheadBytes + rootBytesMax }),
})

export const consistencySchema = Type.Union([
  /** The source did not change while it was read. */
  Type.Literal('unchanged'),
  /** It did, and the operator wanted the point all the same. */
  Type.Literal('changing'),
])
export type Consistency = Static<typeof consistencySchema>

export const manifestSchema = Type.Object({
  ...documentHead('manifest', 1),
  /** The id of the point, which is that of its session. */
  point: idSchema,
  setName: nameSchema,
  chain: idSchema,
  sequence: sequenceSchema,
  kind: kindSchema,
  base: Type.Union([baseSchema, Type.Null()]),
  /** The full that the chain began with; null for a full itself. So nothing walks a chain to find it. */
  full: Type.Union([baseSchema, Type.Null()]),
  /** SHA-256 of the manifest with the sequence number before this one; null for the first of a set. */
  previous: Type.Union([digestHexSchema, Type.Null()]),
  /** By the store's clock, when the manifest was about to be written. */
  createdAt: instantSchema,
  /** By the endpoint's clock, when the disks began to be read. */
  capturedAt: instantSchema,
  consistency: consistencySchema,
  machine: machineSchema,
  disks: Type.Array(Type.Object({ ...diskSchema.properties, contentRoot: digestHexSchema }), {
    minItems: 1,
    maxItems: disksPerSetMax,
  }),
  root: rootPlaceSchema,
  statistics: Type.Object({
    scannedBytes: bytesSchema,
    changedBytes: bytesSchema,
    /** Bytes of the packs and page packs that this session stored. */
    storedBytes: bytesSchema,
    segments: countSchema,
  }),
  warnings: Type.Array(warningSchema, { maxItems: warningsPerPointMax }),
})
export type Manifest = Static<typeof manifestSchema>

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
