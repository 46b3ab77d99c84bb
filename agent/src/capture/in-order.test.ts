import assert from 'node:assert/strict'
import fc from 'fast-check'
import { suite, test } from 'node:test'
import { Room } from '../room.ts'
import { InOrder } from './in-order.ts'

suite('InOrder', () => {
  test('gives out in the order of the tickets, whatever the order of arrival', async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([...Array(20).keys()], { minLength: 20 }), async (arrival) => {
        const out: number[] = []
        const order = new InOrder<number>(20, (item) => out.push(item), new AbortController().signal)
        for (const _ of arrival) {
          await order.ready()
          order.ticket()
        }
        for (const ticket of arrival) order.put(ticket, ticket)
        order.finish()
        assert.deepEqual(
          out,
          [...arrival].sort((a, b) => a - b),
        )
      }),
    )
  })

  test('waits while too many are unfinished', async () => {
    const order = new InOrder<string>(2, () => undefined, new AbortController().signal)
    await order.ready()
    const first = order.ticket()
    await order.ready()
    order.put(order.ticket(), 'second')
    const third = order.ready().then(() => 'third')
    assert.equal(await Promise.race([third, Promise.resolve('waiting')]), 'waiting')
    order.put(first, 'first')
    assert.equal(await third, 'third')
  })
})

suite('Room', () => {
  test('who waits fails when the run is stopped, and so does who comes later', async () => {
    const stop = new AbortController()
    const room = new Room(1, stop.signal)
    await room.take()
    const waiting = room.take()
    stop.abort(new Error('stopped'))
    await assert.rejects(waiting, /stopped/)
    await assert.rejects(room.take(), /stopped/)
    assert.equal(room.peak, 1)
  })
})
