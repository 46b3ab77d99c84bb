import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Clock, RandomBytes } from '../../clock.ts'
import { StrataError } from '../../errors.ts'
import { storeAttemptsMin, storeOutageMsMax, storeRetryDelayMsMax, storeRetryFirstDelayMs } from '../../limits.ts'
import { MemoryStore } from '../memory.ts'
import type { ListOptions, ObjectInfo, ObjectStore, PutOptions } from '../object-store.ts'
import { retryDelayMs, withRetry } from './retry.ts'

/** Time passes only by sleeping. */
function simulatedClock(): { clock: Clock; sleptMs: number[] } {
  const sleptMs: number[] = []
  let nowMs = 1_000_000
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      sleptMs.push(ms)
      nowMs += ms
      await Promise.resolve()
    },
  }
  return { clock, sleptMs }
}

const always =
  (byte: number): RandomBytes =>
  (count) =>
    new Uint8Array(count).fill(byte)
const unreachable = (): StrataError => new StrataError('E_STORE_UNREACHABLE', 'the cable is out')

type Outcome = 'works' | 'fails' | 'is busy' | 'refuses our clock' | 'works but the answer is lost'
const failures = (count: number, outcome: Outcome = 'fails'): Outcome[] => Array.from({ length: count }, () => outcome)

/** A store whose calls go as planned, then work. */
class PlannedStore extends MemoryStore {
  calls = 0
  readonly #plan: Outcome[]

  constructor(plan: readonly Outcome[], clock: Clock) {
    super({ clock })
    this.#plan = [...plan]
  }

  async #planned<Result>(call: () => Promise<Result>): Promise<Result> {
    this.calls += 1
    const outcome = this.#plan.shift() ?? 'works'
    if (outcome === 'fails') throw unreachable()
    if (outcome === 'is busy') throw new StrataError('E_STORE_BUSY', 'slow down')
    if (outcome === 'refuses our clock') throw new StrataError('E_STORE_CLOCK', 'it is not that late')
    const result = await call()
    if (outcome === 'works but the answer is lost') throw unreachable()
    return result
  }

  override async put(name: string, parts: readonly Uint8Array[], options?: PutOptions): Promise<void> {
    await this.#planned(async () => {
      await super.put(name, parts, options)
    })
  }

  override async get(...wanted: Parameters<ObjectStore['get']>): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#planned(async () => await super.get(...wanted))
  }

  override async head(name: string): Promise<ObjectInfo | undefined> {
    return await this.#planned(async () => await super.head(name))
  }

  override async delete(name: string): Promise<void> {
    await this.#planned(async () => {
      await super.delete(name)
    })
  }

  /** Each object is a page of its own. */
  override async *list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    for await (const info of super.list(prefix, options))
      yield await this.#planned(async () => await Promise.resolve(info))
  }
}

