import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReadAhead } from './read-ahead.ts'

const options = { firstWindow: 16, windowMax: 128, streamsMax: 3 }

test('nothing is fetched ahead of somebody who reads here and there', () => {
  const ahead = new ReadAhead(options)
  for (let at = 0; at < 100; at += 1) assert.equal(ahead.asked({ from: at * 1000, to: at * 1000 + 1 }), undefined)
})

test('who goes on is read ahead of, further and further up to an end, in large steps and nothing twice', () => {
  const ahead = new ReadAhead(options)
  let fetchedTo = 0
  let steps = 0
  for (let at = 0; at < 4000; at += 1) {
    const span = ahead.asked({ from: at, to: at + 1 })
    if (span === undefined) continue
    assert.ok(span.from >= fetchedTo && span.from > at, `${String(span.from)} at ${String(at)}`)
    assert.ok(span.to <= at + 1 + options.windowMax)
    fetchedTo = span.to
    steps += 1
  }
  assert.equal(steps < 4000 / (options.windowMax / 2) + 10, true, `${String(steps)} steps`)
  assert.ok(fetchedTo >= 4000 + options.windowMax / 2)
})

test('several at a time are told apart, and parts may come out of order', () => {
  const ahead = new ReadAhead(options)
  const places = [0, 100_000, 200_000]
  const fetched = places.map(() => 0)
  for (let step = 0; step < 300; step += 1) {
    for (const [index, place] of places.entries()) {
      // Neighbours change places, as requests of several connections do.
      const at = place + (step ^ 1)
      const span = ahead.asked({ from: at, to: at + 1 })
      if (span === undefined) continue
      assert.ok(span.from >= place && span.to <= place + step + 2 + options.windowMax)
      fetched[index] = (fetched[index] ?? 0) + span.to - span.from
    }
  }
  for (const blocks of fetched) assert.ok(blocks >= 290 && blocks <= 300 + options.windowMax, String(blocks))
})

test('of more than can be told apart the one who asked longest ago is forgotten', () => {
  const ahead = new ReadAhead(options)
  const ask = (from: number) => ahead.asked({ from, to: from + 1 })
  for (const place of [0, 1, 100_000, 200_000, 300_000]) ask(place)
  assert.equal(ask(2), undefined)
  assert.notEqual(ask(3), undefined)
})
