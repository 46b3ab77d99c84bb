import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { clockStepBackHeldMsMax, scheduleAttemptsMax, scheduleLateMsMax } from '../limits.ts'
import type { Id } from '../types.ts'
import { parseCron } from './cron.ts'
import { decide, isOwed, newRunLog, runFinished, runStarted, type RunLog } from './decision.ts'
import { isAllowed, nextBegin, type Hours } from './hours.ts'
import { missedRuns, nextRun, type Schedule } from './schedule.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const yearMs = 365 * dayMs
const endpoint: Id = '0123456789abcdef'.repeat(2)
const startMs = Date.parse('2026-01-01T10:05:00Z')

function cron(text: string, timeZone = 'UTC', rules: Partial<Schedule> = {}): Schedule {
  const { times } = parseCron(text)
  assert.ok(times, text)
  return { kind: 'cron', times, timeZone, jitterMs: 0, missed: 'run-once', ...rules } as Schedule
}

interface Begun {
  readonly scheduledMs: number
  readonly missed: number
  /** By a clock that is right. */
  readonly trueMs: number
}

/** An endpoint with a clock that may be wrong, which is looked at now and then; each run takes some time. */
class Endpoint {
  readonly begun: Begun[] = []
  readonly #schedule: Schedule
  readonly #runTakesMs: number
  readonly #hours: Hours
  #trueMs = startMs
  /** How far the clock is ahead. */
  aheadMs = 0
  log: RunLog = newRunLog(startMs)

  constructor(schedule: Schedule, runTakesMs = 3 * minuteMs, hours: Hours = []) {
    this.#schedule = schedule
    this.#runTakesMs = runTakesMs
    this.#hours = hours
  }

  get trueMs(): number {
    return this.#trueMs
  }

  get nowMs(): number {
    return this.#trueMs + this.aheadMs
  }

  /** Time passes and nobody looks: the machine is off, or asleep. */
  off(ms: number): void {
    this.#trueMs += ms
  }

  /** Time passes, with a look whenever something is due, or after `stepMs`. */
  on(ms: number, stepMs: () => number = () => Infinity): void {
    const endMs = this.#trueMs + ms
    while (this.#trueMs < endMs) {
      const untilMs = this.#step()
      if (untilMs === undefined) continue
      this.#trueMs += Math.min(stepMs(), Math.max(1, untilMs - this.nowMs), Math.max(0, endMs - this.#trueMs))
    }
  }

  /** Runs what is due. Gives until when it waits then. */
  look(): number {
    for (;;) {
      const untilMs = this.#step()
      if (untilMs !== undefined) return untilMs
    }
  }

