import { formatInstantIn } from './bytes.ts'
import { jsonDocument } from './json.ts'
import { factLines, tableLines } from './table.ts'

/** A policy as it is in the registry. */
export interface StoredPolicy {
  readonly version: number
  /** As it was written, with members that this program may not know. */
  readonly policy: object
}

export interface ExplainedSchedule {
  readonly endpoint: string
  readonly version: number
  readonly schedule: string
  /** The zone that local times below are in. */
  readonly timeZone: string
  /** By how much this endpoint is later than the schedule. */
  readonly delayMs: number
  readonly missed: string
  readonly runsMs: readonly number[]
}

export function storedPolicyLines({ version, policy }: StoredPolicy): string[] {
  return [...factLines([['policy', `version ${String(version)}`]]), ...jsonDocument(policy).trimEnd().split('\n')]
}

export function explainedScheduleLines(explained: ExplainedSchedule): string[] {
  const { endpoint, version, schedule, timeZone, delayMs, missed, runsMs } = explained
  const facts = factLines([
    ['endpoint', endpoint],
    ['policy', `version ${String(version)}`],
    ['schedule', schedule],
    ['delay', delayText(delayMs)],
    ['missed', missed],
  ])
  const rows = runsMs.map((runMs) => [formatInstantIn(timeZone, runMs), formatInstantIn('UTC', runMs)])
  return [...facts, '', ...tableLines([{ title: `NEXT RUNS IN ${timeZone}` }, { title: 'IN UTC' }], rows)]
}

function delayText(ms: number): string {
  return ms === 0
    ? 'none'
    : `${String(Math.floor(ms / msPerMinute))} min ${String(Math.floor((ms % msPerMinute) / 1000))} s`
}

const msPerMinute = 60_000

/** The same for programs. */
export function explainedScheduleDocument(explained: ExplainedSchedule): object {
  const { runsMs, ...rest } = explained
  return { ...rest, runs: runsMs.map((runMs) => new Date(runMs).toISOString()) }
}
