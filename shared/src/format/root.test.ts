import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockBytesMax, blockBytesMin, blocksPerDiskMax, keysPerRootMax } from '../limits.ts'
import { hexBytes, joined, patched, ramp, toHex, u16, u32, u64, u8 } from '../testing/layout.ts'
import { asId, type KeyId, type SessionId } from '../types.ts'
import { Page, pageLevels } from './page.ts'
import { decodeRoot, diskCounts, encodeRoot, entriesIn, isBlockBytes, type Root, type RootDisk } from './root.ts'
import type { WrappedDataKey } from './wrapped-key.ts'

const KiB = 1024
const damaged = { code: 'E_FORMAT_DAMAGED' }
const session = toHex(ramp(0xa0, 16))

function wrappedKey(first: number): WrappedDataKey {
  return { keyId: asId<KeyId>(toHex(ramp(first, 16))), encapsulated: ramp(first + 1, 32), sealed: ramp(first + 2, 48) }
}

function rootDisk(index: number, sizeBytes: number, blockBytes: number): RootDisk {
  const nodes = new Page(pageLevels.root, index, diskCounts(sizeBytes, blockBytes).nodes)
  return { sizeBytes, blockBytes, contentRoot: ramp(0x30 + index, 32), nodes }
}

// Two disks and a key, as docs/format.md draws them.
const nodesOfFirst = joined(
  joined(u8(2), u8(0), u16(1), u16(1), u16(0), u32(0), u32(0)),
  joined(hexBytes(session), u32(3), hexBytes('0102030405060708')),
  joined(ramp(0x50, 32), u16(0), u8(1), u8(0), u32(9), u32(10)),
)
const nodesOfSecond = joined(u8(2), u8(0), u16(0), u16(1), u16(0), u32(1), u32(0), new Uint8Array(44))
const firstDisk = joined(u64(1_000_001), u32(64 * KiB), u32(nodesOfFirst.length), ramp(0x30, 32), nodesOfFirst)
const secondDisk = joined(u64(5 * 1024 ** 3), u32(4096 * KiB), u32(nodesOfSecond.length), ramp(0x31, 32), nodesOfSecond)
const key = joined(ramp(0x70, 16), ramp(0x71, 32), ramp(0x72, 48))
const drawn = joined(u16(2), u16(0), u32(1), firstDisk, secondDisk, key)

function drawnRoot(): Root {
  const first = rootDisk(0, 1_000_001, 64 * KiB)
  const pack = { session: asId<SessionId>(session), number: 3, attempt: '0102030405060708' }
  first.nodes.setStored(0, ramp(0x50, 32), { pack, offset: 9, length: 10 })
  return { disks: [first, rootDisk(1, 5 * 1024 ** 3, 4096 * KiB)], keys: [wrappedKey(0x70)] }
}

test('layout: counts, disks with their nodes, wrapped data keys', () => {
  assert.equal(
    toHex(encodeRoot(drawnRoot())),
    toHex(drawn),
    'the layout of a root changed: that is another version of the format',
  )
})

test('a root is read as it was drawn', () => {
  const root = decodeRoot(drawn)
  assert.deepEqual(root.keys, [wrappedKey(0x70)])
  assert.deepEqual(
    root.disks.map(({ sizeBytes, blockBytes, nodes }) => [sizeBytes, blockBytes, nodes.entryCount, nodes.number]),
    [
      [1_000_001, 64 * KiB, 1, 0],
      [5 * 1024 ** 3, 4096 * KiB, 1, 1],
    ],
  )
  assert.deepEqual(root.disks[0]?.nodes.place(0)?.offset, 9)
  assert.deepEqual([...(root.disks[1]?.contentRoot ?? [])], [...ramp(0x31, 32)])
})

const diskAt = 8
const secondAt = diskAt + firstDisk.length
const malformed: Readonly<Record<string, Uint8Array>> = {
  'is empty': new Uint8Array(0),
  'ends in its header': drawn.subarray(0, 7),
  'ends in the head of a disk': drawn.subarray(0, diskAt + 20),
  'has reserved bytes': patched(drawn, 2, u16(1)),
  'has too many disks': patched(drawn, 0, u16(65)),
  'has fewer disks than it says': patched(drawn, 0, u16(3)),
  'has too many keys': patched(drawn, 4, u32(1025)),
  'has a billion keys': patched(drawn, 4, u32(0xffff_ffff)),
  'has fewer keys than it says': patched(drawn, 4, u32(2)),
  'ends in its key': drawn.subarray(0, -1),
  'goes on behind its end': joined(drawn, u8(0)),
  'has an empty disk': patched(drawn, diskAt, u64(0)),
  'has a disk of an impossible size': patched(drawn, diskAt, new Uint8Array(8).fill(0xff)),
  'has a disk with too many blocks': patched(drawn, diskAt, u64(blocksPerDiskMax * 64 * KiB + 1)),
  'has a disk that its nodes do not fit': patched(drawn, diskAt, u64(1024 * 1024 * 64 * KiB + 1)),
  'has a block size that is no power of two': patched(drawn, diskAt + 8, u32(96 * KiB)),
  'has a block size that is too small': patched(drawn, diskAt + 8, u32(32 * KiB)),
  'has a block size that is too large': patched(drawn, diskAt + 8, u32(8192 * KiB)),
  'has nodes that go on behind its end': patched(drawn, diskAt + 12, u32(0xffff_ffff)),
  'has nodes that are cut': patched(drawn, diskAt + 12, u32(nodesOfFirst.length - 1)),
  'has the nodes of another disk': patched(drawn, secondAt + 48 + 8, u32(0)),
}
for (const [what, bytes] of Object.entries(malformed)) {
  test(`a root that ${what} is damaged`, () => {
    assert.throws(() => decodeRoot(bytes), damaged)
  })
}