  /** Looks once. Runs what is due, or gives until when it waits. */
  #step(): number | undefined {
    const { decision, log } = this.decide()
    this.log = log
    if (decision.kind === 'wait') return decision.untilMs
    this.begin(decision.scheduledMs, decision.missed)
    this.#trueMs += this.#runTakesMs
    this.log = runFinished(this.log, this.nowMs)
    return undefined
  }

  decide(): ReturnType<typeof decide> {
    return decide({ schedule: this.#schedule, hours: this.#hours, endpoint, log: this.log, nowMs: this.nowMs })
  }

  begin(scheduledMs: number, missed = 0): void {
    this.log = runStarted(this.log, scheduledMs, this.nowMs)
    this.begun.push({ scheduledMs, missed, trueMs: this.#trueMs })
  }

  get scheduled(): number[] {
    return this.begun.map(({ scheduledMs }) => scheduledMs)
  }
}

function assertNoneTwice(endpoint: Endpoint): void {
  const { scheduled } = endpoint
  assert.equal(new Set(scheduled).size, scheduled.length, 'a scheduled time was run twice')
}

const schedules = {
  hourly: cron('30 * * * *', 'Europe/Berlin', { jitterMs: 5 * minuteMs }),
  daily: cron('30 2 * * *', 'America/New_York', { jitterMs: 30 * minuteMs }),
  'twice a day, half an hour apart': cron('0,30 2 * * *', 'Australia/Lord_Howe'),
  interval: { kind: 'interval', everyMs: hourMs, anchorMs: 1234, jitterMs: 0, missed: 'run-once' },
} satisfies Record<string, Schedule>

for (const [name, schedule] of Object.entries(schedules)) {
  test(`${name}: in a year each scheduled time is run exactly once, when its time has come`, () => {
    const machine = new Endpoint(schedule)
    let steps = 0
    machine.on(yearMs, () => ((steps += 1) % 7) * 9 * minuteMs + 1)
    assert.deepEqual(
      machine.scheduled,
      missedRuns(schedule, endpoint, startMs, machine.trueMs).concat(more(machine, schedule)),
    )
    for (const { scheduledMs, trueMs, missed } of machine.begun) {
      assert.ok(trueMs >= scheduledMs && trueMs - scheduledMs < 5 * minuteMs)
      assert.equal(missed, 0)
    }
  })
}

/** What `missedRuns`, which gives the first hundred, leaves out. */
function more(machine: Endpoint, schedule: Schedule): number[] {
  const rest: number[] = []
  let runs = missedRuns(schedule, endpoint, startMs, machine.trueMs)
  while (runs.length === 100) {
    runs = missedRuns(schedule, endpoint, runs.at(-1) ?? 0, machine.trueMs)
    rest.push(...runs)
  }
  return rest
}

for (const [name, schedule] of Object.entries(schedules)) {
  test(`${name}: also in a year in which the clock is wrong for ten minutes every four days`, () => {
    const machine = new Endpoint(schedule)
    const steps = [3 * hourMs, -3 * hourMs, yearMs, -yearMs, 40 * yearMs, -20 * yearMs, 20 * hourMs, -20 * hourMs]
    const wrong: number[] = []
    for (let moment = 0; machine.trueMs < startMs + yearMs; moment += 1) {
      machine.on(97 * hourMs)
      wrong.push(machine.trueMs)
      machine.aheadMs = steps[moment % steps.length] ?? 0
      machine.on(10 * minuteMs)
      machine.aheadMs = 0
    }
    assertNoneTwice(machine)
    const due = missedRuns(schedule, endpoint, startMs, machine.trueMs).concat(more(machine, schedule))
    const lost = due.filter((ms) => !machine.scheduled.includes(ms))
    // Made up for by a run for a time that the wrong clock showed, while it was wrong.
    for (const ms of lost) assert.ok(wrong.some((fromMs) => ms >= fromMs && ms - fromMs < 30 * minuteMs))
    assert.ok(lost.length <= wrong.length / 4, `${String(lost.length)} of ${String(due.length)}`)
  })
}

for (const [name, schedule] of Object.entries(schedules)) {
  test(`${name}: a clock that is wrong for moments, by hours or years, costs no run and makes none twice`, () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            rightMs: fc.integer({ min: minuteMs, max: 3 * dayMs }),
            wrongMs: fc.integer({ min: 0, max: 20 * minuteMs }),
            aheadMs: fc.oneof(
              fc.integer({ min: -25 * hourMs, max: 25 * hourMs }),
              fc.integer({ min: -20 * yearMs, max: 50 * yearMs }),
            ),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        (moments) => {
          const machine = new Endpoint(schedule)
          for (const { rightMs, wrongMs, aheadMs } of moments) {
            machine.on(rightMs)
            machine.aheadMs = aheadMs
            machine.look()
            machine.on(wrongMs)
            machine.aheadMs = 0
            machine.look()
          }
          machine.on(2 * dayMs)
          assertNoneTwice(machine)
          for (const due of missedRuns(schedule, endpoint, startMs, machine.trueMs)) {
            // For itself, or made up for by another that was run while the clock was wrong, or right after that.
            const near = machine.begun.some(({ trueMs }) => Math.abs(trueMs - due) <= hourMs)
            assert.ok(near || machine.scheduled.includes(due), new Date(due).toISOString())
          }
        },
      ),
      { numRuns: 50 },
    )
  })

  test(`${name}: a clock that is set back, far or not, for good, stops the backups for a day or so at most`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 700 }),
        fc.oneof(fc.integer({ min: 1, max: 25 * hourMs }), fc.integer({ min: 1, max: 30 * yearMs })),
        (hoursBefore, backMs) => {
          const machine = new Endpoint(schedule)
          machine.on(hoursBefore * hourMs)
          const before = machine.begun.length
          machine.aheadMs = -backMs
          const resetMs = machine.trueMs
          machine.on(clockStepBackHeldMsMax + 2 * dayMs)
          const next = machine.begun[before]
          assert.ok(next, 'something was run')
          assert.ok(next.trueMs - resetMs <= clockStepBackHeldMsMax + dayMs + hourMs)
          if (backMs <= clockStepBackHeldMsMax) assertNoneTwice(machine)
        },
      ),
      { numRuns: 30 },
    )
  })
}

