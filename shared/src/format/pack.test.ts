import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { disksPerSetMax, footerEntriesMax, keysPerRootMax, packsNamedMax } from '../limits.ts'
import { ascii, joined, patched, ramp, toHex, u16, u32, u8 } from '../testing/layout.ts'
import { testIndexKeys } from '../testing/test-repository.ts'
import { asId, type KeyId, type SessionId } from '../types.ts'
import { boxKinds, openBox, sealBox } from './box.ts'
import { sealedHash, zeroDigest } from './digest.ts'
import type { PackReference } from './names.ts'
import {
  canBeCopiedWhole,
  decodeDataFooter,
  decodePackTail,
  encodeDataFooter,
  encodePackTail,
  openDataFooter,
  packKinds,
  packsNamedBy,
  sealDataFooter,
  trailerBytes,
  type DataFooter,
  type FooterEntry,
  type PackTail,
  type Piece,
} from './pack.ts'
import type { WrappedDataKey } from './wrapped-key.ts'

const damaged = { code: 'E_FORMAT_DAMAGED' }
const keys = testIndexKeys()
const nonce = ramp(0x80, 24)
const name = 'tenants/t/chains/s/c/x/data-00000007-0102030405060708'

const pieces: readonly Piece[] = [
  { offset: 0, length: 5, hash: ramp(0x10, 32) },
  { offset: 5, length: 7, hash: ramp(0x40, 32) },
]
const piecesBytes = 12
const openSection = joined(joined(u32(0), u32(5), ramp(0x10, 32)), joined(u32(5), u32(7), ramp(0x40, 32)))
const box = ascii('the footer box')

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return createHash('sha256')
    .update(joined(...parts))
    .digest()
}

/** Open section, footer box and trailer as docs/format.md draws them, with a checksum that is right. */
function drawTail(section: Uint8Array, footer: Uint8Array, head: Uint8Array): Uint8Array {
  return joined(section, footer, head, sha256(section, footer, head).subarray(0, 8))
}

const packBytes = piecesBytes + openSection.length + box.length + 32
const head = joined(ascii('STRATA'), u8(2), u8(16), u32(2), u32(box.length), u32(packBytes), u32(0))
const drawn = drawTail(openSection, box, head)

function readTail(bytes: Uint8Array, size: number): PackTail {
  const tail = decodePackTail(name, bytes, size)
  assert.ok(typeof tail !== 'number')
  return tail
}

test('layout: open section, footer box, trailer', () => {
  const suffixes: string[] = []
  const tail = encodePackTail(packKinds.data, piecesBytes, pieces, (suffix) => {
    suffixes.push(suffix)
    return box
  })
  assert.equal(toHex(tail), toHex(drawn), 'the layout of a pack changed: that is another version of the format')
  assert.deepEqual(suffixes, [`#${toHex(sha256(openSection))}`])
  assert.equal(trailerBytes, 32)
})

test('the end of a pack is read from just enough bytes, and says how many that are', () => {
  const whole = joined(new Uint8Array(piecesBytes), drawn)
  for (let have = trailerBytes; have <= whole.length; have += 1) {
    const tail = decodePackTail(name, whole.subarray(whole.length - have), whole.length)
    if (have < drawn.length) assert.equal(tail, drawn.length)
    else assert.ok(typeof tail !== 'number')
  }
  const tail = readTail(drawn, packBytes)
  assert.equal(tail.kind, packKinds.data)
  assert.deepEqual(
    tail.pieces.map(({ offset, length, hash }) => [offset, length, toHex(hash)]),
    [
      [0, 5, toHex(ramp(0x10, 32))],
      [5, 7, toHex(ramp(0x40, 32))],
    ],
  )
  assert.deepEqual([...tail.footerBox], [...box])
})

test('pieces may have gaps between them', () => {
  const gaps = joined(joined(u32(1), u32(4), ramp(0, 32)), joined(u32(7), u32(2), ramp(1, 32)))
  assert.deepEqual(
    readTail(drawTail(gaps, box, head), packBytes).pieces.map(({ offset }) => offset),
    [1, 7],
  )
})

