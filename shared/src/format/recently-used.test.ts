import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RecentlyUsed } from './recently-used.ts'

test('property: makes exactly what a list of the last used keys does not hold', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(fc.nat(9)), (entriesMax, keys) => {
      const used = new RecentlyUsed<number, string>(entriesMax)
      let model: number[] = []
      for (const key of keys) {
        let made = false
        const value = used.get(key, () => {
          made = true
          return String(key)
        })
        assert.equal(value, String(key))
        assert.equal(made, !model.includes(key))
        model = [key, ...model.filter((other) => other !== key)].slice(0, entriesMax)
      }
    }),
  )
})

test('what was deleted is made anew', () => {
  const used = new RecentlyUsed<string, number>(2)
  assert.deepEqual([used.get('a', () => 1), used.get('b', () => 2)], [1, 2])
  used.delete('a')
  assert.deepEqual([used.get('a', () => 3), used.get('b', () => 4)], [3, 2])
})

test('a map without room is our own mistake', () => {
  assert.throws(() => new RecentlyUsed(0), { code: 'E_BUG' })
})
