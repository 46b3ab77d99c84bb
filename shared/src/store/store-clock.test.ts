import assert from 'node:assert/strict'
import { test } from 'node:test'
import { storeClockLifeMs } from '../limits.ts'
import { StoreClock } from './store-clock.ts'

test("the store's time goes on with our monotonic clock, and is asked for again when it is old", () => {
  let monotonicMs = 5000
  // Our own wall clock is a day wrong and jumps: it is never looked at.
  const nowMs = (): number => assert.fail('the wall clock was asked')
  const clock = new StoreClock({
    nowMs,
    monotonicMs: () => monotonicMs,
    sleep: async () => {
      await Promise.resolve()
    },
  })
  assert.equal(clock.current(), undefined)
  clock.observe(1_700_000_000_000)
  monotonicMs += 1234.4
  assert.equal(clock.current(), 1_700_000_001_234)
  // A later answer does not make time stutter while the offset is believed.
  clock.observe(1_700_000_000_900)
  assert.equal(clock.current(), 1_700_000_001_234)
  monotonicMs += storeClockLifeMs
  assert.equal(clock.current(), undefined)
  clock.observe(1_700_000_100_000)
  assert.equal(clock.current(), 1_700_000_100_000)
})
