import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Clock, RandomBytes } from '../../clock.ts'
import { StrataError } from '../../errors.ts'
import { storeAttemptsMax, storeRetryDelayMsMax, storeRetryFirstDelayMs } from '../../limits.ts'
import { MemoryStore } from '../memory.ts'
import type { ListOptions, ObjectInfo, PutOptions } from '../object-store.ts'
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

type Outcome = 'works' | 'fails' | 'works but the answer is lost'

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
    const result = await call()
    if (outcome === 'works but the answer is lost') throw unreachable()
    return result
  }

  override async put(name: string, parts: readonly Uint8Array[], options?: PutOptions): Promise<void> {
    await this.#planned(async () => {
      await super.put(name, parts, options)
    })
  }

  override async get(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#planned(async () => await super.get(name))
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

  test('gives up after the limit and says how often it tried', async () => {
    const { clock } = simulatedClock()
    const plan: Outcome[] = Array.from({ length: 100 }, () => 'fails')
    const inner = new PlannedStore(plan, clock)
    await assert.rejects(withRetry(inner, { clock, randomBytes: always(128) }).get('a'), (error: unknown) => {
      assert.ok(error instanceof StrataError)
      assert.equal(error.code, 'E_STORE_UNREACHABLE')
      assert.equal(error.message, 'the cable is out (tried 6 times in 3.1 s)')
      assert.equal(error.details?.['attempts'], storeAttemptsMax)
      return true
    })
    assert.equal(inner.calls, storeAttemptsMax)
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
    assert.ok(sleptMs.length > 2 * storeAttemptsMax)
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

/** What is really there, whatever the plan says. */
async function heldIn(store: MemoryStore): Promise<number | undefined> {
  const info = await MemoryStore.prototype.head.call(store, 'a')
  return info === undefined ? undefined : (await MemoryStore.prototype.get.call(store, 'a'))[0]
}
