import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageEntriesMax } from '@strata/shared/limits.ts'
import type { Damage } from '../../read/damage.ts'
import { DamagedPlaces } from './damaged-places.ts'

function damageAt(block: number, packOffsetBytes: number): Damage {
  return {
    disk: 'system',
    block,
    blocks: 1,
    offsetBytes: block * 65536,
    lengthBytes: 65536,
    pack: 'pack',
    packOffsetBytes,
    packLengthBytes: 100,
    code: 'E_SEAL_BROKEN',
    message: 'does not open',
  }
}

test('a place that several points need is one place with several points', () => {
  const places = new DamagedPlaces()
  for (const point of ['a', 'a', 'b']) places.addFor(point, damageAt(5, 100))
  places.addFor('b', damageAt(5, 200))
  assert.deepEqual(
    [...places.all()].map(({ points }) => points),
    [['a', 'b'], ['b']],
  )
  assert.deepEqual(places.find(damageAt(5, 100))?.points, ['a', 'b'])
  assert.equal(places.find({ ...damageAt(5, 100), disk: 'data' }), undefined)
})

test('pages and nodes with damage are found by their numbers', () => {
  const places = new DamagedPlaces()
  places.addFor('a', damageAt(3 * pageEntriesMax + 7, 0))
  assert.deepEqual(
    [2, 3, 4].map((page) => places.hasPage('system', page)),
    [false, true, false],
  )
  assert.deepEqual(
    [places.hasPage('data', 3), places.hasNode('system', 0), places.hasNode('system', 1)],
    [false, true, false],
  )
})

test('what has no room is forgotten, and that is said', () => {
  const places = new DamagedPlaces(2)
  places.addFor('a', damageAt(1, 0))
  places.addFor('a', damageAt(2, 0))
  assert.equal(places.overflowed, false)
  places.addFor('b', damageAt(2, 0))
  assert.equal(places.overflowed, false)
  places.addFor('b', damageAt(3, 0))
  assert.equal(places.overflowed, true)
  assert.equal(places.find(damageAt(3, 0)), undefined)
})
