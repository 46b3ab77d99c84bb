import * as v from 'valibot'
import { StrataError } from '../errors.ts'
import { documentHead } from '../format/document.ts'
import { list, optionalMembers, text, type Fitting } from '../format/schema.ts'
import { policyFeatureCharsMax, policyFeaturesMax, policyProblemsMax } from '../limits.ts'
import {
  checkAnchor,
  checkBandwidth,
  checkCron,
  checkEvery,
  checkJitter,
  checkTimeZone,
  scheduleRelations,
  understoodBandwidth,
  understoodSchedule,
} from './policy-members.ts'
import { missedRules, type Schedule } from './schedule.ts'

/**
 * A policy: what a tenant wants of its endpoints. docs/policies.md has the members.
 *
 * A reader may be older than who wrote the policy. Members that it does not know are left out of account, unless the
 * policy `requires` what they are about: then it is refused as a whole (E_POLICY_NEWER), and the reader keeps to the last
 * one that it understood. So `requires` is looked at before anything else, and the version never changes.
 */
const policyHead = {
  ...documentHead('policy', 1),
  requires: v.optional(list(text({ charsMin: 1, charsMax: policyFeatureCharsMax }), { max: policyFeaturesMax })),
}

/** What every version of this program can read; for the registry, which keeps the rest as it is. */
export const policyType = {
  title: 'policy',
  version: 1,
  schema: v.object(policyHead),
} as const

const scheduleMembers = {
  cron: v.optional(checked(checkCron)),
  timeZone: v.optional(checked(checkTimeZone)),
  every: v.optional(checked(checkEvery)),
  anchor: v.optional(checked(checkAnchor)),
  jitter: v.optional(checked(checkJitter)),
  missed: v.optional(v.picklist(missedRules, `is neither ${missedRules.join(' nor ')}; write one of them`)),
}

const policyMembers = {
  ...policyHead,
  schedule: v.optional(optionalMembers(scheduleMembers)),
  bandwidthLimit: v.optional(checked(checkBandwidth)),
}

const policySchema = v.object(policyMembers)
/** A policy as it is written; further members are kept. */
export type PolicyDocument = Fitting<typeof policySchema>

/** A policy as it is understood: checked, and with its defaults. */
export interface Policy {
  readonly schedule: Schedule
  /** To and from the store, each way; undefined: as fast as it goes. */
  readonly bytesPerSecondMax: number | undefined
}

export interface ReadPolicy {
  readonly document: PolicyDocument
  readonly policy: Policy
  /** Places of members that this reader does not know and leaves out of account. */
  readonly ignored: readonly string[]
}

/** What a policy can require of its readers. */
const featuresUnderstood: ReadonlySet<string> = new Set(['schedule', 'bandwidth-limit'])

/** Errors: E_POLICY_NEWER, and E_POLICY_INVALID with all that is wrong. */
export function readPolicy(value: unknown): ReadPolicy {
  refuseNewer(value)
  const result = v.safeParse(policySchema, value)
  const problems = [...(result.issues ?? []).map(problemOf), ...scheduleRelations(value)]
  if (!result.success || problems.length > 0) throw invalid(problems)
  const document = value as PolicyDocument
  return {
    document,
    policy: {
      schedule: understoodSchedule(document.schedule ?? {}),
      bytesPerSecondMax: understoodBandwidth(document.bandwidthLimit),
    },
    ignored: [
      ...unknownMembers(document, policyMembers, ''),
      ...unknownMembers(document.schedule, scheduleMembers, 'schedule.'),
    ],
  }
}

function refuseNewer(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const { version, requires } = value as { version?: unknown; requires?: unknown }
  if (typeof version === 'number' && version > policyType.version) {
    throw new StrataError('E_POLICY_NEWER', `the policy is of version ${String(version)}; this program reads version 1`)
  }
  const asked: unknown[] = Array.isArray(requires) ? requires : []
  const unknown = asked.filter((feature) => typeof feature === 'string' && !featuresUnderstood.has(feature))
  if (unknown.length === 0) return
  const names = unknown.slice(0, policyProblemsMax).map((name) => `'${String(name).slice(0, policyFeatureCharsMax)}'`)
  throw new StrataError('E_POLICY_NEWER', `the policy requires ${names.join(', ')}, which this program does not know`)
}

function invalid(problems: readonly string[]): StrataError {
  const shown = problems.slice(0, policyProblemsMax)
  return new StrataError('E_POLICY_INVALID', `the policy cannot be kept to: ${shown.join('. ')}`, {
    details: { problems: shown },
  })
}

/** A text that `problem` has nothing against. */
function checked(problem: (text: string) => string | undefined) {
  return v.pipe(
    v.string('is no text; write it in quotes'),
    v.rawCheck(({ dataset, addIssue }) => {
      const message = dataset.typed ? problem(dataset.value) : undefined
      if (message !== undefined) addIssue({ message })
    }),
  )
}

/** Our own messages begin with a small letter; the library's say what they expect. */
function problemOf(issue: v.BaseIssue<unknown>): string {
  const place = v.getDotPath(issue) ?? 'the policy'
  if (/^(?:is|has|names|never|runs) /.test(issue.message)) return `${place} ${issue.message}`
  return `${place} is not ${issue.expected ?? issue.message}`
}

function unknownMembers(value: object | undefined, known: object, prefix: string): string[] {
  return Object.keys(value ?? {})
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => prefix + name)
}
