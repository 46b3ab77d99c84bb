import { clockStepBackHeldMsMax, scheduleAttemptsMax, scheduleLateMsMax, scheduleRunsRememberedMax } from '../limits.ts'
import type { Id } from '../types.ts'
import { isAllowed, nextAllowed, type Hours } from './hours.ts'
import { lastRun, missedRuns, nextRun, type Schedule } from './schedule.ts'

/**
 * Whether an endpoint runs now. All it has is its own clock, which may jump by hours or years, both ways, and its notes
 * of what it has done; nobody else needs to be asked.
 *
 * - **A scheduled time is run once.** A run is *for* one scheduled time, the last one that has passed; notes of runs name
 *   it, so it is not run again when the clock shows it a second time. Times before it that were missed are made up for
 *   by that one run.
 * - **A clock that goes back** by up to `clockStepBackHeldMsMax` changes nothing else: what was run stays run, and the
 *   next run is for the next time that was not. After a longer step, notes of times that are further ahead than that
 *   are forgotten: either the clock was wrong for long, and waiting for it would leave the machine without backups, or it
 *   is wrong now. The last of them stay, for when it comes right again.
 * - **A clock that goes forward** looks like a machine that was off: one run makes up for what was missed, and it is for
 *   a time of that false future. When the clock comes back, nothing waits for that future: the notes of the present are
 *   still there, and times that passed meanwhile are made up for.
 * - **A run that never ended** (the machine or the process died) is begun again, `scheduleAttemptsMax` times in all.
 * - **Outside of its hours no run begins.** It waits for the next window, and is late only from there on. What waits for
 *   the same window is one run, and none of it was missed.
 *
 * The price: after a long step back there can be one run at once; and where a clock was far ahead for good, no run for
 * `clockStepBackHeldMsMax` and one interval.
 */
export interface RunLog {
  /** What was scheduled up to here is of no concern: the schedule was taken then, or the clock was set back to it. */
  readonly fromMs: number
  /** The last reading of the clock. */
  readonly seenMs: number
  /** The last runs, in the order in which they ran. */
  readonly runs: readonly RunNote[]
}

export interface RunNote {
  readonly scheduledMs: number
  readonly startedMs: number
  /** null: under way, or it died. */
  readonly finishedMs: number | null
  readonly attempts: number
}

export type Decision =
  | { readonly kind: 'wait'; readonly untilMs: number }
  | {
      readonly kind: 'run'
      readonly scheduledMs: number
      /** Times that passed before it without a run, and that it makes up for; of very many not all are counted. */
      readonly missed: number
    }

export interface DecisionInput {
  readonly schedule: Schedule
  /** When runs may begin; left out: at any time. */
  readonly hours?: Hours
  readonly endpoint: Id
  readonly log: RunLog
  readonly nowMs: number
}

/** Notes of an endpoint that begins to keep to a schedule. */
export function newRunLog(nowMs: number, runs: readonly RunNote[] = []): RunLog {
  return { fromMs: nowMs, seenMs: nowMs, runs }
}

/** What to do now, and the notes as they are after this look at the clock. Not to be asked while a run is under way. */
export function decide(input: DecisionInput): { readonly decision: Decision; readonly log: RunLog } {
  const { schedule, hours = [], endpoint, nowMs } = input
  const log = afterLook(input)
  const scheduledMs = owedAt({ ...input, log }, nowMs)
  if (scheduledMs === undefined) {
    const untilMs = nextAllowed(hours, nextNotDone(schedule, endpoint, log, nowMs))
    return { decision: { kind: 'wait', untilMs }, log }
  }
  if (!isAllowed(hours, nowMs)) return { decision: { kind: 'wait', untilMs: nextAllowed(hours, nowMs) }, log }
  const sinceMs = Math.max(log.fromMs, ...log.runs.map((run) => run.scheduledMs).filter((ms) => ms < scheduledMs))
  const allowedMs = nextAllowed(hours, scheduledMs)
  const passed = missedRuns(schedule, endpoint, sinceMs, scheduledMs - 1)
  const missed = passed.filter((ms) => nextAllowed(hours, ms) < allowedMs).length
  return { decision: { kind: 'run', scheduledMs, missed }, log }
}

