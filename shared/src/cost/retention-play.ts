import { retentionForeseenMs } from '../limits.ts'
import type { RunTimes } from '../policy/hours.ts'
import type { Retention } from '../policy/retention-rules.ts'
import { decideRetention, type Holds, type RetainedPoint } from '../policy/retention.ts'
import { Agenda } from './agenda.ts'

/**
 * What retention does to a set day by day, by the decision that prune makes. Two things that decisions guarantee keep it
 * quick, where points are many:
 *
 * - when all that goes is gone, the same is kept: so what is marked is not looked at again;
 * - a reason that has ended never comes back: so a point that only its age or its lock keeps goes when these end, and is not
 *   looked at until then.
 */
export class RetentionPlay<P extends RetainedPoint> {
  readonly #retention: Retention
  readonly #holds: Holds
  /** Points that a rule keeps, or that are new. */
  #candidates: P[] = []
  /** Points that go at a time that is known. */
  readonly #parked: Agenda<P>
  readonly #marked: Agenda<P>

  constructor(retention: Retention, holds: Holds, startMs: number) {
    this.#retention = retention
    this.#holds = holds
    this.#parked = new Agenda(startMs)
    this.#marked = new Agenda(startMs)
  }

  add(point: P): void {
    this.#candidates.push(point)
  }

  /** A point that is marked already, and when it is due. */
  addMarked(point: P, dueMs: number): void {
    this.#marked.add(dueMs, point)
  }

  /** One prune. Gives the points that are gone with it. */
  turn(nowMs: number): P[] {
    const gone = [...this.#marked.due(nowMs)]
    for (const point of this.#parked.due(nowMs)) this.#mark(point, nowMs)
    const kept: P[] = []
    for (const { point, keep, expiresAtMs } of this.#decide(nowMs)) {
      if (!keep) this.#mark(point, nowMs)
      else if (expiresAtMs === null) kept.push(point)
      else this.#parked.add(expiresAtMs, point)
    }
    this.#candidates = kept
    return gone
  }

  /** Without a run in sight no rule ends by itself: an end that is known is that of an age or a lock. */
  #decide(nowMs: number) {
    return decideRetention(this.#candidates, this.#holds, this.#retention, nowMs, noRunsFrom(nowMs))
  }

  #mark(point: P, nowMs: number): void {
    this.#marked.add(nowMs + this.#retention.undoWindowMs, point)
  }
}

function noRunsFrom(nowMs: number): RunTimes {
  const everyMs = 2 * retentionForeseenMs
  return { schedule: { kind: 'interval', everyMs, anchorMs: nowMs, jitterMs: 0, missed: 'run-once' } }
}
