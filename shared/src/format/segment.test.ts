import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { disksPerSetMax, segmentBytesMax, segmentEntriesMax, segmentsPerSessionMax } from '../limits.ts'
import { ascii, hexBytes, joined, patched, ramp, toHex, u16, u32, u8 } from '../testing/layout.ts'
import { asId, type SessionId } from '../types.ts'
import { zeroDigest } from './digest.ts'
import {
  decodeSegmentTail,
  encodeSegmentTail,
  segmentTailBytesMax,
  segmentTrailerBytes,
  type SegmentEntry,
  type SegmentHeader,
} from './segment.ts'

const damaged = { code: 'E_FORMAT_DAMAGED' }
const session = asId<SessionId>(toHex(ramp(0xa0, 16)))
const blockBytes = 65_536
const framesBytes = blockBytes + 100

const header: SegmentHeader = {
  session,
  segment: 0x010203,
  disk: 5,
  blockBytes,
  entries: [
    { state: 'data', block: 3, digest: ramp(0x10, 32), offset: 0, length: blockBytes },
    { state: 'zero', block: 4, digest: zeroDigest },
    { state: 'base', block: 5, digest: ramp(0x30, 32) },
    { state: 'data', block: 0x01020304, digest: ramp(0x50, 32), offset: blockBytes, length: 100 },
  ],
}
const entries = joined(
  joined(u32(3), u8(1), u8(0), u16(0), u32(0), u32(blockBytes), ramp(0x10, 32)),
  joined(u32(4), u8(0), u8(0), u16(0), u32(0), u32(0), new Uint8Array(32)),
  joined(u32(5), u8(2), u8(0), u16(0), u32(0), u32(0), ramp(0x30, 32)),
  joined(u32(0x01020304), u8(1), u8(0), u16(0), u32(blockBytes), u32(100), ramp(0x50, 32)),
)
const head = joined(
  joined(ascii('STRATA'), u8(1), u8(32), hexBytes(session)),
  joined(u32(5), u32(0x010203), u32(4), u32(blockBytes), u32(framesBytes), u32(0)),
)

/** Entries and trailer as docs/format.md draws them, with a checksum that is right. */
function draw(drawnEntries: Uint8Array, drawnHead: Uint8Array): Uint8Array {
  const checksum = createHash('sha256').update(drawnEntries).update(drawnHead).digest().subarray(0, 8)
  return joined(drawnEntries, drawnHead, checksum)
}
const drawn = draw(entries, head)
const segmentBytes = framesBytes + drawn.length
const read = (bytes: Uint8Array, size = segmentBytes): SegmentHeader | number =>
  decodeSegmentTail('segment', bytes, size)

test('layout: entries, trailer', () => {
  assert.equal(
    toHex(encodeSegmentTail(header, framesBytes)),
    toHex(drawn),
    'the layout of a segment changed: that is another version of the format',
  )
  assert.deepEqual([segmentTrailerBytes, segmentTailBytesMax], [56, 4096 * 48 + 56])
})

test('a segment is read from just enough bytes, and says how many that are', () => {
  assert.equal(read(drawn.subarray(-56)), drawn.length)
  assert.equal(read(drawn.subarray(1)), drawn.length)
  for (const bytes of [drawn, joined(ramp(0, 50), drawn)]) {
    const found = read(bytes)
    assert.ok(typeof found !== 'number')
    assert.deepEqual([found.session, found.segment, found.disk, found.blockBytes], [session, 0x010203, 5, blockBytes])
    assert.deepEqual(
      found.entries.map((entry) => ({ ...entry, digest: Uint8Array.from(entry.digest) })),
      header.entries,
    )
  }
})

const entryAt = (index: number): number => index * 48
const withEntry = (index: number, at: number, bytes: Uint8Array): Uint8Array =>
  draw(patched(entries, entryAt(index) + at, bytes), head)
const withHead = (at: number, bytes: Uint8Array): Uint8Array => draw(entries, patched(head, at, bytes))

