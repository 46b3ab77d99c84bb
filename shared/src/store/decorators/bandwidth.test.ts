import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../clock.ts'
import type { Clock } from '../../clock.ts'
import { bandwidthBurstMs } from '../../limits.ts'
import { MemoryStore } from '../memory.ts'
import { TokenBucket, withBandwidth } from './bandwidth.ts'

/** Sleepers wake in the order of their times, and only when `run` lets time pass. */
function simulatedTime(): { clock: Clock; run: () => Promise<void> } {
  let nowMs = 0
  const sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      await new Promise<void>((wake) => sleepers.push({ atMs: nowMs + ms, wake }))
    },
  }
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
  }
  const run = async (): Promise<void> => {
    await settle()
    while (sleepers.length > 0) {
      sleepers.sort((a, b) => a.atMs - b.atMs)
      const next = sleepers.shift()
      if (next === undefined) return
      nowMs = next.atMs
      next.wake()
      await settle()
    }
  }
  return { clock, run }
}

test('whatever is taken, no more passes than burst and rate allow', async () => {
  const rate = fc.integer({ min: 1, max: 10_000_000 })
  await fc.assert(
    fc.asyncProperty(
      rate,
      fc.array(fc.nat(50_000_000), { minLength: 1, maxLength: 20 }),
      async (bytesPerSecond, takes) => {
        const { clock, run } = simulatedTime()
        const bucket = new TokenBucket(bytesPerSecond, clock)
        let passed = 0
        const take = async (bytes: number): Promise<void> => {
          await bucket.take(bytes)
          passed += bytes
          const allowed = (bytesPerSecond * (clock.monotonicMs() + bandwidthBurstMs)) / 1000
          assert.ok(passed <= allowed * (1 + 1e-9) + 1, `${String(passed)} bytes by ${String(clock.monotonicMs())} ms`)
        }
        const all = Promise.all(takes.map(take))
        await run()
        await all
        // And it is no slower than it must be.
        const neededMs = Math.max(0, (passed * 1000) / bytesPerSecond - bandwidthBurstMs)
        assert.ok(clock.monotonicMs() <= neededMs + 2)
      },
    ),
  )
})

test('puts and reads each wait for their own limit', async () => {
  const { clock, run } = simulatedTime()
  const inner = new MemoryStore({ clock })
  const store = withBandwidth(inner, { clock, upBytesPerSecond: 1000, downBytesPerSecond: 500 })
  const work = (async (): Promise<number[]> => {
    const times: number[] = []
    const note = (): number => times.push(clock.monotonicMs())
    await store.put('a', [new Uint8Array(600), new Uint8Array(400)])
    note()
    await store.put('b', [new Uint8Array(2000)])
    note()
    await store.get('a', { offset: 0, length: 1000 })
    note()
    await store.get('b')
    note()
    await store.head('a')
    note()
    return times
  })()
  await run()
  // 1,000 bytes are free at first; 2,000 take 2 s. By then 500 bytes may be read at once, the other 500 take 1 s; then 4 s.
  assert.deepEqual(await work, [0, 2000, 3000, 7000, 7000])
})

test('what the store copies by itself takes nothing of the link', async () => {
  const { clock, run } = simulatedTime()
  const inner = new MemoryStore({ clock })
  await inner.put('source', [new Uint8Array(100_000)])
  const store = withBandwidth(inner, { clock, upBytesPerSecond: 1000, downBytesPerSecond: 1000 })
  const work = store.compose('made', [{ source: 'source', offset: 0, length: 100_000 }], [new Uint8Array(3000)])
  await run()
  await work
  assert.equal(clock.monotonicMs(), 2000)
})

test('whoever waits when the run is stopped waits no longer', async () => {
  const stop = new AbortController()
  const bucket = new TokenBucket(1, systemClock, stop.signal)
  const taking = bucket.take(1_000_000)
  stop.abort()
  await taking
  await bucket.take(1_000_000)
})

test('without a limit nothing waits', async () => {
  const { clock } = simulatedTime()
  const store = withBandwidth(new MemoryStore({ clock }), { clock })
  await store.put('a', [new Uint8Array(10_000_000)])
  assert.equal((await store.get('a')).byteLength, 10_000_000)
})

test('a rate must be a rate', () => {
  const { clock } = simulatedTime()
  for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => new TokenBucket(rate, clock), { code: 'E_BUG' })
  }
})
