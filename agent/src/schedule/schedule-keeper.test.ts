import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Clock } from '@strata/shared/clock.ts'
import { StrataError, type ErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { scheduleSleepMsMax } from '@strata/shared/limits.ts'
import { ScheduleKeeper, type OfferedPolicy } from './schedule-keeper.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const endpoint = '00112233445566778899aabbccddeeff'
const policyId = 'a'.repeat(32)
const start = Date.parse('2026-01-01T10:05:00Z')

/** Time that passes only when somebody sleeps; and what happens at some times of it. */
class SimulatedClock implements Clock {
  readonly sleeps: number[] = []
  readonly #events: { readonly atMs: number; readonly event: () => void }[] = []
  #nowMs = start

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms)
    this.pass(ms)
    await Promise.resolve()
    signal?.throwIfAborted()
  }

  /** Nobody looks meanwhile: a run takes this long, or the machine sleeps. */
  pass(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#events.findIndex(({ atMs }) => atMs <= endMs)
      const [due] = next < 0 ? [] : this.#events.splice(next, 1)
      if (due === undefined) break
      this.#nowMs = due.atMs
      due.event()
    }
    // Unless one of them let more time pass.
    if (ms < 0 || endMs > this.#nowMs) this.#nowMs = endMs
  }

  at(iso: string, event: () => void): void {
    this.#events.push({ atMs: Date.parse(iso), event })
  }
}

class Machine {
  readonly clock = new SimulatedClock()
  readonly warnings: Warning[] = []
  readonly state: string
  keeper: ScheduleKeeper

  constructor(t: TestContext) {
    this.state = mkdtempSync(join(tmpdir(), 'strata-schedule-'))
    t.after(() => {
      rmSync(this.state, { recursive: true })
    })
    this.keeper = this.#start()
  }

  get file(): string {
    return join(this.state, 'schedule', 'state.json')
  }

  #start(): ScheduleKeeper {
    return new ScheduleKeeper({
      stateDirectory: this.state,
      endpoint,
      clock: this.clock,
      warn: (warning) => this.warnings.push(warning),
    })
  }

  restart(): void {
    this.keeper = this.#start()
  }

  get codes(): string[] {
    return this.warnings.map(({ code }) => code)
  }

  /** The scheduled times that are run until `iso`; each run takes `runMs`. */
  async runsUntil(iso: string, runMs = minuteMs): Promise<string[]> {
    const end = new AbortController()
    this.clock.at(iso, () => {
      end.abort()
    })
    const runs = []
    for await (const { scheduledMs } of this.keeper.runs(end.signal)) {
      runs.push(new Date(scheduledMs).toISOString().slice(5, 16))
      this.clock.pass(runMs)
    }
    return runs
  }
}

function offer(schedule: object, version = 1, more: object = {}): OfferedPolicy {
  return { id: policyId, version, document: { strata: 'policy', version: 1, schedule, ...more } }
}

const hourly = { cron: '0 * * * *' }
const withCode = (code: ErrorCode) => (error: unknown) => error instanceof StrataError && error.code === code

test('without a policy nothing is run, and that is said', async (t) => {
  const machine = new Machine(t)
  assert.deepEqual(await machine.runsUntil('2026-01-03T00:00Z'), [])
  assert.deepEqual(machine.codes, ['W_POLICY_NONE'])
  assert.equal(machine.keeper.policy, undefined)
})

test('a policy that comes while nobody runs anything takes hold within a minute', async (t) => {
  const machine = new Machine(t)
  machine.clock.at('2026-01-01T11:59:30Z', () => {
    assert.equal(machine.keeper.take(offer(hourly)), true)
  })
  assert.deepEqual(await machine.runsUntil('2026-01-01T13:30Z'), ['01-01T12:00', '01-01T13:00'])
})

test('the last policy is kept to after restarts, with nobody to ask', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly, 3, { bandwidthLimit: '10M' }))
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:30Z'), ['01-01T11:00', '01-01T12:00'])
  machine.restart()
  assert.equal(machine.keeper.policy?.version, 3)
  assert.equal(machine.keeper.policy.policy.bytesPerSecondMax, 10 * 1024 ** 2)
  assert.deepEqual(await machine.runsUntil('2026-01-01T13:30Z'), ['01-01T13:00'])
  assert.deepEqual(machine.codes, [])
})

test('what was missed while the machine was off is made up for once', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  machine.clock.pass(10 * hourMs)
  machine.restart()
  assert.deepEqual(await machine.runsUntil('2026-01-01T21:30Z'), ['01-01T20:00', '01-01T21:00'])
})

test('outside of the hours of the policy nothing begins, also after a restart', async (t) => {
  const machine = new Machine(t)
  const hours = [{ days: 'thu-fri', from: '20:30', to: '22:30' }]
  machine.keeper.take(offer(hourly, 1, { hours }))
  assert.deepEqual(await machine.runsUntil('2026-01-01T20:00Z'), [])
  machine.restart()
  assert.deepEqual(await machine.runsUntil('2026-01-02T12:00Z'), ['01-01T20:00', '01-01T21:00', '01-01T22:00'])
  machine.keeper.take(offer(hourly, 2))
  assert.deepEqual(await machine.runsUntil('2026-01-02T13:30Z'), ['01-02T12:00', '01-02T13:00'])
})

test('a machine that slept wakes to the right decision', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  machine.clock.at('2026-01-01T10:30Z', () => {
    machine.clock.pass(5 * hourMs)
  })
  assert.deepEqual(await machine.runsUntil('2026-01-01T16:10Z'), ['01-01T15:00', '01-01T16:00'])
  assert.ok(Math.max(...machine.clock.sleeps) <= scheduleSleepMsMax)
})

