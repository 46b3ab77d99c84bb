import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { atOnce } from './at-once.ts'

test('every item is worked on, so many at a time', async () => {
  const done: string[] = []
  let running = 0
  let runningMost = 0
  const items = Array.from({ length: 20 }, (_, index) => index * 3)
  await atOnce(items, 4, async (item, index) => {
    running += 1
    runningMost = Math.max(runningMost, running)
    await sleep((index * 7) % 5)
    running -= 1
    done.push(`${String(index)} ${String(item)}`)
  })
  assert.equal(runningMost, 4)
  assert.deepEqual(done.toSorted(), items.map((item, index) => `${String(index)} ${String(item)}`).toSorted())
  await atOnce([], 4, async () => {
    await Promise.reject(new Error('there is nothing to do'))
  })
})

test('after a failure nothing is begun, and what is under way is waited for', async () => {
  const begun: number[] = []
  let ended = 0
  const work = atOnce([0, 1, 2, 3, 4, 5], 3, async (item) => {
    begun.push(item)
    if (item === 1) throw new Error('first')
    await sleep(20)
    ended += 1
    if (item === 2) throw new Error('second')
  })
  await assert.rejects(work, { message: 'first' })
  assert.deepEqual(begun, [0, 1, 2])
  assert.equal(ended, 2)
})