test('one disk, key or node too many is refused, also when all of them are there', () => {
  const head = (disks: number, keys: number): Uint8Array => joined(u16(disks), u16(0), u32(keys))
  const disk = (index: number, sizeBytes: number, nodes: number): Uint8Array => {
    const page = joined(u8(2), u8(0), u16(0), u16(nodes), u16(0), u32(index), u32(0), new Uint8Array(nodes * 44))
    return joined(u64(sizeBytes), u32(64 * KiB), u32(page.length), ramp(0x30, 32), page)
  }
  const disks = Array.from({ length: 65 }, (_, index) => disk(index, 1, 1))
  assert.equal(decodeRoot(joined(head(64, 0), ...disks.slice(0, 64))).disks.length, 64)
  assert.throws(() => decodeRoot(joined(head(65, 0), ...disks)), { ...damaged, message: /65 where at most 64/ })
  const keys = Array.from({ length: 2049 }, () => key)
  assert.throws(() => decodeRoot(joined(head(0, 2049), ...keys)), { ...damaged, message: /2049 where at most 2048/ })
  const most = blocksPerDiskMax * 64 * KiB
  assert.equal(decodeRoot(joined(head(1, 0), disk(0, most, 64))).disks[0]?.nodes.entryCount, 64)
  assert.throws(() => decodeRoot(joined(head(1, 0), disk(0, most + 1, 65))), damaged)
})

test('more data keys than fit end a chain with a limit, not with a bug', () => {
  const keys = Array.from({ length: keysPerRootMax }, (_, index) => wrappedKey(index))
  const disks = [rootDisk(0, 1, blockBytesMin)]
  assert.equal(decodeRoot(encodeRoot({ disks, keys })).keys.length, keysPerRootMax)
  assert.throws(() => encodeRoot({ disks, keys: [...keys, wrappedKey(1)] }), { code: 'E_LIMIT' })
})

test('blocks, pages and nodes are counted at their edges', () => {
  const counts = (blocks: number): readonly number[] => {
    const { blocks: found, pages, nodes } = diskCounts(blocks * blockBytesMin, blockBytesMin)
    return [found, pages, nodes]
  }
  assert.deepEqual(counts(1), [1, 1, 1])
  assert.deepEqual(counts(1024), [1024, 1, 1])
  assert.deepEqual(counts(1025), [1025, 2, 1])
  assert.deepEqual(counts(1024 * 1024), [1024 * 1024, 1024, 1])
  assert.deepEqual(counts(1024 * 1024 + 1), [1024 * 1024 + 1, 1025, 2])
  assert.deepEqual(counts(blocksPerDiskMax), [blocksPerDiskMax, 65_536, 64])
  assert.deepEqual(diskCounts(1, blockBytesMax), { blocks: 1, pages: 1, nodes: 1 })
  assert.equal(diskCounts(3 * blockBytesMin + 1, blockBytesMin).blocks, 4)
  assert.deepEqual([entriesIn(0, 1025), entriesIn(1, 1025), entriesIn(0, 5)], [1024, 1, 5])
})

test('block sizes are the powers of two from 64 KiB to 4 MiB', () => {
  const sizes = [64, 128, 256, 512, 1024, 2048, 4096].map((size) => size * KiB)
  assert.ok(sizes.every(isBlockBytes))
  for (const size of [0, 1, 32 * KiB, 65 * KiB, 192 * KiB, 8192 * KiB, 64 * KiB + 0.5, NaN, -64 * KiB]) {
    assert.equal(isBlockBytes(size), false, String(size))
  }
})

test('property: every root is read as it was written', () => {
  const disk = fc.record({
    sizeBytes: fc.integer({ min: 1, max: 2 ** 36 }),
    blockBytes: fc.constantFrom(...[64, 256, 4096].map((size) => size * KiB)),
  })
  fc.assert(
    fc.property(
      fc.array(disk, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(255), { maxLength: 4 }),
      (shapes, keys) => {
        const disks = shapes.map(({ sizeBytes, blockBytes }, index) => rootDisk(index, sizeBytes, blockBytes))
        const encoded = encodeRoot({ disks, keys: keys.map(wrappedKey) })
        const reread = decodeRoot(encoded)
        assert.deepEqual(reread.keys, keys.map(wrappedKey))
        assert.deepEqual(
          reread.disks.map(({ sizeBytes, blockBytes, contentRoot }) => [sizeBytes, blockBytes, toHex(contentRoot)]),
          disks.map(({ sizeBytes, blockBytes, contentRoot }) => [sizeBytes, blockBytes, toHex(contentRoot)]),
        )
        assert.deepEqual(encodeRoot(reread), encoded)
      },
    ),
  )
})