const daily = cron('0 2 * * *')
const hourly = cron('0 * * * *')
const at = (iso: string): number => Date.parse(`${iso}:00Z`)

/** An hourly endpoint that has just run for 10:00 on the second day. */
function hourlyEndpoint(): Endpoint {
  const machine = new Endpoint(hourly)
  machine.on(dayMs)
  assert.equal(machine.scheduled.at(-1), at('2026-01-02T10:00'))
  return machine
}

test('a clock that goes back by hours: what was run is not run again, and then it goes on', () => {
  const machine = hourlyEndpoint()
  machine.aheadMs = -3 * hourMs
  machine.on(4 * hourMs)
  assert.deepEqual(machine.scheduled.slice(-2), [at('2026-01-02T10:00'), at('2026-01-02T11:00')])
})

test('a clock that is in another decade after a restart, and right again later', () => {
  const machine = hourlyEndpoint()
  machine.aheadMs = at('2001-01-01T00:10') - machine.trueMs
  machine.look()
  machine.on(10 * minuteMs)
  assert.equal(machine.scheduled.at(-1), at('2026-01-02T10:00'), 'no run only because the clock is wrong')
  machine.on(hourMs)
  assert.equal(machine.scheduled.at(-1), at('2001-01-01T01:00'), 'while it is wrong it is kept to all the same')
  machine.aheadMs = 0
  machine.look()
  assert.equal(machine.scheduled.at(-1), at('2026-01-02T11:00'), 'and then what passed meanwhile is made up for')
  machine.aheadMs = at('2001-06-01T00:10') - machine.trueMs
  machine.look()
  machine.aheadMs = 0
  assert.equal(machine.look(), at('2026-01-02T12:00'))
  assertNoneTwice(machine)
})

test('a clock that was years ahead for a moment is not waited for', () => {
  const machine = hourlyEndpoint()
  machine.aheadMs = 10 * yearMs
  machine.look()
  machine.aheadMs = 0
  assert.equal(machine.look(), at('2026-01-02T11:00'))
  machine.aheadMs = -2 * hourMs
  assert.equal(machine.look(), at('2026-01-02T11:00'), 'also when it comes back to an earlier time')
  assertNoneTwice(machine)
})

test('after a time off one run makes up for all, for the last of them', () => {
  const machine = hourlyEndpoint()
  machine.off(20 * hourMs + 10 * minuteMs)
  machine.look()
  assert.deepEqual(machine.begun.at(-1), {
    scheduledMs: at('2026-01-03T06:00'),
    missed: 19,
    trueMs: at('2026-01-03T06:15'),
  })
  assert.equal(machine.look(), at('2026-01-03T07:00'))
  // A clock that is corrected by some minutes does not make the run before it due.
  machine.aheadMs = -30 * minuteMs
  assert.equal(machine.look(), at('2026-01-03T07:00'))
})

test("missed: 'skip' leaves out what was missed, and runs what is only some minutes late", () => {
  const machine = new Endpoint(cron('0 * * * *', 'UTC', { missed: 'skip' }))
  machine.off(5 * hourMs)
  machine.off(scheduleLateMsMax)
  machine.look()
  assert.deepEqual(machine.scheduled, [])
  machine.off(hourMs - 5 * minuteMs)
  machine.look()
  assert.deepEqual(machine.scheduled, [at('2026-01-01T16:00')])
})

const atNight: Hours = [
  { weekdays: [1, 2, 3, 4, 5], fromMs: 20 * hourMs, toMs: 30 * hourMs, timeZone: 'Europe/Berlin' },
  { weekdays: [0, 6], fromMs: 0, toMs: dayMs, timeZone: 'Europe/Berlin' },
]

for (const [name, schedule] of Object.entries(schedules)) {
  test(`${name}, with hours: in a year each run begins when it is scheduled, or else with the next window`, () => {
    const machine = new Endpoint(schedule, 0, atNight)
    machine.on(yearMs)
    const begins = machine.begun.map(({ trueMs }) => trueMs)
    const expected = []
    // What was scheduled before is not owed.
    let ms = nextRun(schedule, endpoint, startMs) - 1
    while ((ms = nextBegin({ schedule, hours: atNight }, endpoint, ms)) < machine.trueMs) expected.push(ms)
    assert.deepEqual(begins, expected)
    assert.ok(begins.every((beginMs) => isAllowed(atNight, beginMs)))
    assert.ok(machine.begun.every(({ missed }) => missed === 0))
    assertNoneTwice(machine)
  })
}