const trailerAt = drawn.length - 32
function withHead(at: number, bytes: Uint8Array): Uint8Array {
  return drawTail(openSection, box, patched(head, at, bytes))
}
function withSection(at: number, bytes: Uint8Array): Uint8Array {
  return drawTail(patched(openSection, at, bytes), box, head)
}
const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'is shorter than its trailer': drawn.subarray(-31),
  'was cut at its end': drawn.subarray(0, -1),
  'grew at its end': joined(drawn, u8(0)),
  'begins otherwise': withHead(0, ascii('s')),
  'is of version 0': withHead(6, u8(0)),
  'is of a kind that is no pack': withHead(7, u8(32)),
  'has reserved bytes': withHead(20, u32(1)),
  'has too many pieces': withHead(8, u32(footerEntriesMax + 1)),
  'has a hundred million pieces': withHead(8, u32(100_000_000)),
  'has a footer that is longer than it': withHead(12, u32(0xffff_ffff)),
  'says another length': withHead(16, u32(packBytes + 1)),
  'has a wrong checksum': patched(drawn, drawn.length - 1, u8((drawn.at(-1) ?? 0) ^ 1)),
  'has another open section': patched(drawn, 8, u8(0)),
  'has another footer': patched(drawn, trailerAt - 1, u8(0)),
  'has an empty piece': withSection(4, u32(0)),
  'has pieces that overlap': withSection(40, u32(4)),
  'has a piece that reaches into its open section': withSection(44, u32(8)),
  'has a piece of four gigabytes': withSection(44, u32(0xffff_ffff)),
}
for (const [what, bytes] of Object.entries(malformed)) {
  test(`a pack that ${what} is damaged`, () => {
    assert.throws(() => decodePackTail(name, bytes, packBytes), damaged)
  })
}

test('one piece too many is refused, also when all of them are there', () => {
  const count = footerEntriesMax + 1
  const section = joined(...Array.from({ length: count }, (_, at) => joined(u32(at), u32(1), ramp(at, 32))))
  const size = count + section.length + box.length + 32
  const itsHead = joined(ascii('STRATA'), u8(2), u8(16), u32(count), u32(box.length), u32(size), u32(0))
  assert.throws(() => decodePackTail(name, drawTail(section, box, itsHead), size), {
    ...damaged,
    message: /8193 where at most 8192/,
  })
})

test('a pack of a version to come is newer, not damaged', () => {
  assert.throws(() => decodePackTail(name, withHead(6, u8(3)), packBytes), { code: 'E_FORMAT_NEWER' })
})

// ── footers ────────────────────────────────────────────────────────────────────────────────────────────────────────

const dataKey: WrappedDataKey = {
  keyId: asId<KeyId>(toHex(ramp(0x70, 16))),
  encapsulated: ramp(0x71, 32),
  sealed: ramp(0x72, 48),
}
const footer: DataFooter = {
  disk: 3,
  segment: 0x01020304,
  dataKeys: [dataKey],
  entries: [
    { state: 'record', block: 5, digest: ramp(0x20, 32), piece: 1, key: 0 },
    { state: 'zero', block: 6, digest: zeroDigest },
    { state: 'base', block: 0x0a0b0c0d, digest: ramp(0x50, 32) },
  ],
}
const drawnFooter = joined(
  joined(u16(3), u16(0), u32(0x01020304), u32(3), u32(1)),
  joined(ramp(0x70, 16), ramp(0x71, 32), ramp(0x72, 48)),
  joined(u32(5), u32(1), ramp(0x20, 32)),
  joined(u32(6), u32(0xffff_ffff), new Uint8Array(32)),
  joined(u32(0x0a0b0c0d), u32(0xffff_fffe), ramp(0x50, 32)),
)

test('layout: footer of a pack', () => {
  assert.equal(
    toHex(encodeDataFooter(footer, 2)),
    toHex(drawnFooter),
    'the layout of a footer changed: that is another version of the format',
  )
  const read = decodeDataFooter(name, drawnFooter, 2)
  assert.deepEqual([read.disk, read.segment], [3, 0x01020304])
  assert.deepEqual(read.dataKeys, [dataKey])
  assert.deepEqual(
    read.entries.map((entry) => [entry.state, entry.block, entry.state === 'record' ? entry.piece : null]),
    [
      ['record', 5, 1],
      ['zero', 6, null],
      ['base', 0x0a0b0c0d, null],
    ],
  )
})

const secondKey: WrappedDataKey = { ...dataKey, keyId: asId<KeyId>(toHex(ramp(0x73, 16))) }
const thirdKey: WrappedDataKey = { ...dataKey, keyId: asId<KeyId>(toHex(ramp(0x74, 16))) }
const mixed: DataFooter = {
  ...footer,
  dataKeys: [dataKey, secondKey],
  entries: footer.entries.map((entry) => (entry.state === 'record' ? { ...entry, key: 1 } : entry)),
}
const drawnMixed = joined(
  joined(u16(3), u16(0), u32(0x01020304), u32(3), u32(2)),
  joined(ramp(0x70, 16), ramp(0x71, 32), ramp(0x72, 48)),
  joined(ramp(0x73, 16), ramp(0x71, 32), ramp(0x72, 48)),
  drawnFooter.subarray(112),
  joined(u16(1), u16(0), u16(0)),
)

