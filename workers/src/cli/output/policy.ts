import type { ReadPolicy } from '@strata/shared/policy/policy.ts'
import { formatInstantIn } from './bytes.ts'
import { jsonDocument } from './json.ts'
import { understoodDocument, understoodFacts } from './policy-members.ts'
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
  /** Windows in which runs may begin; none: at any time. */
  readonly hours: readonly string[]
  /** The zone that local times below are in. */
  readonly timeZone: string
  /** By how much this endpoint is later than the schedule. */
  readonly delayMs: number
  readonly missed: string
  readonly runsMs: readonly number[]
}

/** @param understood what it means; undefined: this program is too old for it */
export function storedPolicyLines({ version, policy }: StoredPolicy, understood: ReadPolicy | undefined): string[] {
  const facts = understood === undefined ? [] : understoodFacts(understood.policy, understood.document)
  return [
    ...factLines([['policy', `version ${String(version)}`], ...facts]),
    '',
    'as it was written:',
    ...jsonDocument(policy).trimEnd().split('\n'),
  ]
}

export function storedPolicyDocument({ version, policy }: StoredPolicy, understood: ReadPolicy | undefined): object {
  const meaning = understood === undefined ? null : understoodDocument(understood.policy, understood.document)
  return { version, policy, understood: meaning }
}

export function explainedScheduleLines(explained: ExplainedSchedule): string[] {
  const { endpoint, version, schedule, hours, timeZone, delayMs, missed, runsMs } = explained
  const facts = factLines([
    ['endpoint', endpoint],
    ['policy', `version ${String(version)}`],
    ['schedule', schedule],
    ...(hours.length === 0 ? [] : [['hours', hours.join('; ')] as const]),
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
