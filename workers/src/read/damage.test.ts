import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DamageList, type Damage } from './damage.ts'

const blockBytes = 65536

function damageAt(block: number, options: Partial<Damage> = {}): Damage {
  return {
    disk: 'system',
    block,
    blocks: 1,
    offsetBytes: block * blockBytes,
    lengthBytes: blockBytes,
    pack: 'pack',
    packOffsetBytes: block * 100,
    packLengthBytes: 100,
    code: 'E_SEAL_BROKEN',
    message: 'does not open',
    ...options,
  }
}

test('neighbours with one cause are one range, in whatever order they were found', () => {
  const list = new DamageList()
  for (const block of [7, 3, 4, 8, 5]) list.add(damageAt(block))
  const { ranges, blocks, bytes, truncated } = list.report()
  assert.deepEqual(
    ranges.map(({ block, blocks: count, offsetBytes, lengthBytes, packOffsetBytes, packLengthBytes }) => ({
      block,
      count,
      offsetBytes,
      lengthBytes,
      packOffsetBytes,
      packLengthBytes,
    })),
    [
      {
        block: 3,
        count: 3,
        offsetBytes: 3 * blockBytes,
        lengthBytes: 3 * blockBytes,
        packOffsetBytes: 300,
        packLengthBytes: 300,
      },
      {
        block: 7,
        count: 2,
        offsetBytes: 7 * blockBytes,
        lengthBytes: 2 * blockBytes,
        packOffsetBytes: 700,
        packLengthBytes: 200,
      },
    ],
  )
  assert.deepEqual({ blocks, bytes, truncated }, { blocks: 5, bytes: 5 * blockBytes, truncated: false })
})

test('another disk, pack or code begins another range', () => {
  const list = new DamageList()
  list.add(damageAt(1))
  list.add(damageAt(2, { pack: 'other' }))
  list.add(damageAt(3, { pack: 'other', code: 'E_OBJECT_MISSING' }))
  list.add(damageAt(4, { pack: 'other', code: 'E_OBJECT_MISSING', disk: 'data' }))
  assert.equal(list.report().ranges.length, 4)
})

test('a full list counts on, and joining makes room again', () => {
  const list = new DamageList(3)
  for (const block of [1, 3, 2, 5, 7]) list.add(damageAt(block))
  assert.deepEqual(
    list.report().ranges.map(({ block, blocks }) => [block, blocks]),
    [
      [1, 3],
      [5, 1],
      [7, 1],
    ],
  )
  assert.equal(list.report().truncated, false)
  list.add(damageAt(9))
  const report = list.report()
  assert.deepEqual([report.ranges.length, report.blocks, report.truncated], [3, 6, true])
})
