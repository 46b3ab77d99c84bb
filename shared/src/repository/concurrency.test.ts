import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mapConcurrently } from './concurrency.ts'

/** Work whose end the test decides. */
class Gates {
  readonly started: number[] = []
  readonly #open = new Map<number, { resolve: (value: number) => void; reject: (error: Error) => void }>()

  readonly work = (item: number): Promise<number> => {
    this.started.push(item)
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    this.#open.set(item, { resolve, reject })
    return promise
  }

  finish(item: number): void {
    this.#open.get(item)?.resolve(item * 10)
  }

  fail(item: number): void {
    this.#open.get(item)?.reject(new Error(`item ${String(item)} failed`))
  }
}

/** Lets everything run that can run without anybody finishing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate)
}

test('results come in the order of the items, whichever ends first', async () => {
  const gates = new Gates()
  const results = mapConcurrently([1, 2, 3], 3, gates.work)
  const first = results.next()
  await settle()
  gates.finish(3)
  gates.finish(2)
  await settle()
  gates.finish(1)
  assert.deepEqual((await first).value, 10)
  assert.deepEqual(await Array.fromAsync(results), [20, 30])
})

test('never more run at once than may, and the next begins when the first result was taken', async () => {
  const gates = new Gates()
  const results = mapConcurrently([1, 2, 3, 4], 2, gates.work)
  const first = results.next()
  await settle()
  assert.deepEqual(gates.started, [1, 2])
  gates.finish(2)
  await settle()
  assert.deepEqual(gates.started, [1, 2])
  gates.finish(1)
  assert.equal((await first).value, 10)
  const second = results.next()
  await settle()
  assert.deepEqual(gates.started, [1, 2, 3])
  assert.equal((await second).value, 20)
  gates.finish(3)
  const third = results.next()
  await settle()
  gates.finish(4)
  assert.equal((await third).value, 30)
  assert.deepEqual(await Array.fromAsync(results), [40])
})

test('a failure is reported in its turn, after what was running has ended', async () => {
  const gates = new Gates()
  const results = mapConcurrently([1, 2, 3], 3, gates.work)
  const first = results.next()
  await settle()
  gates.fail(2)
  gates.finish(1)
  assert.equal((await first).value, 10)
  let rejected = false
  const second = results.next().catch((error: unknown) => {
    rejected = true
    return error
  })
  await settle()
  assert.equal(rejected, false)
  gates.finish(3)
  assert.match(String(await second), /item 2 failed/)
})

test('whoever stops taking results waits for what is running', async () => {
  const gates = new Gates()
  const results = mapConcurrently([1, 2, 3, 4], 2, gates.work)
  const first = results.next()
  await settle()
  gates.finish(1)
  await first
  let ended = false
  const end = results.return(undefined).then(() => {
    ended = true
  })
  await settle()
  assert.equal(ended, false)
  gates.fail(2)
  await end
  assert.deepEqual(gates.started, [1, 2])
})

test('a source that fails ends the run with its error', async () => {
  async function* source(): AsyncGenerator<number> {
    yield await Promise.resolve(1)
    throw new Error('no more items')
  }
  const results = mapConcurrently(source(), 4, (item) => Promise.resolve(item))
  await assert.rejects(Array.fromAsync(results), /no more items/)
})

test('none at a time is our own mistake', async () => {
  await assert.rejects(Array.fromAsync(mapConcurrently([1], 0, (item) => Promise.resolve(item))), { code: 'E_BUG' })
})

test('property: the results are those of one after the other', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(5), { maxLength: 30 }), fc.integer({ min: 1, max: 8 }), async (turns, atOnce) => {
      let running = 0
      let most = 0
      const work = async (count: number): Promise<number> => {
        running += 1
        most = Math.max(most, running)
        for (let turn = 0; turn < count; turn += 1) await Promise.resolve()
        running -= 1
        return count * 2
      }
      assert.deepEqual(
        await Array.fromAsync(mapConcurrently(turns, atOnce, work)),
        turns.map((count) => count * 2),
      )
      assert.ok(most <= atOnce)
    }),
  )
})
