import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pageEntriesMax } from '../limits.ts'
import { hexBytes, joined, patched, ramp, toHex, u16, u32, u8 } from '../testing/layout.ts'
import { asId, type SessionId } from '../types.ts'
import { recordBytesMax } from './record.ts'
import { digestBytes } from './digest.ts'
import type { PackReference } from './names.ts'
import { decodePage, encodePage, Page, pageBytesMax, pageLevels, type PageLevel } from './page.ts'

const damaged = { code: 'E_FORMAT_DAMAGED' }
const sessionA = toHex(ramp(0xa0, 16))
const sessionB = toHex(ramp(0xb0, 16))

function pack(session: string, number: number, attempt = '0102030405060708'): PackReference {
  return { session: asId<SessionId>(session), number, attempt }
}

// A page with a zero entry between two stored ones, as docs/format.md draws it.
const headerBytes = 16
const referenceBytes = 28
const entryBytes = 44
const entriesAt = headerBytes + 2 * referenceBytes
const head = joined(u8(0), u8(0), u16(2), u16(3), u16(0), u32(0x01020304), u32(0))
const references = joined(
  joined(hexBytes(sessionA), u32(7), hexBytes('0102030405060708')),
  joined(hexBytes(sessionB), u32(0x01000000), hexBytes('f1f2f3f4f5f6f7f8')),
)
const entries = joined(
  joined(ramp(0x20, 32), u16(0), u8(1), u8(0), u32(0x11121314), u32(0x00010223)),
  joined(new Uint8Array(32), u16(0), u8(0), u8(0), u32(0), u32(0)),
  joined(ramp(0x60, 32), u16(1), u8(1), u8(0), u32(0), u32(1)),
)
const drawn = joined(head, references, entries)
const number = 0x01020304

function drawnPage(): Page {
  const page = new Page(pageLevels.page, number, 3)
  page.setStored(0, ramp(0x20, 32), { pack: pack(sessionA, 7), offset: 0x11121314, length: 0x00010223 })
  page.setStored(2, ramp(0x60, 32), { pack: pack(sessionB, 0x01000000, 'f1f2f3f4f5f6f7f8'), offset: 0, length: 1 })
  return page
}

test('layout: header, references, entries', () => {
  assert.equal(
    toHex(encodePage(drawnPage())),
    toHex(drawn),
    'the layout of a page changed: that is another version of the format',
  )
  assert.equal(pageBytesMax, 16 + 1024 * 28 + 1024 * 44)
})

test('a page is read as it was drawn', () => {
  const page = decodePage(drawn, pageLevels.page, number)
  assert.deepEqual([page.level, page.number, page.entryCount], [0, number, 3])
  assert.deepEqual(
    [0, 1, 2].map((entry) => page.isZero(entry)),
    [false, true, false],
  )
  assert.deepEqual(page.place(0), { pack: pack(sessionA, 7), offset: 0x11121314, length: 0x00010223 })
  assert.equal(page.place(1), undefined)
  assert.deepEqual(page.place(2), { pack: pack(sessionB, 0x01000000, 'f1f2f3f4f5f6f7f8'), offset: 0, length: 1 })
  assert.equal(toHex(page.digests), toHex(ramp(0x20, 32)) + '00'.repeat(32) + toHex(ramp(0x60, 32)))
})

test('levels and numbers are those of the place, or it is another page', () => {
  assert.throws(() => decodePage(drawn, pageLevels.node, number), damaged)
  assert.throws(() => decodePage(drawn, pageLevels.root, number), damaged)
  assert.throws(() => decodePage(drawn, pageLevels.page, number + 1), damaged)
  assert.equal(decodePage(patched(drawn, 0, u8(1)), pageLevels.node, number).level, 1)
})

const entry = (index: number): number => entriesAt + index * entryBytes
const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'ends in its header': drawn.subarray(0, headerBytes - 1),
  'ends in its references': drawn.subarray(0, entriesAt - 1),
  'ends in its entries': drawn.subarray(0, -1),
  'goes on behind its end': joined(drawn, u8(0)),
  'has the first reserved byte': patched(drawn, 1, u8(1)),
  'has the second reserved bytes': patched(drawn, 6, u16(0x100)),
  'has the third reserved bytes': patched(drawn, 12, u32(1)),
  'has too many references': patched(drawn, 2, u16(1025)),
  'has too many entries': patched(drawn, 4, u16(1025)),
  'says fewer references than it has': patched(drawn, 2, u16(1)),
  'has an entry with a reserved byte': patched(drawn, entry(0) + 35, u8(1)),
  'has an entry of an unknown state': patched(drawn, entry(0) + 34, u8(2)),
  'has a stored entry with the zero digest': patched(drawn, entry(0), new Uint8Array(32)),
  'has a stored entry without length': patched(drawn, entry(0) + 40, u32(0)),
  'has a stored entry longer than any record': patched(drawn, entry(0) + 40, u32(recordBytesMax + 1)),
  'has an entry that names a reference it does not have': patched(drawn, entry(0) + 32, u16(2)),
  'has a zero entry with a digest': patched(drawn, entry(1), u8(1)),
  'has a zero entry with a reference': patched(drawn, entry(1) + 32, u16(1)),
  'has a zero entry with an offset': patched(drawn, entry(1) + 36, u32(1)),
  'has a zero entry with a length': patched(drawn, entry(1) + 40, u32(1)),
}
for (const [what, bytes] of Object.entries(malformed)) {
  test(`a page that ${what} is damaged`, () => {
    assert.throws(() => decodePage(bytes, pageLevels.page, number), damaged)
  })
}

