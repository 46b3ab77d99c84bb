import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ScrubDamage } from '@strata/shared/format/scrub.ts'
import { wantedBlocksMax, wantedRangesMax } from '@strata/shared/limits.ts'
import { wantedBlocks } from './wanted-blocks.ts'

const chain = 'c'.repeat(32)

function damage(hits: ScrubDamage['hits'], changes: Partial<ScrubDamage> = {}): ScrubDamage {
  const at = '2026-01-01T00:00:00.000Z'
  const object = `${'a'.repeat(32)}/data-00000000-${'1'.repeat(16)}`
  const place = { chain, object, offset: 0, length: 1, code: 'E_FORMAT_DAMAGED' }
  return { ...place, message: '', foundAt: at, by: 'scrub', points: [[1, 3]], hits, truncated: false, ...changes }
}

const hit = (block: number, blocks: number, first: number, last: number): ScrubDamage['hits'][number] => ({
  disk: 0,
  block,
  blocks,
  points: [[first, last]],
})

test('only what the base itself needs is asked for: of its chain, and records', () => {
  const found = [
    damage([hit(9, 1, 2, 4), hit(5, 2, 3, 3), hit(7, 1, 1, 2)]),
    damage([hit(20, 1, 1, 9)], { chain: 'd'.repeat(32) }),
    damage([hit(30, 1, 1, 9)], { object: `${'a'.repeat(32)}/map-00000000-${'1'.repeat(16)}` }),
  ]
  assert.deepEqual(wantedBlocks({ damage: found }, chain, 3), [
    { disk: 0, block: 5, blocks: 2 },
    { disk: 0, block: 9, blocks: 1 },
  ])
})

test('no more than a session has room for', () => {
  const many = Array.from({ length: wantedRangesMax + 5 }, (_, index) => hit(index * 2, 1, 1, 1))
  assert.equal(wantedBlocks({ damage: [damage(many)] }, chain, 1).length, wantedRangesMax)
  const large = wantedBlocks(
    { damage: [damage([hit(0, wantedBlocksMax - 1, 1, 1), hit(wantedBlocksMax, 5, 1, 1)])] },
    chain,
    1,
  )
  assert.deepEqual(
    large.map(({ blocks }) => blocks),
    [wantedBlocksMax - 1, 1],
  )
})
