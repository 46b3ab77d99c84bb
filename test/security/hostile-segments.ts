import { createHash, randomBytes } from 'node:crypto'
import { preambleBytes, writePreamble } from '@strata/shared/format/bytes.ts'
import { segmentKind, segmentTrailerBytes, segmentVersion } from '@strata/shared/format/segment.ts'
import { segmentBytesMax, segmentEntriesMax } from '@strata/shared/limits.ts'
import { asId, idToBytes, type SessionId } from '@strata/shared/types.ts'
import { blockBytes, blocks, diskBytes, zeros, type SmallSession } from './small-session.ts'

/** A segment that no agent sends, sealed as it likes; and what is said of it. */
export interface HostileSegment {
  readonly title: string
  readonly bytes: (session: SmallSession) => Uint8Array
  /** What the worker makes of it. */
  readonly code: 'E_SEGMENT_INVALID' | 'E_LIMIT' | 'E_FORMAT_NEWER'
}

interface RawEntry {
  readonly block: number
  readonly state: number
  readonly offset?: number
  readonly length?: number
  readonly digest: Uint8Array
  readonly reserved?: number
}

interface RawTrailer {
  readonly session: string
  readonly disk: number
  readonly segment: number
  readonly entryCount: number
  readonly blockBytes: number
  readonly framesBytes: number
  readonly reserved: number
  readonly version: number
  readonly kind: number
}

const entryBytes = 48
const [zeroState, dataState, baseState] = [0, 1, 2]

/** Entries and trailer (docs/format.md, "Segments"), whatever they say; the checksum is right. */
function rawTail(session: SmallSession, entries: readonly RawEntry[], more: Partial<RawTrailer> = {}): Buffer {
  const bytes = Buffer.alloc(entries.length * entryBytes)
  entries.forEach(({ block, state, offset = 0, length = 0, digest, reserved = 0 }, index) => {
    const at = index * entryBytes
    bytes.writeUInt32LE(block, at)
    bytes.writeUInt8(state, at + 4)
    bytes.writeUInt8(reserved, at + 5)
    bytes.writeUInt32LE(offset, at + 8)
    bytes.writeUInt32LE(length, at + 12)
    bytes.set(digest, at + 16)
  })
  const trailer = Buffer.alloc(segmentTrailerBytes)
  writePreamble(trailer, 0, more.version ?? segmentVersion, more.kind ?? segmentKind)
  trailer.set(idToBytes(asId<SessionId>(more.session ?? session.info.session)), preambleBytes)
  const numbers = [
    more.disk ?? 0,
    more.segment ?? 0,
    more.entryCount ?? entries.length,
    more.blockBytes ?? blockBytes,
    more.framesBytes ?? diskBytes,
    more.reserved ?? 0,
  ]
  numbers.forEach((number, index) => trailer.writeUInt32LE(number, preambleBytes + 16 + 4 * index))
  const checksumAt = segmentTrailerBytes - 8
  const checksum = createHash('sha256').update(bytes).update(trailer.subarray(0, checksumAt)).digest()
  trailer.set(checksum.subarray(0, 8), checksumAt)
  return Buffer.concat([bytes, trailer])
}

function rawEntries(session: SmallSession): RawEntry[] {
  return Array.from({ length: blocks }, (_, block) => ({
    block,
    state: dataState,
    offset: block * blockBytes,
    length: session.block(block).length,
    digest: session.digest(block),
  }))
}

/** The whole disk, with one entry changed. */
function withEntry(at: number, change: Partial<RawEntry>): (session: SmallSession) => Buffer {
  return (session) => {
    const entries = rawEntries(session).map((entry, index) => (index === at ? { ...entry, ...change } : entry))
    return session.seal(Buffer.concat([session.content, rawTail(session, entries)]))
  }
}

function withTrailer(change: Partial<RawTrailer>): (session: SmallSession) => Buffer {
  return (session) => session.seal(Buffer.concat([session.content, rawTail(session, rawEntries(session), change)]))
}

/** Without frames. */
function withEntries(
  make: (session: SmallSession) => readonly RawEntry[],
  more: Partial<RawTrailer> = {},
): (session: SmallSession) => Buffer {
  return (session) => session.seal(rawTail(session, make(session), { framesBytes: 0, ...more }))
}

const zero = (block: number): RawEntry => ({ block, state: zeroState, digest: zeros })
const invalid = 'E_SEGMENT_INVALID'