describe('retry', () => {
  test('tries again until it works, with pauses that double', async () => {
    const { clock, sleptMs } = simulatedClock()
    const inner = new PlannedStore(['fails', 'fails', 'fails'], clock)
    const told: string[] = []
    const onRetry = (error: StrataError, attempt: number, delayMs: number): void => {
      told.push(`${error.code} ${String(attempt)} ${String(delayMs)}`)
    }
    await withRetry(inner, { clock, randomBytes: always(255), onRetry }).put('a', [Uint8Array.of(1)])
    assert.equal(inner.calls, 4)
    assert.deepEqual(sleptMs, [200, 400, 800])
    assert.deepEqual(
      told,
      sleptMs.map((ms, index) => `E_STORE_UNREACHABLE ${String(index + 1)} ${String(ms)}`),
    )
  })

  test('gives up a store that has never answered within seconds, and says how often it tried', async () => {
    const { clock } = simulatedClock()
    const inner = new PlannedStore(failures(100), clock)
    await assert.rejects(withRetry(inner, { clock, randomBytes: always(128) }).get('a'), (error: unknown) => {
      assert.ok(error instanceof StrataError)
      assert.equal(error.code, 'E_STORE_UNREACHABLE')
      assert.equal(error.message, 'the cable is out (tried 6 times in 3.1 s)')
      assert.equal(error.details?.['attempts'], storeAttemptsMin)
      return true
    })
    assert.equal(inner.calls, storeAttemptsMin)
  })

  test('lives through an outage of a store that has answered', async () => {
    const { clock, sleptMs } = simulatedClock()
    const inner = new PlannedStore(['works', ...failures(10)], clock)
    const store = withRetry(inner, { clock, randomBytes: always(255) })
    await store.put('a', [Uint8Array.of(1)])
    await store.get('a')
    assert.equal(sumOf(sleptMs), 85_400)
    assert.equal(Math.max(...sleptMs), storeRetryDelayMsMax)
  })

  test('gives up when an outage has lasted too long, whatever was tried how often', async () => {
    for (const byte of [40, 128, 255]) {
      const { clock, sleptMs } = simulatedClock()
      const store = withRetry(new PlannedStore(['works', ...failures(1000)], clock), {
        clock,
        randomBytes: always(byte),
      })
      await store.put('a', [])
      await assert.rejects(store.get('a'), {
        code: 'E_STORE_UNREACHABLE',
        message: /tried [0-9]+ times in 1[2-4][0-9]/,
      })
      const sleptMsTotal = sumOf(sleptMs)
      assert.ok(sleptMsTotal >= storeOutageMsMax && sleptMsTotal <= storeOutageMsMax + storeRetryDelayMsMax)
    }
  })

  test('a missing object is an answer too, and so is a store that is busy from the start', async () => {
    const missing = async (store: ObjectStore): Promise<void> => {
      await assert.rejects(store.get('b'), { code: 'E_OBJECT_MISSING' })
    }
    const { clock, sleptMs } = simulatedClock()
    const inner = new PlannedStore(['works', ...failures(9)], clock)
    const store = withRetry(inner, { clock, randomBytes: always(255) })
    await missing(store)
    await missing(store)
    assert.equal(inner.calls, 11)
    const busy = withRetry(new PlannedStore(failures(9, 'is busy'), clock), { clock, randomBytes: always(255) })
    await missing(busy)
    assert.equal(sleptMs.length, 18)
  })

  test('calls share an outage: whoever cleans up after it does not wait for it again, until something works', async () => {
    const { clock } = simulatedClock()
    // With the longest pauses an outage is 13 failures.
    const outage = failures(13)
    const plan: Outcome[] = ['works', ...outage, ...failures(storeAttemptsMin), 'fails', 'works', ...failures(12)]
    const inner = new PlannedStore(plan, clock)
    const store = withRetry(inner, { clock, randomBytes: always(255) })
    await store.put('a', [])
    await assert.rejects(store.get('a'), { details: { attempts: outage.length } })
    await assert.rejects(store.delete('a'), { details: { attempts: storeAttemptsMin } })
    await store.head('a')
    await store.head('a')
    assert.equal(inner.calls, plan.length + 1)
  })

  test('a call that fails again and again ends, although others work meanwhile', async () => {
    const { clock } = simulatedClock()
    const inner = new PlannedStore([], clock)
    inner.get = async () => {
      await store.head('b')
      throw unreachable()
    }
    const store = withRetry(inner, { clock, randomBytes: always(255) })
    const startedMs = clock.monotonicMs()
    await assert.rejects(store.get('a'), { code: 'E_STORE_UNREACHABLE' })
    const lastedMs = clock.monotonicMs() - startedMs
    assert.ok(lastedMs >= storeOutageMsMax && lastedMs <= storeOutageMsMax + storeRetryDelayMsMax)
  })

  test('a clock that is wrong does not become right by waiting', async () => {
    const { clock } = simulatedClock()
    const inner = new PlannedStore(['works', ...failures(100, 'refuses our clock')], clock)
    const store = withRetry(inner, { clock, randomBytes: always(255) })
    await store.put('a', [])
    await assert.rejects(store.get('a'), { code: 'E_STORE_CLOCK', details: { attempts: storeAttemptsMin } })
  })

  test('whoever is told to stop does not wait for an outage to end, nor for a pause', async () => {
    const { clock, sleptMs } = simulatedClock()
    const stop = new AbortController()
    const sleep: Clock['sleep'] = async (ms, signal) => {
      await clock.sleep(ms)
      if (sleptMs.length === 8) stop.abort()
      // As the real one does.
      signal?.throwIfAborted()
    }
    const inner = new PlannedStore(['works', ...failures(100)], clock)
    const options = { clock: { ...clock, sleep }, randomBytes: always(255), signal: stop.signal }
    const store = withRetry(inner, options)
    await store.put('a', [])
    await assert.rejects(store.get('a'), { code: 'E_STORE_UNREACHABLE', details: { attempts: 9 } })
    await assert.rejects(store.get('a'), { code: 'E_STORE_UNREACHABLE', details: { attempts: storeAttemptsMin } })
  })

  test('does not try again what cannot get better', async () => {
    const { clock, sleptMs } = simulatedClock()
    const inner = new PlannedStore([], clock)
    const store = withRetry(inner, { clock, randomBytes: always(0) })
    await assert.rejects(store.get('missing'), { code: 'E_OBJECT_MISSING' })
    await assert.rejects(store.put('NAME', []), { code: 'E_OBJECT_NAME' })
    assert.equal(inner.calls, 2)
    assert.deepEqual(sleptMs, [])
  })

  test("takes its own object for a success after a lost answer, and nobody else's", async () => {
    const lostFirst: Outcome[] = ['works but the answer is lost']
    const { clock } = simulatedClock()
    const ours = withRetry(new PlannedStore(lostFirst, clock), { clock, randomBytes: always(0) })
    await ours.put('a', [Uint8Array.of(1), Uint8Array.of(2, 3)], { ifAbsent: true })
    assert.deepEqual(await ours.get('a'), Uint8Array.of(1, 2, 3))

    for (const theirs of [Uint8Array.of(1, 2, 4), Uint8Array.of(1, 2), Uint8Array.of()]) {
      const inner = new PlannedStore(['works', 'fails'], clock)
      await inner.put('a', [theirs])
      const store = withRetry(inner, { clock, randomBytes: always(0) })
      await assert.rejects(store.put('a', [Uint8Array.of(1, 2, 3)], { ifAbsent: true }), { code: 'E_OBJECT_EXISTS' })
      assert.deepEqual(await inner.get('a'), theirs)
    }
  })

  test('a first create-if-absent that meets equal bytes is still refused: nothing of ours was under way', async () => {
    const { clock } = simulatedClock()
    const inner = new PlannedStore([], clock)
    await inner.put('a', [Uint8Array.of(1)])
    const store = withRetry(inner, { clock, randomBytes: always(0) })
    await assert.rejects(store.put('a', [Uint8Array.of(1)], { ifAbsent: true }), { code: 'E_OBJECT_EXISTS' })
  })

  test('whatever is lost on the way, a create-if-absent that succeeds has left its own bytes', async () => {
    const outcome = fc.constantFrom<Outcome>('works', 'fails', 'works but the answer is lost')
    await fc.assert(
      fc.asyncProperty(fc.array(outcome, { maxLength: 12 }), fc.boolean(), async (plan, taken) => {
        const { clock } = simulatedClock()
        const inner = new PlannedStore([...(taken ? (['works'] as const) : []), ...plan], clock)
        if (taken) await inner.put('a', [Uint8Array.of(9)])
        const store = withRetry(inner, { clock, randomBytes: always(7) })
        const code = await store.put('a', [Uint8Array.of(5)], { ifAbsent: true }).then(
          () => 'done',
          (error: unknown) => (error as StrataError).code,
        )
        const held = await heldIn(inner)
        if (code === 'done') assert.deepEqual([taken, held], [false, 5])
        else if (taken) assert.equal(held, 9)
        else assert.equal(code, 'E_STORE_UNREACHABLE')
      }),
    )
  })

  test('a listing goes on after the last name it gave, and long ones may fail often', async () => {
    const { clock, sleptMs } = simulatedClock()
    const plan = Array.from({ length: 60 }, (_, index): Outcome => (index % 3 === 0 ? 'works' : 'fails'))
    const puts = Array.from({ length: 20 }, (): Outcome => 'works')
    const inner = new PlannedStore([...puts, ...plan], clock)
    const names = Array.from({ length: 20 }, (_, index) => `n${String(index).padStart(2, '0')}`)
    for (const name of names) await inner.put(name, [])
    const listed: string[] = []
    for await (const info of withRetry(inner, { clock, randomBytes: always(255) }).list('n', { startAfter: 'n01' })) {
      listed.push(info.name)
    }
    assert.deepEqual(listed, names.slice(2))
    // The pauses begin anew after every name that came.
    assert.ok(sleptMs.length > 2 * storeAttemptsMin)
    assert.deepEqual(new Set(sleptMs), new Set([200, 400]))
  })

  test('a pause is never longer than its limit, and anywhere below it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.uint8Array({ minLength: 4, maxLength: 4 }), (failed, bytes) => {
        const delayMs = retryDelayMs(failed, () => bytes)
        assert.ok(delayMs >= 0 && delayMs <= Math.min(storeRetryDelayMsMax, storeRetryFirstDelayMs * 2 ** (failed - 1)))
      }),
    )
    assert.equal(retryDelayMs(30, always(255)), storeRetryDelayMsMax)
    assert.equal(retryDelayMs(30, always(0)), 0)
  })
})

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** What is really there, whatever the plan says. */
async function heldIn(store: MemoryStore): Promise<number | undefined> {
  const info = await MemoryStore.prototype.head.call(store, 'a')
  return info === undefined ? undefined : (await MemoryStore.prototype.get.call(store, 'a'))[0]
}
