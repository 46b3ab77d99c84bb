import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Blake3Hasher } from '@napi-rs/blake-hash'
import fc from 'fast-check'
import { pageEntriesMax } from '../limits.ts'
import { ascii, joined, ramp, toHex } from '../testing/layout.ts'
import {
  blockDigest,
  contentRoot,
  ContentRootBuilder,
  digestBytes,
  isAllZero,
  nodeDigest,
  pageDigest,
  sealedHash,
  zeroDigest,
  type DiskShape,
} from './digest.ts'

const key = Buffer.from(ramp(0, 32))
const blockBytes = 65_536

test("the library computes BLAKE3's published keyed digests", () => {
  const elvish = Buffer.from(ascii('whats the Elvish word for friend'))
  assert.equal(
    toHex(blockDigest(elvish, new Uint8Array(0))),
    '92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26',
  )
  assert.equal(
    toHex(blockDigest(elvish, new Uint8Array(1))),
    '6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b',
  )
  assert.equal(toHex(sealedHash(new Uint8Array(0))), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262')
})

// Computed with another implementation of BLAKE3 (test/independent/read_point.py) from the words of docs/format.md.
test('digests are over exactly the bytes that the format says', () => {
  const message = 'the digests changed: no map that exists would be believed any more'
  const three = ramp(1, 96)
  assert.equal(
    toHex(blockDigest(key, ramp(1, 3000))),
    '35ebef6511ba622d4680603e559a224d81a0ee62b239f3b8aba18a6738c07b8a',
    message,
  )
  assert.equal(
    toHex(pageDigest(key, three)),
    'bdf6e34353f47962f542d911ba0d6e8d447c76710600d17d7859791e2c4e547c',
    message,
  )
  assert.equal(
    toHex(nodeDigest(key, three)),
    '0100c71b1ccbd35f2cc881f15405d48141748bc7146fdd660a9c07c90247884b',
    message,
  )
  const shape = { sizeBytes: 5 * blockBytes - 17, blockBytes }
  assert.equal(
    toHex(contentRoot(key, shape, ramp(1, 64))),
    'd7d7a95ae097cd7bf86d637545317577743323433fea5d66d049f69a1a080673',
    message,
  )
})

test('zeros have the zero digest at every level but the last', () => {
  for (const count of [0, 1, 1024]) {
    const digests = new Uint8Array(count * digestBytes)
    assert.deepEqual(pageDigest(key, digests), zeroDigest)
    assert.deepEqual(nodeDigest(key, digests), zeroDigest)
  }
  const roots = [blockBytes, blockBytes + 1, 2 * blockBytes].map((sizeBytes) =>
    toHex(contentRoot(key, { sizeBytes, blockBytes }, zeroDigest)),
  )
  assert.equal(new Set(roots).size, roots.length)
  assert.ok(!roots.includes(toHex(zeroDigest)))
})

test('one digest that is not zero makes the page another, and its place matters', () => {
  const first = joined(ramp(1, 32), zeroDigest)
  const second = joined(zeroDigest, ramp(1, 32))
  const digests = [first, second, ramp(1, 32)].map((each) => toHex(pageDigest(key, each)))
  assert.equal(new Set(digests).size, digests.length)
})

test('property: zeros are recognised wherever the other byte is', () => {
  const sizes = fc.constantFrom(0, 1, 7, 4096, 4 * 1024 * 1024, 4 * 1024 * 1024 + 5)
  fc.assert(
    fc.property(sizes, fc.nat(), fc.integer({ min: 1, max: 255 }), (size, at, value) => {
      const bytes = new Uint8Array(size)
      assert.equal(isAllZero(bytes), true)
      if (size === 0) return
      bytes[at % size] = value
      assert.equal(isAllZero(bytes), false)
    }),
    { numRuns: 40 },
  )
})

/** Straight from docs/format.md, section 6, with all digests in memory. */
function modelRoot(shape: DiskShape, digests: readonly Uint8Array[]): string {
  const groups = (level: number, children: readonly Uint8Array[]): Uint8Array[] => {
    const parents: Uint8Array[] = []
    for (let at = 0; at < children.length; at += pageEntriesMax) {
      const group = children.slice(at, at + pageEntriesMax)
      const zero = group.every((digest) => digest.every((byte) => byte === 0))
      parents.push(zero ? zeroDigest : keyed(Uint8Array.of(level), ...group))
    }
    return parents
  }
  return toHex(contentRoot(key, shape, joined(...groups(1, groups(0, digests)))))
}

function keyed(...parts: readonly Uint8Array[]): Uint8Array {
  return Blake3Hasher.newKeyed(key)
    .update(joined(...parts))
    .digestBuffer()
}

/** Digests of blocks, some of them zero, in runs. */
const runs = fc.array(
  fc.record({ zero: fc.boolean(), count: fc.integer({ min: 1, max: 1500 }), first: fc.integer({ min: 1, max: 200 }) }),
  { minLength: 1, maxLength: 6 },
)

test('property: the builder gives the root of all digests, however they are pushed', () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 1, max: 400 }), (parts, step) => {
      const all = parts.flatMap(({ zero, count, first }) =>
        Array.from({ length: count }, (_, index) => (zero ? zeroDigest : ramp(first + index, 32))),
      )
      const shape = { sizeBytes: all.length * blockBytes - 1, blockBytes }
      const inRuns = new ContentRootBuilder(key, shape)
      for (const { zero, count, first } of parts) {
        if (zero) inRuns.pushZeros(count)
        else for (let at = 0; at < count; at += 1) inRuns.push(ramp(first + at, 32))
      }
      const inSteps = new ContentRootBuilder(key, shape)
      const joinedDigests = joined(...all)
      for (let at = 0; at < joinedDigests.length; at += step * digestBytes) {
        inSteps.push(joinedDigests.subarray(at, at + step * digestBytes))
      }
      const expected = modelRoot(shape, all)
      assert.equal(toHex(inRuns.finish()), expected)
      assert.equal(toHex(inSteps.finish()), expected)
    }),
    { numRuns: 30 },
  )
})

test('a disk with several nodes: pages and nodes of zeros beside others', () => {
  const blocks = 2 * 1024 * 1024 + 3
  const shape = { sizeBytes: blocks * blockBytes, blockBytes }
  const builder = new ContentRootBuilder(key, shape)
  builder.pushZeros(1024 * 1024 + 5)
  builder.push(ramp(9, 32))
  builder.pushZeros(blocks - (1024 * 1024 + 6))
  const page = keyed(Uint8Array.of(0), new Uint8Array(5 * 32), ramp(9, 32), new Uint8Array(1018 * 32))
  const node = keyed(Uint8Array.of(1), page, new Uint8Array(1023 * 32))
  assert.equal(toHex(builder.finish()), toHex(contentRoot(key, shape, joined(zeroDigest, node, zeroDigest))))
})

test('half a digest is our own mistake', () => {
  const builder = new ContentRootBuilder(key, { sizeBytes: 1, blockBytes })
  assert.throws(
    () => {
      builder.push(new Uint8Array(33))
    },
    { code: 'E_BUG' },
  )
})
