import * as v from 'valibot'
import { StrataError } from '../errors.ts'
import { documentHead } from '../format/document.ts'
import { list, text, type Fitting } from '../format/schema.ts'
import { policyFeatureCharsMax, policyFeaturesMax, policyProblemsMax } from '../limits.ts'
import { budgetMembers, budgetSchema, understoodBudget, type Budget } from './budget-member.ts'
import { copiesSchema, copyMembers, copyRelations, understoodCopies, type Copy } from './copies.ts'
import { hoursRelations, hoursSchema, understoodHours, windowMembers } from './hours-members.ts'
import type { Hours } from './hours.ts'
import {
  chainMembers,
  chainSchema,
  immutabilityMembers,
  immutabilitySchema,
  keepingRelations,
  lockRelations,
  retentionMembers,
  retentionSchema,
  storageClassMembers,
  storageClassSchema,
  understoodChain,
  understoodRetention,
  understoodVerification,
  verificationMembers,
  verificationSchema,
  type ChainRules,
  type Immutability,
  type StorageClassRules,
  type VerificationRules,
} from './keeping-members.ts'
import { checked, section } from './member-checks.ts'
import type { Retention } from './retention-rules.ts'
import {
  checkBandwidth,
  scheduleMembers,
  scheduleRelations,
  understoodBandwidth,
  understoodSchedule,
} from './schedule-members.ts'
import type { Schedule } from './schedule.ts'

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

const policyMembers = {
  ...policyHead,
  schedule: v.optional(section(scheduleMembers)),
  hours: v.optional(hoursSchema),
  bandwidthLimit: v.optional(checked(checkBandwidth)),
  retention: v.optional(retentionSchema),
  chain: v.optional(chainSchema),
  verification: v.optional(verificationSchema),
  immutability: v.optional(immutabilitySchema),
  storageClass: v.optional(storageClassSchema),
  copies: v.optional(copiesSchema),
  budget: v.optional(budgetSchema),
}

const policySchema = v.object(policyMembers)
/** A policy as it is written; further members are kept. */
export type PolicyDocument = Fitting<typeof policySchema>

/** A policy as it is understood: checked, and with its defaults. */
export interface Policy {
  readonly schedule: Schedule
  /** When runs may begin. */
  readonly hours: Hours
  /** To and from the store, each way; undefined: as fast as it goes. */
  readonly bytesPerSecondMax: number | undefined
  readonly retention: Retention
  readonly chain: ChainRules
  readonly verification: VerificationRules
  readonly immutability: Immutability | undefined
  readonly storageClass: StorageClassRules
  readonly copies: readonly Copy[]
  readonly budget: Budget | undefined
}

export interface ReadPolicy {
  readonly document: PolicyDocument
  readonly policy: Policy
  /** Places of members that this reader does not know and leaves out of account. */
  readonly ignored: readonly string[]
}

/** What a policy can require of its readers. */
const featuresUnderstood: ReadonlySet<string> = new Set([
  'schedule',
  'hours',
  'bandwidth-limit',
  'retention',
  'chain',
  'verification',
  'immutability',
  'storage-class',
  'copies',
  'budget',
])

/**
 * Errors: E_POLICY_NEWER, and E_POLICY_INVALID with all that is wrong.
 * @param ownUrl the store that it is for, where it is known: no copy may go there
 */
export function readPolicy(value: unknown, ownUrl?: string): ReadPolicy {
  refuseNewer(value)
  const result = v.safeParse(policySchema, value)
  const problems = [...(result.issues ?? []).map(problemOf), ...relations(value, ownUrl)]
  if (!result.success || problems.length > 0) throw invalid(problems)
  const document = value as PolicyDocument
  const policy = understood(document)
  const locks = lockRelations(policy.immutability, policy.retention, policy.schedule)
  if (locks.length > 0) throw invalid(locks)
  return { document, policy, ignored: ignoredMembers(document) }
}

/** What is wrong between members, whatever each is. */
function relations(value: unknown, ownUrl: string | undefined): string[] {
  return [
    ...scheduleRelations(value),
    ...hoursRelations(value),
    ...keepingRelations(value),
    ...copyRelations(value, ownUrl),
  ]
}

function understood(document: PolicyDocument): Policy {
  const schedule = understoodSchedule(document.schedule ?? {})
  const timeZone = schedule.kind === 'cron' ? schedule.timeZone : 'UTC'
  const retention = understoodRetention(document.retention, timeZone)
  return {
    schedule,
    hours: understoodHours(document.hours, timeZone),
    bytesPerSecondMax: understoodBandwidth(document.bandwidthLimit),
    retention,
    chain: understoodChain(document.chain),
    verification: understoodVerification(document.verification),
    immutability: document.immutability,
    storageClass: document.storageClass ?? [],
    copies: understoodCopies(document.copies, timeZone, retention),
    budget: understoodBudget(document.budget),
  }
}

function ignoredMembers(document: PolicyDocument): string[] {
  const {
    schedule,
    hours = [],
    retention,
    chain,
    verification,
    immutability,
    storageClass = [],
    copies = [],
    budget,
  } = document
  return [
    ...unknownMembers(document, policyMembers, ''),
    ...unknownMembers(schedule, scheduleMembers, 'schedule.'),
    ...hours.flatMap((window, index) => unknownMembers(window, windowMembers, `hours.${String(index)}.`)),
    ...unknownMembers(retention, retentionMembers, 'retention.'),
    ...unknownMembers(chain, chainMembers, 'chain.'),
    ...unknownMembers(verification, verificationMembers, 'verification.'),
    ...unknownMembers(immutability, immutabilityMembers, 'immutability.'),
    ...storageClass.flatMap((rule, index) =>
      unknownMembers(rule, storageClassMembers, `storageClass.${String(index)}.`),
    ),
    ...copies.flatMap((copy, index) => [
      ...unknownMembers(copy, copyMembers, `copies.${String(index)}.`),
      ...unknownMembers(copy.retention, retentionMembers, `copies.${String(index)}.retention.`),
    ]),
    ...unknownMembers(budget, budgetMembers, 'budget.'),
  ]
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

/** Our own messages begin with a small letter; the library's say what they expect. */
function problemOf(issue: v.BaseIssue<unknown>): string {
  const place = v.getDotPath(issue) ?? 'the policy'
  if (issue.received === 'undefined' && issue.expected?.startsWith('"') === true) return `${place} is missing; write it`
  if (/^(?:is|has|names|never|runs) /.test(issue.message)) return `${place} ${issue.message}`
  return `${place} is not ${issue.expected ?? issue.message}`
}

function unknownMembers(value: object | undefined, known: object, prefix: string): string[] {
  return Object.keys(value ?? {})
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => prefix + name)
}