/** Notes that a run for `scheduledMs` begins. */
export function runStarted(log: RunLog, scheduledMs: number, nowMs: number): RunLog {
  const before = log.runs.find((run) => run.scheduledMs === scheduledMs)
  const others = log.runs.filter((run) => run !== before)
  const note = { scheduledMs, startedMs: nowMs, finishedMs: null, attempts: (before?.attempts ?? 0) + 1 }
  return { ...log, runs: [...others, note].slice(-scheduleRunsRememberedMax) }
}

/** Notes that the run that began last has ended. */
export function runFinished(log: RunLog, nowMs: number): RunLog {
  const last = log.runs.at(-1)
  return last === undefined ? log : { ...log, runs: [...log.runs.slice(0, -1), { ...last, finishedMs: nowMs }] }
}

/** Whether something is to be run at `atMs`, or as soon as it may, by the notes as they are. */
export function isOwed(input: DecisionInput): boolean {
  return owedAt(input, input.nowMs) !== undefined
}

function afterLook(input: DecisionInput): RunLog {
  const { log, nowMs } = input
  const stepBackMs = log.seenMs - nowMs
  if (stepBackMs <= 0) return { ...log, seenMs: nowMs }
  if (stepBackMs > clockStepBackHeldMsMax) {
    return { fromMs: Math.min(log.fromMs, nowMs), seenMs: nowMs, runs: heldAfterLongStep(log, nowMs) }
  }
  return { ...log, fromMs: isMadeUpFor(input) ? nowMs : Math.min(log.fromMs, nowMs), seenMs: nowMs }
}

/** Whether the last run was for a later time than the one that has passed by a clock that was set back just now. */
function isMadeUpFor({ schedule, endpoint, log, nowMs }: DecisionInput): boolean {
  const last = log.runs.at(-1)
  return last !== undefined && last.finishedMs !== null && last.scheduledMs > lastRun(schedule, endpoint, nowMs)
}

/** The notes that hold after a long step back: of times that are not far away now, or were not far away just before. */
function heldAfterLongStep({ runs, seenMs }: RunLog, nowMs: number): RunNote[] {
  const isNear = (ms: number, toMs: number): boolean => Math.abs(ms - toMs) <= clockStepBackHeldMsMax
  const lastStartedMs = runs.at(-1)?.startedMs ?? seenMs
  return runs.filter(
    ({ scheduledMs, startedMs }) =>
      scheduledMs <= nowMs + clockStepBackHeldMsMax || isNear(startedMs, seenMs) || isNear(startedMs, lastStartedMs),
  )
}

/** The scheduled time that is to be run at `atMs`, if there is one. */
function owedAt({ schedule, hours = [], endpoint, log }: DecisionInput, atMs: number): number | undefined {
  const scheduledMs = lastRun(schedule, endpoint, atMs)
  const late = atMs - nextAllowed(hours, scheduledMs) > scheduleLateMsMax
  const owed = scheduledMs > log.fromMs && !isDone(log, scheduledMs) && !(late && schedule.missed === 'skip')
  return owed ? scheduledMs : undefined
}

function isDone({ runs }: RunLog, scheduledMs: number): boolean {
  const note = runs.find((run) => run.scheduledMs === scheduledMs)
  return note !== undefined && (note.finishedMs !== null || note.attempts >= scheduleAttemptsMax)
}

function nextNotDone(schedule: Schedule, endpoint: Id, log: RunLog, nowMs: number): number {
  let runMs = nextRun(schedule, endpoint, nowMs)
  while (isDone(log, runMs)) runMs = nextRun(schedule, endpoint, runMs)
  return runMs
}