test('layout: a footer with several data keys says at its end which record has which', () => {
  assert.equal(toHex(encodeDataFooter(mixed, 2)), toHex(drawnMixed))
  assert.deepEqual(decodeDataFooter(name, drawnMixed, 2), {
    ...mixed,
    entries: mixed.entries.map((entry) => ({ ...entry, digest: Uint8Array.from(entry.digest) })),
  })
  const keysAt = drawnMixed.length - 6
  for (const [at, why] of [
    [keysAt, /names a data key that is not in the pack/],
    [keysAt + 2, /reserved/],
  ] as const) {
    const bytes = patched(drawnMixed, at, u16(2))
    assert.throws(() => decodeDataFooter(name, bytes, 2), { ...damaged, message: why })
  }
})

const otherPack: PackReference = {
  session: asId<SessionId>(toHex(ramp(0x90, 16))),
  number: 9,
  attempt: toHex(ramp(0xa0, 8)),
}
const naming: DataFooter = {
  ...footer,
  dataKeys: [dataKey, secondKey],
  entries: [
    {
      state: 'elsewhere',
      block: 4,
      digest: ramp(0x30, 32),
      place: { pack: otherPack, offset: 77, length: 99 },
      key: 1,
    },
    ...footer.entries,
  ],
}
const drawnNaming = joined(
  joined(u16(3), u16(1), u32(0x01020304), u32(4), u32(2)),
  joined(ramp(0x70, 16), ramp(0x71, 32), ramp(0x72, 48)),
  joined(ramp(0x73, 16), ramp(0x71, 32), ramp(0x72, 48)),
  joined(ramp(0x90, 16), u32(9), ramp(0xa0, 8)),
  joined(u32(4), u32(0xffff_fffd), ramp(0x30, 32)),
  drawnFooter.subarray(112),
  joined(u16(1), u16(0), u16(0), u16(0)),
  joined(u16(0), u16(0), u32(77), u32(99)),
)

test('layout: a footer names the packs in which records of its entries lie, and where', () => {
  assert.equal(toHex(encodeDataFooter(naming, 2)), toHex(drawnNaming))
  const read = decodeDataFooter(name, drawnNaming, 2)
  assert.deepEqual(read, {
    ...naming,
    entries: naming.entries.map((entry) => ({ ...entry, digest: Uint8Array.from(entry.digest) })),
  })
  assert.deepEqual([...packsNamedBy(read).values()], [otherPack])
  const placeAt = drawnNaming.length - 12
  for (const [at, bytes, why] of [
    [2, u16(packsNamedMax + 1), /where at most/],
    [2, u16(0), /bytes/],
    [placeAt, u16(1), /elsewhere/],
    [placeAt + 2, u16(1), /reserved/],
    [placeAt + 8, u32(0), /elsewhere/],
    [placeAt + 4, u32(0xffff_ffff), /elsewhere/],
  ] as const) {
    assert.throws(() => decodeDataFooter(name, patched(drawnNaming, at, bytes), 2), { ...damaged, message: why })
  }
})

test('a pack all of whose records lie elsewhere has their keys', () => {
  const alone = { ...naming, entries: naming.entries.slice(0, 1) }
  assert.equal(decodeDataFooter(name, encodeDataFooter(alone, 0), 0).entries.length, 1)
  assert.throws(() => encodeDataFooter({ ...alone, dataKeys: [] }, 0), damaged)
})

const entryAt = (index: number): number => 16 + 96 + index * 40
const malformedFooters: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'ends in its header': drawnFooter.subarray(0, 15),
  'ends in an entry': drawnFooter.subarray(0, -1),
  'goes on behind its end': joined(drawnFooter, u8(0)),
  'ends in its data key': drawnFooter.subarray(0, 111),
  'counts another pack and names none': patched(drawnFooter, 2, u16(1)),
  'has a hundred million data keys': patched(drawnFooter, 12, u32(100_000_000)),
  'has records and no data key': joined(patched(drawnFooter.subarray(0, 16), 12, u32(0)), drawnFooter.subarray(112)),
  'counts no data key and has one': patched(drawnFooter, 12, u32(0)),
  'has more data keys than a root has room for': patched(drawnFooter, 12, u32(keysPerRootMax + 1)),
  'has two data keys and does not say which record has which': joined(
    patched(drawnFooter.subarray(0, 112), 12, u32(2)),
    drawnFooter.subarray(16),
  ),
  'names a disk that no set has': patched(drawnFooter, 0, u16(disksPerSetMax)),
  'has too many entries': patched(drawnFooter, 8, u32(footerEntriesMax + 1)),
  'says more entries than it has': patched(drawnFooter, 8, u32(4)),
  'has a block twice': patched(drawnFooter, entryAt(1), u32(5)),
  'has blocks out of order': patched(drawnFooter, entryAt(1), u32(4)),
  'names a record that the pack does not have': patched(drawnFooter, entryAt(0) + 4, u32(2)),
  'calls a block zero that has a digest': patched(drawnFooter, entryAt(1) + 8, u8(1)),
  'calls a block the base that has none': patched(drawnFooter, entryAt(2) + 8, new Uint8Array(32)),
  'has a record for a block of zeros': patched(drawnFooter, entryAt(0) + 8, new Uint8Array(32)),
}
for (const [what, bytes] of Object.entries(malformedFooters)) {
  test(`a footer that ${what} is damaged`, () => {
    assert.throws(() => decodeDataFooter(name, bytes, 2), damaged)
  })
}