const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'is shorter than its trailer': drawn.subarray(-55),
  'was cut': drawn.subarray(0, -1),
  'begins otherwise': withHead(0, ascii('s')),
  'is of version 0': withHead(6, u8(0)),
  'names a disk that no set has': withHead(24, u32(disksPerSetMax)),
  'has a number that no session has': withHead(28, u32(segmentsPerSessionMax)),
  'has too many entries': withHead(32, u32(segmentEntriesMax + 1)),
  'says fewer entries than it has': withHead(32, u32(3)),
  'has an impossible block size': withHead(36, u32(blockBytes + 1)),
  'has too many bytes of frames': withHead(40, u32(segmentBytesMax + 1)),
  'says other bytes of frames than it has': withHead(40, u32(framesBytes - 1)),
  'has reserved bytes': withHead(44, u32(1)),
  'has a wrong checksum': patched(drawn, drawn.length - 1, u8((drawn.at(-1) ?? 0) ^ 1)),
  'has an entry with a reserved byte': withEntry(0, 5, u8(1)),
  'has an entry with reserved bytes': withEntry(0, 6, u16(0x100)),
  'has an entry of an unknown state': withEntry(0, 4, u8(3)),
  'has a block twice': withEntry(1, 0, u32(3)),
  'has blocks out of order': withEntry(1, 0, u32(2)),
  'has data with the zero digest': withEntry(0, 16, new Uint8Array(32)),
  'has zeros with a digest': withEntry(1, 16, u8(1)),
  'has the base with the zero digest': withEntry(2, 16, new Uint8Array(32)),
  'has zeros with an offset': withEntry(1, 8, u32(1)),
  'has the base with a length': withEntry(2, 12, u32(1)),
  'has a frame that does not follow the one before': withEntry(3, 8, u32(blockBytes - 1)),
  'has an empty frame': withEntry(3, 12, u32(0)),
  'has a frame longer than a block': withEntry(0, 12, u32(blockBytes + 1)),
  'has a frame that ends outside': withEntry(3, 12, u32(101)),
  'has bytes that no frame has': withEntry(3, 12, u32(99)),
}
for (const [what, bytes] of Object.entries(malformed)) {
  test(`a segment that ${what} is damaged`, () => {
    assert.throws(() => read(bytes), damaged)
  })
}

test('one entry or byte too many is refused, also when all of them are there', () => {
  const count = segmentEntriesMax + 1
  const zeros = Array.from({ length: count }, (_, block) => joined(u32(block), new Uint8Array(44)))
  const manyHead = patched(patched(head, 32, u32(count)), 40, u32(0))
  const many = draw(joined(...zeros), manyHead)
  assert.throws(() => read(many, many.length), { ...damaged, message: /4097 where at most 4096/ })
  const long = withHead(40, u32(segmentBytesMax + 1))
  assert.throws(() => read(long, segmentBytesMax + 1 + long.length), { ...damaged, message: /bytes of frames/ })
  for (const size of [segmentBytes - 1, segmentBytes + 1]) assert.throws(() => read(drawn, size), damaged)
})

test('a segment of a version to come is newer, and a pack is no segment', () => {
  assert.throws(() => read(withHead(6, u8(2))), { code: 'E_FORMAT_NEWER' })
  assert.throws(() => read(withHead(7, u8(16))), { code: 'E_FORMAT_KIND' })
})

test('a segment without entries is one', () => {
  const empty = encodeSegmentTail({ ...header, entries: [] }, 0)
  const found = read(empty, empty.length)
  assert.ok(typeof found !== 'number' && found.entries.length === 0)
})

test('a writer that gets it wrong fails on the spot', () => {
  assert.throws(() => encodeSegmentTail(header, framesBytes + 1), damaged)
  assert.throws(() => encodeSegmentTail({ ...header, entries: header.entries.toReversed() }, framesBytes), damaged)
  assert.throws(() => encodeSegmentTail({ ...header, disk: disksPerSetMax }, framesBytes), damaged)
})

test('property: every segment is read as it was written', () => {
  const entry = fc.record({
    block: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    state: fc.constantFrom('data', 'zero', 'base'),
    length: fc.integer({ min: 1, max: blockBytes }),
    digest: fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => bytes.some((byte) => byte !== 0)),
  })
  const all = fc.uniqueArray(entry, { selector: ({ block }) => block, maxLength: 40 })
  fc.assert(
    fc.property(all, fc.nat(63), fc.nat(2 ** 22 - 1), (anyEntries, disk, segment) => {
      let end = 0
      const written = anyEntries
        .sort((a, b) => a.block - b.block)
        .map(({ block, state, length, digest }): SegmentEntry => {
          if (state === 'zero') return { state, block, digest: Uint8Array.from(zeroDigest) }
          if (state === 'base') return { state, block, digest }
          const offset = end
          end += length
          return { state: 'data', block, digest, offset, length }
        })
      const tail = encodeSegmentTail({ session, segment, disk, blockBytes, entries: written }, end)
      assert.deepEqual(read(tail, end + tail.length), { session, segment, disk, blockBytes, entries: written })
    }),
  )
})