test('one reference or entry too many is refused, also when all of them are there', () => {
  const tooMany = { ...damaged, message: /1025 where at most 1024/ }
  const reference = joined(hexBytes(sessionA), u32(7), hexBytes('0102030405060708'))
  const count = pageEntriesMax + 1
  const start = (r: number, e: number): Uint8Array => joined(u8(0), u8(0), u16(r), u16(e), u16(0), u32(9), u32(0))
  const manyReferences = joined(start(count, 0), ...Array.from({ length: count }, () => reference))
  assert.throws(() => decodePage(manyReferences, pageLevels.page, 9), tooMany)
  const manyEntries = joined(start(0, count), new Uint8Array(count * entryBytes))
  assert.throws(() => decodePage(manyEntries, pageLevels.page, 9), tooMany)
})

test('packs that no entry refers to any more leave the table', () => {
  const page = drawnPage()
  page.setZero(0)
  const reread = decodePage(encodePage(page), pageLevels.page, number)
  assert.deepEqual(reread.references, [pack(sessionB, 0x01000000, 'f1f2f3f4f5f6f7f8')])
  assert.equal(reread.isZero(0), true)
  assert.equal(page.references.length, 2)
})

test('a page grows with zeros and shrinks by its end', () => {
  const grown = drawnPage().resized(5)
  assert.deepEqual([grown.entryCount, grown.isZero(3), grown.isZero(4)], [5, true, true])
  assert.deepEqual(grown.place(2), drawnPage().place(2))
  assert.deepEqual(grown.resized(3).digests, drawnPage().digests)
})

test('an empty page, and entries outside of a page, are our own mistakes where they are', () => {
  assert.equal(decodePage(encodePage(new Page(pageLevels.page, 0, 0)), pageLevels.page, 0).entryCount, 0)
  const bug = { code: 'E_BUG' }
  assert.throws(() => new Page(pageLevels.page, 0, pageEntriesMax + 1), bug)
  const page = new Page(pageLevels.page, 0, 1)
  assert.throws(() => {
    page.setZero(1)
  }, bug)
  assert.throws(() => {
    page.setStored(0, ramp(1, 32), { pack: pack(sessionA, 0), offset: 0, length: 0 })
  }, bug)
})

test('a full page with as many packs as entries has the largest size there is', () => {
  const page = new Page(pageLevels.page, 0, pageEntriesMax)
  for (let at = 0; at < pageEntriesMax; at += 1) {
    page.setStored(at, ramp(at + 1, 32), { pack: pack(sessionA, at), offset: at, length: 1 })
  }
  const encoded = encodePage(page)
  assert.equal(encoded.length, pageBytesMax)
  assert.equal(decodePage(encoded, pageLevels.page, 0).references.length, pageEntriesMax)
})

const level = fc.constantFrom<PageLevel>(0, 1, 2)
const plainObjects = { noNullPrototype: true }
const anyPack = fc.record(
  {
    session: fc.constantFrom(asId<SessionId>(sessionA), asId<SessionId>(sessionB)),
    number: fc.nat(3),
    attempt: fc.constantFrom('0000000000000000', 'ffffffffffffffff'),
  },
  plainObjects,
)
const place = fc.record(
  {
    pack: anyPack,
    offset: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    length: fc.integer({ min: 1, max: pageBytesMax }),
  },
  plainObjects,
)
const digest = fc
  .uint8Array({ minLength: digestBytes, maxLength: digestBytes })
  .filter((bytes) => bytes.some((byte) => byte !== 0))
const content = fc.array(fc.option(fc.record({ digest, place })), { maxLength: 40 })

test('property: every page is read as it was written, and writes the same bytes again', () => {
  fc.assert(
    fc.property(level, fc.integer({ min: 0, max: 2 ** 32 - 1 }), content, (anyLevel, anyNumber, contents) => {
      const page = new Page(anyLevel, anyNumber, contents.length)
      contents.forEach((stored, index) => {
        if (stored !== null) page.setStored(index, stored.digest, stored.place)
      })
      const encoded = encodePage(page)
      const reread = decodePage(encoded, anyLevel, anyNumber)
      contents.forEach((stored, index) => {
        assert.deepEqual(reread.place(index), stored?.place)
        assert.deepEqual([...reread.digest(index)], [...(stored?.digest ?? new Uint8Array(digestBytes))])
      })
      assert.deepEqual(encodePage(reread), encoded)
    }),
  )
})