test('one entry too many is refused, also when all of them are there', () => {
  const count = footerEntriesMax + 1
  const zeros = Array.from({ length: count }, (_, block) => joined(u32(block), u32(0xffff_ffff), new Uint8Array(32)))
  const bytes = joined(u16(0), u16(0), u32(0), u32(count), u32(0), ...zeros)
  assert.throws(() => decodeDataFooter(name, bytes, 0), { ...damaged, message: /8193 where at most 8192/ })
})

test('a footer is bound to the name of its pack and to the open section before it', () => {
  const tail = readTail(
    encodePackTail(packKinds.data, piecesBytes, pieces, sealDataFooter(name, footer, keys, nonce)),
    0 + fullSize(),
  )
  assert.deepEqual(openDataFooter(name, tail, keys).entries.length, 3)
  assert.equal(openDataFooter(name.replace('/c/', '/another-chain/'), tail, keys).entries.length, 3)
  for (const other of [
    `${name}0`,
    name.replace('/x/', '/y/'),
    name.replace('/s/', '/other/'),
    name.replace('/t/', '/u/'),
  ]) {
    assert.throws(() => openDataFooter(other, tail, keys), { code: 'E_SEAL_BROKEN' })
  }
  const otherSection = patched(tail.openSection, 8, u8(0xff))
  assert.throws(() => openDataFooter(name, { ...tail, openSection: otherSection }, keys), { code: 'E_SEAL_BROKEN' })
  const context = `tenants/t/chains/s/x/data-00000007-0102030405060708#${toHex(sha256(openSection))}`
  assert.deepEqual(openBox(boxKinds.footer, context, tail.footerBox, keys), drawnFooter)
})

test('the footer of a pack of version 1 is bound to its whole name, and names no other packs', () => {
  const boxOf = (plain: Uint8Array): Uint8Array =>
    sealBox(boxKinds.footer, `${name}#${toHex(sha256(openSection))}`, plain, keys, nonce)
  const tailOf = (plain: Uint8Array): PackTail => {
    const footerBox = boxOf(plain)
    const size = piecesBytes + openSection.length + footerBox.length + 32
    const itsHead = joined(ascii('STRATA'), u8(1), u8(16), u32(2), u32(footerBox.length), u32(size), u32(0))
    return readTail(drawTail(openSection, footerBox, itsHead), size)
  }
  const tail = tailOf(drawnFooter)
  assert.deepEqual([tail.version, canBeCopiedWhole(tail)], [1, false])
  assert.equal(openDataFooter(name, tail, keys).entries.length, 3)
  const elsewhere = name.replace('/c/', '/another-chain/')
  assert.throws(() => openDataFooter(elsewhere, tail, keys), { code: 'E_SEAL_BROKEN' })
  assert.throws(() => openDataFooter(name, tailOf(drawnNaming), keys), { ...damaged, message: /reserved/ })
})

function fullSize(): number {
  return piecesBytes + openSection.length + 56 + drawnFooter.length + trailerBytes
}

const zeros: DataFooter = {
  disk: 0,
  segment: 0,
  dataKeys: [],
  entries: [{ state: 'zero', block: 0, digest: new Uint8Array(32) }],
}
const drawnZeros = joined(joined(u16(0), u16(0), u32(0), u32(1), u32(0)), u32(0), u32(0xffff_ffff), new Uint8Array(32))

test('a pack without any piece has a footer all the same', () => {
  const tail = encodePackTail(packKinds.data, 0, [], sealDataFooter(name, zeros, keys, nonce))
  assert.deepEqual(openDataFooter(name, readTail(tail, tail.length), keys), zeros)
})

