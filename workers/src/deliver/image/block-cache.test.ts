import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockCache } from './block-cache.ts'

const blockBytes = 64

function filled(cache: BlockCache, ...blocks: readonly number[]): void {
  for (const block of blocks) assert.notEqual(cache.reserve(block), undefined)
}

test('of blocks that nobody needs to stay, the one that was used longest ago gives way', () => {
  const cache = new BlockCache(blockBytes, 3)
  filled(cache, 1, 2, 3)
  cache.get(1)
  filled(cache, 4)
  assert.deepEqual(
    [1, 2, 3, 4].map((block) => cache.has(block)),
    [true, false, true, true],
  )
})

test('what somebody has, or what is being filled, stays; when there is nothing else there is no room', () => {
  const cache = new BlockCache(blockBytes, 2)
  filled(cache, 1, 2)
  const [one, two] = [cache.get(1), cache.get(2)]
  assert.ok(one !== undefined && two !== undefined)
  one.leases += 1
  two.filling = Promise.resolve()
  assert.equal(cache.reserve(3), undefined)
  two.filling = undefined
  assert.equal(cache.reserve(3)?.place, two.place)
  assert.equal(cache.has(1), true)
})

test('no two blocks lie at one place, and what was dropped makes room', () => {
  const cache = new BlockCache(blockBytes, 4)
  filled(cache, 1, 2, 3, 4)
  const places = [1, 2, 3, 4].map((block) => cache.get(block)?.place)
  assert.deepEqual(new Set(places), new Set([0, 64, 128, 192]))
  const dropped = cache.get(2) ?? assert.fail()
  cache.drop(dropped)
  cache.drop(dropped)
  assert.equal(cache.reserve(5)?.place, dropped.place)
  cache.drop(dropped)
  assert.equal(cache.has(5), true)
  for (const block of [1, 3, 4, 5]) (cache.get(block) ?? assert.fail()).leases += 1
  assert.equal(cache.reserve(6), undefined)
})

test('a part of a block is a window on the memory that threads write to', () => {
  const cache = new BlockCache(blockBytes, 2)
  const slot = cache.reserve(7) ?? assert.fail()
  new Uint8Array(cache.memory, slot.place, blockBytes).fill(9, 10, 20)
  assert.deepEqual([...cache.bytes(slot, 8, 12)], [0, 0, 9, 9])
})
