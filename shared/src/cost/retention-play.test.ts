import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { noCounts, type Retention } from '../policy/retention-rules.ts'
import { decideRetention, type Holds, type RetainedPoint } from '../policy/retention.ts'
import { dayMs } from '../policy/wall-time.ts'
import { RetentionPlay } from './retention-play.ts'

const startMs = Date.UTC(2026, 1, 20, 7, 30)
const hourMs = dayMs / 24

/** What prune does, with nothing left out: every point that is there is decided on at every turn. */
class PlainPrune {
  readonly #retention: Retention
  readonly #holds: Holds
  readonly #dueMs = new Map<RetainedPoint, number>()
  there: RetainedPoint[] = []

  constructor(retention: Retention, holds: Holds) {
    this.#retention = retention
    this.#holds = holds
  }

  turn(nowMs: number): RetainedPoint[] {
    const gone: RetainedPoint[] = []
    for (const { point, keep } of decideRetention(this.there, this.#holds, this.#retention, nowMs)) {
      const dueMs = this.#dueMs.get(point)
      if (keep) this.#dueMs.delete(point)
      else if (dueMs === undefined) this.#dueMs.set(point, nowMs + this.#retention.undoWindowMs)
      else if (dueMs <= nowMs) gone.push(point)
    }
    this.there = this.there.filter((point) => !gone.includes(point))
    return gone
  }
}

const retentions: fc.Arbitrary<Retention> = fc.record({
  counts: fc
    .record({
      last: fc.nat({ max: 5 }),
      hourly: fc.nat({ max: 12 }),
      daily: fc.nat({ max: 6 }),
      weekly: fc.nat({ max: 3 }),
      monthly: fc.nat({ max: 2 }),
    })
    .map((counts) => ({ ...noCounts, ...counts })),
  minimumAgeMs: fc.nat({ max: 5 }).map((days) => days * dayMs),
  timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns'),
  undoWindowMs: fc.integer({ min: 1, max: 10 }).map((days) => days * dayMs),
})

/** What comes on one day: hours at which points are made, and whether a copy of the newest is made before. */
const days = fc.array(
  fc.record({
    hours: fc.uniqueArray(fc.nat({ max: 23 }), { maxLength: 5 }),
    copies: fc.boolean(),
    isChanging: fc.boolean(),
  }),
  { minLength: 30, maxLength: 60 },
)

test('day by day the same points go as when every point is looked at every day', () => {
  fc.assert(
    fc.property(
      retentions,
      days,
      fc.option(fc.nat({ max: 20 })),
      fc.constantFrom(0, 3, 20),
      (retention, plan, held, lockDays) => {
        const holds: Holds = { points: new Map(held === null ? [] : [[held, 'asked for']]) }
        const play = new RetentionPlay(retention, holds, startMs)
        const plain = new PlainPrune(retention, holds)
        let sequence = 0
        let newest: RetainedPoint | undefined
        const add = (point: Omit<RetainedPoint, 'id' | 'sequence'>, madeMs: number): void => {
          sequence += 1
          const locked = lockDays === 0 ? {} : { lockedUntilMs: madeMs + lockDays * dayMs }
          newest = { id: String(sequence), sequence, ...point, ...locked }
          play.add(newest)
          plain.there.push(newest)
        }
        plan.forEach(({ hours, copies, isChanging }, index) => {
          const midnightMs = Math.floor(startMs / dayMs) * dayMs + index * dayMs
          const turnMs = Math.max(startMs, midnightMs)
          if (copies && newest !== undefined) add({ ...newest, isCopy: true }, turnMs)
          const numbers = (points: readonly RetainedPoint[]): number[] =>
            points.map((one) => one.sequence).sort((a, b) => a - b)
          assert.deepEqual(numbers(play.turn(turnMs)), numbers(plain.turn(turnMs)), `day ${String(index)}`)
          for (const hour of hours.sort((a, b) => a - b)) {
            const momentMs = midnightMs + hour * hourMs + 1
            if (momentMs > turnMs)
              add({ momentMs, isCopy: false, state: isChanging ? 'changing' : 'complete' }, momentMs)
          }
        })
      },
    ),
    { numRuns: 60 },
  )
})

test('a point that is marked already goes when its mark is due', () => {
  const retention: Retention = {
    counts: { ...noCounts, last: 1 },
    minimumAgeMs: 0,
    timeZone: 'UTC',
    undoWindowMs: 7 * dayMs,
  }
  const play = new RetentionPlay(retention, { points: new Map() }, startMs)
  const point = (sequence: number): RetainedPoint => {
    return {
      id: String(sequence),
      sequence,
      momentMs: startMs - 10 * dayMs + sequence,
      isCopy: false,
      state: 'complete',
    }
  }
  play.addMarked(point(1), startMs + dayMs)
  play.add(point(2))
  assert.deepEqual(play.turn(startMs), [])
  assert.deepEqual(
    play.turn(Math.ceil((startMs + dayMs) / dayMs) * dayMs).map(({ sequence }) => sequence),
    [1],
  )
})