test('a run that was left in the middle is begun again after a restart', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  for await (const run of machine.keeper.runs(new AbortController().signal)) {
    assert.equal(run.scheduledMs, Date.parse('2026-01-01T11:00Z'))
    break
  }
  machine.restart()
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:30Z'), ['01-01T11:00', '01-01T12:00'])
})

test('a run whose note was written and that ended is not run again, whatever the clock does', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  assert.deepEqual(await machine.runsUntil('2026-01-01T11:30Z'), ['01-01T11:00'])
  machine.clock.pass(-hourMs)
  machine.restart()
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:10Z'), ['01-01T12:00'])
})

test('a new schedule counts from when it is taken; what the old one owed is made up for', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  assert.deepEqual(await machine.runsUntil('2026-01-01T11:30Z'), ['01-01T11:00'])
  assert.equal(machine.keeper.take(offer({ cron: '20 * * * *' }, 2)), true)
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:30Z'), ['01-01T12:20'], 'not 11:20')
  machine.clock.pass(3 * hourMs)
  machine.keeper.take(offer({ cron: '40 * * * *' }, 3))
  assert.deepEqual(await machine.runsUntil('2026-01-01T15:50Z'), ['01-01T14:40', '01-01T15:40'])
})

test('a schedule that changes while a run is under way causes no other', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  machine.clock.at('2026-01-01T11:30Z', () => machine.keeper.take(offer({ cron: '10 * * * *' }, 2)))
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:15Z', 40 * minuteMs), ['01-01T11:00', '01-01T12:10'])
})

test('a new version with the same schedule misses nothing', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  machine.clock.pass(2 * hourMs)
  machine.keeper.take(offer(hourly, 2, { bandwidthLimit: '1M' }))
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:30Z'), ['01-01T12:00'])
})

test('a policy that is kept to already, or older, changes nothing; that of another document does', (t) => {
  const machine = new Machine(t)
  assert.equal(machine.keeper.take(offer(hourly, 5)), true)
  assert.equal(machine.keeper.take(offer(hourly, 5)), false)
  assert.equal(machine.keeper.take(offer({ every: '4h' }, 4)), false)
  assert.equal(machine.keeper.take({ ...offer({ every: '4h' }, 1), id: 'b'.repeat(32) }), true)
  assert.equal(machine.keeper.policy?.version, 1)
})

test('a policy that is not understood is refused, and the last one kept to', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  assert.throws(
    () => machine.keeper.take(offer({ onEvent: 'logon' }, 2, { requires: ['on-event'] })),
    withCode('E_POLICY_NEWER'),
  )
  assert.throws(() => machine.keeper.take(offer({ cron: 'never' }, 3)), withCode('E_POLICY_INVALID'))
  machine.restart()
  assert.equal(machine.keeper.policy?.version, 1)
  assert.deepEqual(await machine.runsUntil('2026-01-01T11:30Z'), ['01-01T11:00'])
})

test('a state directory that cannot be written to is warned of, and everything is run all the same', async (t) => {
  const machine = new Machine(t)
  // A file in the place of the directory: no user can write into that, not even root.
  writeFileSync(join(machine.state, 'schedule'), '')
  machine.restart()
  machine.warnings.length = 0
  assert.equal(machine.keeper.take(offer(hourly)), true)
  assert.deepEqual(await machine.runsUntil('2026-01-01T12:30Z'), ['01-01T11:00', '01-01T12:00'])
  assert.deepEqual([...new Set(machine.codes)], ['W_STATE_UNWRITABLE'])
  assert.match(machine.warnings[0]?.message ?? '', /^E_STATE_UNWRITABLE: /)
})

test('notes that are damaged are warned of; the policy has to come again', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  const whole = readFileSync(machine.file, 'utf8')
  const newer = whole.replace('"version":1,"policy"', '"version":2,"policy"')
  assert.notEqual(newer, whole)
  const damaged = ['', whole.slice(0, -7), newer, whole.replace('0 * * * *', '0 * * *'), '[]', 'x'.repeat(600_000)]
  for (const text of damaged) {
    machine.warnings.length = 0
    writeFileSync(machine.file, text)
    machine.restart()
    assert.deepEqual(machine.codes, ['W_SCHEDULE_LOST'])
    assert.equal(machine.keeper.policy, undefined)
  }
  machine.keeper.take(offer(hourly))
  assert.deepEqual(await machine.runsUntil('2026-01-01T11:30Z'), ['01-01T11:00'])
  assert.equal(readFileSync(machine.file, 'utf8').includes('"policy"'), true)
})

test('what a process left that died while it wrote is in nobody’s way', async (t) => {
  const machine = new Machine(t)
  mkdirSync(join(machine.state, 'schedule'))
  writeFileSync(`${machine.file}.new`, 'half a fi')
  machine.restart()
  machine.keeper.take(offer(hourly))
  assert.equal(existsSync(`${machine.file}.new`), false)
  machine.restart()
  assert.equal(machine.keeper.policy?.version, 1)
  assert.deepEqual(await machine.runsUntil('2026-01-01T11:30Z'), ['01-01T11:00'])
  assert.deepEqual(machine.codes, [])
})

test('a clock that shows nonsense stops nothing', async (t) => {
  const machine = new Machine(t)
  machine.keeper.take(offer(hourly))
  for (const wrong of [-start - hourMs, 8e15]) {
    machine.clock.pass(wrong)
    const run = await machine.runsUntil(new Date(Math.min(machine.clock.nowMs() + 5 * minuteMs, 8.6e15)).toISOString())
    assert.ok(run.length <= 1)
    machine.clock.pass(-wrong)
  }
  const runs = await machine.runsUntil('2026-01-01T12:30Z')
  assert.deepEqual(runs.slice(-2), ['01-01T11:00', '01-01T12:00'])
})