const lyingEntries: readonly HostileSegment[] = [
  { title: 'a digest of another block', bytes: withEntry(3, { digest: randomBytes(32) }), code: invalid },
  { title: 'the digest of zeros for data', bytes: withEntry(3, { digest: zeros }), code: invalid },
  { title: 'a block beyond the disk', bytes: withEntry(blocks - 1, { block: blocks }), code: 'E_LIMIT' },
  { title: 'the last block that there can be', bytes: withEntry(blocks - 1, { block: 2 ** 32 - 1 }), code: 'E_LIMIT' },
  { title: 'a block twice', bytes: withEntry(3, { block: 2 }), code: invalid },
  { title: 'blocks that descend', bytes: withEntry(3, { block: 1 }), code: invalid },
  { title: 'a short block in the middle', bytes: withEntry(3, { length: blockBytes - 1 }), code: invalid },
  { title: 'a length of zero', bytes: withEntry(3, { length: 0 }), code: invalid },
  { title: 'a length beyond the block', bytes: withEntry(3, { length: blockBytes + 1 }), code: invalid },
  { title: 'the longest length', bytes: withEntry(3, { length: 2 ** 32 - 1 }), code: invalid },
  { title: 'an offset elsewhere', bytes: withEntry(3, { offset: 0 }), code: invalid },
  { title: 'the highest offset', bytes: withEntry(3, { offset: 2 ** 32 - 1 }), code: invalid },
  { title: 'a state that is none', bytes: withEntry(3, { state: 3 }), code: invalid },
  { title: 'zeros that have bytes', bytes: withEntry(3, { state: zeroState, digest: zeros }), code: invalid },
  { title: 'reserved bytes', bytes: withEntry(3, { reserved: 1 }), code: invalid },
  {
    title: 'frames without an entry',
    bytes: withEntry(blocks - 1, { block: blocks - 1, state: baseState }),
    code: invalid,
  },
  { title: 'zeros beyond the disk', bytes: withEntries(() => [zero(blocks)]), code: 'E_LIMIT' },
  {
    title: 'zeros with a digest of something',
    bytes: withEntries(() => [{ ...zero(0), digest: randomBytes(32) }]),
    code: invalid,
  },
  {
    title: 'more entries than there can be',
    bytes: withEntries(() => Array.from({ length: segmentEntriesMax }, (_, block) => zero(block)), {
      entryCount: segmentEntriesMax + 1,
    }),
    code: invalid,
  },
  {
    title: 'as many entries as there can be, on a small disk',
    bytes: withEntries(() => Array.from({ length: segmentEntriesMax }, (_, block) => zero(block))),
    code: 'E_LIMIT',
  },
]

const lyingTrailers: readonly HostileSegment[] = [
  { title: 'of another session inside', bytes: withTrailer({ session: 'a'.repeat(32) }), code: invalid },
  { title: 'of another number inside', bytes: withTrailer({ segment: 1 }), code: invalid },
  { title: 'of the highest number inside', bytes: withTrailer({ segment: 2 ** 32 - 1 }), code: invalid },
  { title: 'of a disk that is not there', bytes: withTrailer({ disk: 1 }), code: 'E_LIMIT' },
  { title: 'of the last disk that there can be', bytes: withTrailer({ disk: 63 }), code: 'E_LIMIT' },
  { title: 'of a disk that cannot be', bytes: withTrailer({ disk: 2 ** 32 - 1 }), code: invalid },
  { title: 'with larger blocks', bytes: withTrailer({ blockBytes: 4 * 1024 * 1024 }), code: 'E_LIMIT' },
  { title: 'with blocks of no bytes', bytes: withTrailer({ blockBytes: 0 }), code: invalid },
  { title: 'with blocks of three bytes', bytes: withTrailer({ blockBytes: 3 }), code: invalid },
  { title: 'with frames of another length', bytes: withTrailer({ framesBytes: diskBytes - 1 }), code: invalid },
  {
    title: 'with more frames than there can be',
    bytes: withTrailer({ framesBytes: segmentBytesMax + 1 }),
    code: invalid,
  },
  { title: 'with the most frames', bytes: withTrailer({ framesBytes: 2 ** 32 - 1 }), code: invalid },
  { title: 'with no entries', bytes: withTrailer({ entryCount: 0 }), code: invalid },
  { title: 'with four thousand million entries', bytes: withTrailer({ entryCount: 2 ** 32 - 1 }), code: invalid },
  { title: 'with reserved bytes', bytes: withTrailer({ reserved: 1 }), code: invalid },
  { title: 'of a newer version', bytes: withTrailer({ version: 200 }), code: 'E_FORMAT_NEWER' },
  { title: 'of another kind', bytes: withTrailer({ kind: 2 }), code: invalid },
]

const altered = (change: (bytes: Buffer) => void) => (session: SmallSession) => {
  const bytes = session.sealedSegment()
  change(bytes)
  return bytes
}

const badlySealed: readonly HostileSegment[] = [
  { title: 'plain', bytes: (session) => session.plainSegment(), code: invalid },
  { title: 'random bytes', bytes: () => randomBytes(200_000), code: invalid },
  { title: 'one byte', bytes: () => Buffer.of(0), code: invalid },
  { title: 'zeros', bytes: () => Buffer.alloc(1024 * 1024), code: invalid },
  { title: 'sealed for another number', bytes: (session) => session.sealedSegment(7), code: invalid },
  { title: 'sealed twice', bytes: (session) => session.seal(session.sealedSegment()), code: invalid },
  { title: 'cut at its end', bytes: (session) => session.sealedSegment().subarray(0, -1), code: invalid },
  { title: 'cut at its front', bytes: (session) => session.sealedSegment().subarray(1), code: invalid },
  { title: 'half', bytes: (session) => session.sealedSegment().subarray(0, diskBytes / 2), code: invalid },
  {
    title: 'with a byte more',
    bytes: (session) => Buffer.concat([session.sealedSegment(), Buffer.of(0)]),
    code: invalid,
  },
  {
    title: 'a flipped bit of a block',
    bytes: altered((bytes) => (bytes[70_000] = (bytes[70_000] ?? 0) ^ 1)),
    code: invalid,
  },
  {
    title: 'a flipped bit of a tag',
    bytes: altered((bytes) => (bytes[bytes.length - 60] = (bytes.at(-60) ?? 0) ^ 1)),
    code: invalid,
  },
  // Of the trailer: session, number, length of the plain bytes, length of a piece, salt.
  ...[48, 32, 28, 24, 20].map((fromEnd): HostileSegment => ({
    title: `another trailer, ${String(fromEnd)} bytes from its end`,
    bytes: altered((bytes) => bytes.writeUInt32LE(0xffff_ffff, bytes.length - fromEnd)),
    code: invalid,
  })),
]

export const hostileSegments: readonly HostileSegment[] = [...lyingEntries, ...lyingTrailers, ...badlySealed]