test('what waits for its hours was not missed; a machine that is off when they begin has missed it', () => {
  const noon = cron('0 12 * * *', 'Europe/Berlin', { missed: 'skip' })
  const machine = new Endpoint(noon, 3 * minuteMs, atNight)
  // Thursday, until the window opens.
  machine.on(hourMs)
  assert.equal(new Date(machine.look()).toISOString(), '2026-01-01T19:00:00.000Z')
  machine.on(12 * hourMs)
  assert.deepEqual(
    machine.begun.map(({ trueMs }) => new Date(trueMs).toISOString()),
    ['2026-01-01T19:00:00.000Z'],
  )
  machine.off(22 * hourMs)
  machine.look()
  assert.equal(machine.begun.length, 1)
})

test('a run that died outside of its hours is begun again within them', () => {
  const machine = new Endpoint(schedules.hourly, 3 * minuteMs, atNight)
  machine.off(dayMs - 6 * hourMs)
  const { decision, log } = machine.decide()
  assert.equal(decision.kind, 'run')
  machine.log = log
  machine.begin(decision.scheduledMs)
  machine.off(2 * hourMs)
  assert.equal(new Date(machine.look()).toISOString(), '2026-01-02T19:00:00.000Z')
})

test('a time that passes while a run is under way is run after it', () => {
  const machine = new Endpoint(hourly, 100 * minuteMs)
  machine.on(4 * hourMs)
  assert.deepEqual(machine.scheduled.slice(0, 2), [at('2026-01-01T11:00'), at('2026-01-01T12:00')])
  assert.equal(machine.begun[1]?.trueMs, at('2026-01-01T12:40'))
})

test('nothing is run for times before the schedule was taken', () => {
  const machine = new Endpoint(daily)
  assert.equal(machine.look(), at('2026-01-02T02:00'))
  assert.deepEqual(machine.scheduled, [])
})

test('a run that died is begun again, a few times, and then at its next time', () => {
  const machine = new Endpoint(hourly)
  machine.off(hourMs)
  for (let attempt = 1; attempt <= scheduleAttemptsMax; attempt += 1) {
    const { decision } = machine.decide()
    assert.deepEqual(decision, { kind: 'run', scheduledMs: at('2026-01-01T11:00'), missed: 0 })
    machine.begin(at('2026-01-01T11:00'))
  }
  assert.deepEqual(machine.decide().decision, { kind: 'wait', untilMs: at('2026-01-01T12:00') })
})

test('a run that died is still owed when the clock is set back before its time', () => {
  const machine = new Endpoint(hourly)
  machine.off(hourMs)
  machine.begin(at('2026-01-01T11:00'))
  machine.aheadMs = -30 * minuteMs
  assert.equal(machine.look(), at('2026-01-01T11:00'))
  machine.on(30 * minuteMs)
  assert.deepEqual(machine.scheduled, [at('2026-01-01T11:00'), at('2026-01-01T11:00')])
})

test('whether something is owed', () => {
  const machine = new Endpoint(daily)
  const owed = (): boolean => isOwed({ schedule: daily, endpoint, log: machine.log, nowMs: machine.nowMs })
  assert.equal(owed(), false)
  machine.off(dayMs)
  assert.equal(owed(), true)
  machine.look()
  assert.equal(owed(), false)
})

test('whatever the notes say: a decision comes, it is for now or later, and a wait ends at a scheduled time', () => {
  const time = fc.integer({ min: 0, max: 200 * yearMs })
  const note = fc.record({
    scheduledMs: time,
    startedMs: time,
    finishedMs: fc.option(time),
    attempts: fc.integer({ min: 1, max: 3 }),
  })
  const log = fc.record({ fromMs: time, seenMs: time, runs: fc.array(note, { maxLength: 20 }) })
  fc.assert(
    fc.property(log, time, fc.constantFrom(...Object.values(schedules)), (notes, nowMs, schedule) => {
      const { decision, log: after } = decide({ schedule, endpoint, log: notes, nowMs })
      assert.equal(after.seenMs, nowMs)
      assert.ok(after.fromMs <= nowMs || notes.fromMs > notes.seenMs)
      if (decision.kind === 'run') assert.ok(decision.scheduledMs <= nowMs)
      else assert.equal(nextRun(schedule, endpoint, decision.untilMs - 1), decision.untilMs)
    }),
    { numRuns: 300 },
  )
})
