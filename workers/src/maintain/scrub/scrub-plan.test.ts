import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { newScrub, type ScrubState } from '@strata/shared/repository/scrub/scrub-ledger.ts'
import { coverageOf, coveredAfter, isToRead, momentAfter, planScrub, roundMs, withPeriod } from './scrub-plan.ts'

const hourMs = 3600_000
const dayMs = 24 * hourMs
const startMs = Date.UTC(2026, 0, 1)

interface Known {
  readonly object: string
  readonly attempt: string
  readonly sequence: number
  /** When it was read last, or when it came. */
  sinceMs: number
}

/** A set whose objects come and go, and whose runs are at the times that a test gives. */
class Model {
  readonly objects: Known[] = []
  state: ScrubState
  longestMs = 0
  readonly #everyDays: number
  #sequence = 0

  constructor(everyDays: number) {
    this.#everyDays = everyDays
    this.state = newScrub(roundMs(everyDays), startMs)
  }

  arrive(attempts: readonly number[], nowMs: number): void {
    this.#sequence += 1
    for (const [index, value] of attempts.entries()) {
      const attempt = (value >>> 0).toString(16).padStart(8, '0').padEnd(16, '0')
      const session = String(this.#sequence).padStart(32, '0')
      const object = `${session}/data-${String(index).padStart(8, '0')}-${attempt}`
      this.objects.push({ object, attempt, sequence: this.#sequence, sinceMs: nowMs })
    }
  }

  /** @param objectsMax after so many it dies, with all that it has noted; gives how many were read that are not new */
  run(nowMs: number, objectsMax = Infinity): number {
    this.state = withPeriod(this.state, roundMs(this.#everyDays))
    const { state } = this
    const plan = planScrub(
      state,
      this.objects.filter((object) => isToRead(state, object, nowMs)),
      nowMs,
    )
    let due = 0
    for (const { stored, progress } of plan.slice(0, objectsMax)) {
      this.longestMs = Math.max(this.longestMs, nowMs - stored.sinceMs)
      stored.sinceMs = nowMs
      if (stored.sequence <= state.takenIn) due += 1
      this.state = { ...this.state, ...progress }
    }
    if (plan.length <= objectsMax) {
      const coveredUntil = coveredAfter(state, nowMs)
      this.state = { ...this.state, coveredUntil, takenIn: this.#sequence, takenInTo: null }
    }
    return due
  }

  /** What the ledger says of the object that was unread for the longest, which may not be later than the truth. */
  assertHonest(nowMs: number): void {
    const isNew = this.objects.filter(({ sequence }) => sequence > this.state.takenIn)
    const newSince = isNew.length === 0 ? undefined : Math.min(...isNew.map(({ sinceMs }) => sinceMs))
    const { oldestUncheckedMs } = coverageOf(this.state, newSince, nowMs)
    const oldest = Math.min(...this.objects.map(({ sinceMs }) => sinceMs))
    assert.ok(oldestUncheckedMs <= oldest, 'nothing is older than what is said')
  }
}

const attempts = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 20 })

test('whatever comes and goes, everything is read again in its days', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      // Runs are never further apart than the reserve, which is a tenth of the time.
      fc.array(
        fc.record({
          pauseShare: fc.double({ min: 0.001, max: 0.06, noNaN: true }),
          arriving: fc.option(attempts),
          leaving: fc.nat(3),
        }),
        {
          minLength: 60,
          maxLength: 200,
        },
      ),
      (everyDays, runs) => {
        const model = new Model(everyDays)
        model.arrive([1, 2 ** 31, 2 ** 32 - 1], startMs)
        let nowMs = startMs
        for (const { pauseShare, arriving, leaving } of runs) {
          nowMs += Math.ceil(pauseShare * everyDays * dayMs)
          if (arriving !== null) model.arrive(arriving, nowMs)
          model.objects.splice(1, leaving)
          model.run(nowMs)
          model.assertHonest(nowMs)
        }
        assert.ok(
          model.longestMs <= everyDays * dayMs,
          `${String(model.longestMs / dayMs)} of ${String(everyDays)} days`,
        )
      },
    ),
  )
})

test('whoever dies is continued, and misses nothing', () => {
  fc.assert(
    fc.property(
      fc.array(attempts, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(5), { minLength: 1, maxLength: 40 }),
      (points, deaths) => {
        const model = new Model(30)
        for (const point of points) model.arrive(point, startMs)
        let nowMs = startMs
        for (const objectsMax of deaths) {
          nowMs += dayMs
          model.run(nowMs, objectsMax)
          model.assertHonest(nowMs)
        }
        const lastMs = nowMs
        for (let day = 1; day <= 30; day += 1) model.run(lastMs + day * dayMs)
        for (const { sinceMs } of model.objects) assert.ok(sinceMs > startMs)
        assert.ok(
          model.objects.every(({ sinceMs }) => sinceMs >= lastMs),
          'all was read within a round of whole runs',
        )
      },
    ),
  )
})

test('no day has much more than its share, besides what is new', () => {
  const model = new Model(30)
  let given = 0
  const random = (count: number): number[] =>
    Array.from({ length: count }, () =>
      createHash('sha256')
        .update(String((given += 1)))
        .digest()
        .readUInt32LE(),
    )
  model.arrive(random(6000), startMs)
  model.run(startMs)
  const days: number[] = []
  for (let day = 1; day <= 60; day += 1) {
    model.arrive(random(20), startMs + day * dayMs)
    let read = 0
    for (let hour = 0; hour < 24; hour += 6) read += model.run(startMs + day * dayMs + hour * hourMs)
    days.push(read)
  }
  const average = model.objects.length / 30
  assert.ok(Math.max(...days) < 1.4 * average, `${String(Math.max(...days))} a day, and ${String(average)} on average`)
})

test('a shorter round begins at once, and what is said of the longest unread stays true', () => {
  const slow = new Model(60)
  slow.arrive([5, 2 ** 30, 2 ** 31, 3 * 2 ** 30], startMs)
  slow.run(startMs)
  for (let day = 1; day <= 40; day += 1) slow.run(startMs + day * dayMs)
  slow.state = withPeriod(slow.state, roundMs(7))
  slow.assertHonest(startMs + 40 * dayMs)
})

test('a run that comes too late is said to be', () => {
  const model = new Model(30)
  model.arrive([1, 2], startMs)
  model.run(startMs)
  const isLateAfter = (days: number): boolean => coverageOf(model.state, undefined, startMs + days * dayMs).isLate
  assert.deepEqual([isLateAfter(29), isLateAfter(31)], [false, true])
  assert.equal(coverageOf(model.state, startMs, startMs + 31 * dayMs).isLate, true)
  const { share } = coverageOf(model.state, undefined, startMs + 16.5 * dayMs)
  assert.ok(Math.abs(share - 0.5) < 0.01)
})

test('moments come once in each round, and never twice', () => {
  fc.assert(
    fc.property(
      fc.nat(0xffff_ffff),
      fc.integer({ min: 1, max: 10 ** 10 }),
      fc.nat(10 ** 12),
      (value, periodMs, afterMs) => {
        const attempt = value.toString(16).padStart(8, '0')
        const moment = momentAfter(attempt, periodMs, afterMs)
        assert.ok(moment > afterMs && moment <= afterMs + periodMs)
        assert.equal(momentAfter(attempt, periodMs, moment), moment + periodMs)
      },
    ),
  )
})