test('layout: the footer of a pack without records has no data key, and one that has is damaged', () => {
  assert.equal(toHex(encodeDataFooter(zeros, 0)), toHex(drawnZeros))
  assert.deepEqual(decodeDataFooter(name, drawnZeros, 0), zeros)
  const withKey = joined(
    patched(drawnZeros.subarray(0, 16), 12, u32(1)),
    drawnFooter.subarray(16, 112),
    drawnZeros.subarray(16),
  )
  assert.deepEqual(decodeDataFooter(name, withKey, 1).dataKeys, [dataKey])
  assert.throws(() => decodeDataFooter(name, withKey, 0), { ...damaged, message: /1 data keys for 0 records/ })
  assert.throws(() => decodeDataFooter(name, drawnZeros, 1), { ...damaged, message: /0 data keys for 1 records/ })
})

test('a writer that gets it wrong fails on the spot, and not later a reader', () => {
  const seal = (): Uint8Array => box
  const overlapping = [pieces[0] ?? assert.fail(), { offset: 4, length: 8, hash: zeroDigest }]
  assert.throws(() => encodePackTail(packKinds.data, piecesBytes, overlapping, seal), damaged)
  assert.throws(() => encodePackTail(packKinds.data, 11, pieces, seal), damaged)
  const twice = [footer.entries[0] ?? assert.fail(), footer.entries[0] ?? assert.fail()]
  assert.throws(() => encodeDataFooter({ ...footer, entries: twice }, 2), damaged)
  assert.throws(() => encodeDataFooter({ ...footer, dataKeys: [] }, 2), damaged)
  assert.throws(() => encodeDataFooter({ ...zeros, dataKeys: [dataKey] }, 0), damaged)
  assert.throws(() => encodePackTail(packKinds.data, 2 ** 32, [], seal), { code: 'E_BUG' })
})

const lengths = fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 50 })

test('property: every end of a pack is read as it was written', () => {
  fc.assert(
    fc.property(lengths, fc.uint8Array({ maxLength: 100 }), fc.constantFrom(16, 17), (all, footerBox, kind) => {
      let end = 0
      const written: Piece[] = all.map((length) => {
        const piece = { offset: end, length, hash: sealedHash(u32(end)) }
        end += length
        return piece
      })
      const tail = encodePackTail(kind, end, written, () => footerBox)
      const read = readTail(tail, end + tail.length)
      assert.equal(read.kind, kind)
      assert.deepEqual(
        read.pieces.map(({ offset, length, hash }) => ({ offset, length, hash: Buffer.from(hash) })),
        written,
      )
      assert.deepEqual(read.footerBox, footerBox)
    }),
  )
})

test('property: every footer is read as it was written', () => {
  const entry = fc.record({
    block: fc.integer({ min: 0, max: 2 ** 32 - 100 }),
    state: fc.constantFrom('record', 'elsewhere', 'zero', 'base'),
    digest: fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => bytes.some((byte) => byte !== 0)),
    piece: fc.nat(20),
    key: fc.nat(2),
  })
  const all = fc.uniqueArray(entry, { selector: ({ block }) => block, maxLength: 30 })
  fc.assert(
    fc.property(
      all,
      fc.nat(63),
      fc.nat(2 ** 22),
      fc.nat(20),
      fc.nat(2),
      (anyEntries, disk, segment, otherPieces, keyMax) => {
        const entries = anyEntries
          .sort((a, b) => a.block - b.block)
          .map(({ block, state, digest, piece, key }): FooterEntry => {
            if (state === 'record') return { state, block, digest, piece, key: Math.min(key, keyMax) }
            if (state === 'elsewhere') {
              const place = { pack: { ...otherPack, number: piece }, offset: piece, length: block + 1 }
              return { state, block, digest, place, key: Math.min(key, keyMax) }
            }
            return state === 'zero'
              ? { state, block, digest: Uint8Array.from(zeroDigest) }
              : { state: 'base', block, digest }
          })
        // Readers accept pieces without an entry.
        const pieceCount = entries.reduce(
          (count, entry) => (entry.state === 'record' ? Math.max(count, entry.piece + 1) : count),
          otherPieces,
        )
        const hasRecords = pieceCount > 0 || entries.some(({ state }) => state === 'elsewhere')
        const dataKeys = !hasRecords ? [] : [dataKey, secondKey, thirdKey].slice(0, keyMax + 1)
        const written = { disk, segment, dataKeys, entries }
        assert.deepEqual(decodeDataFooter(name, encodeDataFooter(written, pieceCount), pieceCount), written)
      },
    ),
  )
})
