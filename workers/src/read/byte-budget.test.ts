import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteBudget } from './byte-budget.ts'

/** Runs works of the given sizes that end one after the other, and tells the most bytes that were under way. */
async function mostUnderWay(bytesMax: number, sizes: readonly number[]): Promise<{ most: number; order: number[] }> {
  const budget = new ByteBudget(bytesMax)
  const order: number[] = []
  let now = 0
  let most = 0
  await Promise.all(
    sizes.map((bytes, index) =>
      budget.run(bytes, async () => {
        order.push(index)
        now += bytes
        most = Math.max(most, now)
        await new Promise((resolve) => setImmediate(resolve))
        now -= bytes
      }),
    ),
  )
  assert.equal(now, 0)
  return { most, order }
}

test('what is under way stays within the budget, in order', async () => {
  const sizes = [4, 4, 4, 1, 9, 1, 10, 3]
  const { most, order } = await mostUnderWay(10, sizes)
  assert.ok(most <= 10 && most >= 9, String(most))
  assert.deepEqual(order, [...sizes.keys()])
})

test('what is larger than the budget runs alone', async () => {
  const { most, order } = await mostUnderWay(10, [3, 25, 3])
  assert.equal(most, 25)
  assert.deepEqual(order, [0, 1, 2])
})

test('work that fails gives its bytes back', async () => {
  const budget = new ByteBudget(10)
  await assert.rejects(
    budget.run(10, () => Promise.reject(new Error('no'))),
    /no/,
  )
  assert.equal(await budget.run(10, () => Promise.resolve('ran')), 'ran')
})
