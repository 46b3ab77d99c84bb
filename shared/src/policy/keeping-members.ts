import * as v from 'valibot'
import {
  chainAgeMsDefault,
  chainAgeMsMax,
  chainAgeMsMin,
  chainDeadPercentDefault,
  chainPointsDefault,
  chainPointsMax,
  chainPointsMin,
  policyDaysMax,
  retentionAgeMsMax,
  retentionCountsMax,
  undoWindowMsDefault,
  undoWindowMsMax,
  undoWindowMsMin,
  verifyEveryDaysDefault,
  verifyEveryDaysMax,
} from '../limits.ts'
import { colderClasses } from '../format/storage-class.ts'
import { durationFrom } from './duration.ts'
import { checkDuration, checked, listOf, member, oneOf, section, wholeNumberFrom } from './member-checks.ts'
import { keepsAnything, longestKeptMs, noCounts, retentionDefault, type Retention } from './retention-rules.ts'
import type { Schedule } from './schedule.ts'
import { checkTimeZone, scheduledGapMs } from './schedule-members.ts'
import { dayMs } from './wall-time.ts'

/** What the members may be that say for how long, how safely and where points are kept, and what they mean. */

export const retentionMembers = {
  last: v.optional(wholeNumberFrom(0, retentionCountsMax.last)),
  hourly: v.optional(wholeNumberFrom(0, retentionCountsMax.hourly)),
  daily: v.optional(wholeNumberFrom(0, retentionCountsMax.daily)),
  weekly: v.optional(wholeNumberFrom(0, retentionCountsMax.weekly)),
  monthly: v.optional(wholeNumberFrom(0, retentionCountsMax.monthly)),
  yearly: v.optional(wholeNumberFrom(0, retentionCountsMax.yearly)),
  minimumAge: v.optional(checked((text) => checkDuration(text, 0, retentionAgeMsMax, '7d'))),
  timeZone: v.optional(checked(checkTimeZone)),
  undoWindow: v.optional(checked((text) => checkDuration(text, undoWindowMsMin, undoWindowMsMax, '7d'))),
}
export const retentionSchema = section(retentionMembers)
export type CheckedRetention = v.InferOutput<typeof retentionSchema>

export const chainMembers = {
  maxPoints: v.optional(wholeNumberFrom(chainPointsMin, chainPointsMax)),
  maxAge: v.optional(checked((text) => checkDuration(text, chainAgeMsMin, chainAgeMsMax, '180d'))),
  deadShare: v.optional(wholeNumberFrom(1, 100)),
}
export const chainSchema = section(chainMembers)

/** A synthetic full begins a new chain when the one before has passed one of these. */
export interface ChainRules {
  readonly pointsMax: number
  readonly ageMsMax: number
  /** Of what the chain stores, the part that no kept point needs. */
  readonly deadPercentMax: number
}

export const verificationMembers = { everyDays: v.optional(wholeNumberFrom(1, verifyEveryDaysMax)) }
export const verificationSchema = section(verificationMembers)

/** Each object is read and checked again within this time. */
export interface VerificationRules {
  readonly everyDays: number
}

export const lockModes = ['governance', 'compliance'] as const

export const immutabilityMembers = { mode: oneOf(lockModes), days: wholeNumberFrom(1, policyDaysMax) }
export const immutabilitySchema = section(immutabilityMembers)
/** For how long nobody can delete a point; undefined: there are no locks. */
export type Immutability = v.InferOutput<typeof immutabilitySchema>

export const storageClassMembers = { afterDays: wholeNumberFrom(0, policyDaysMax), class: oneOf(colderClasses) }
export const storageClassSchema = listOf(section(storageClassMembers), colderClasses.length)
/** From which age on objects are in which class, youngest first. */
export type StorageClassRules = Readonly<v.InferOutput<typeof storageClassSchema>>

/** What is wrong between these members, whatever each is. */
export function keepingRelations(policy: unknown): string[] {
  return [...retentionRelations(member(policy, 'retention'), 'retention'), ...storageClassRelations(policy)]
}

/** @param place of the member, since copies have a retention of their own */
export function retentionRelations(retention: unknown, place: string): string[] {
  const result = v.safeParse(retentionSchema, retention)
  if (!result.success || keepsAnything(understoodRetention(result.output, 'UTC'))) return []
  return [
    `${place} keeps nothing but the newest point; write a number above 0 for one of last, hourly, daily, weekly, monthly, yearly, or a minimumAge`,
  ]
}

function storageClassRelations(policy: unknown): string[] {
  const rules = v.safeParse(storageClassSchema, member(policy, 'storageClass'))
  if (!rules.success) return []
  return rules.output.flatMap((rule, index, all) => {
    const before = all[index - 1]
    if (before === undefined) return []
    const place = `storageClass.${String(index)}`
    if (rule.afterDays <= before.afterDays)
      return [`${place}.afterDays is no later than the one before; write ages that grow`]
    const isColder = colderClasses.indexOf(rule.class) > colderClasses.indexOf(before.class)
    return isColder
      ? []
      : [`${place}.class is not colder than ${before.class}; write classes that grow colder with age`]
  })
}

/**
 * A lock that ends before retention lets a point go leaves the point without it for the rest of its time: whoever asked for
 * locks would not expect that.
 */
export function lockRelations(
  immutability: Immutability | undefined,
  retention: Retention,
  schedule: Schedule,
): string[] {
  if (immutability === undefined) return []
  const days = Math.ceil(longestKeptMs(retention, scheduledGapMs(schedule)) / dayMs)
  if (immutability.days >= days) return []
  return [
    `immutability.days is ${String(immutability.days)}, but retention keeps points for up to ${String(days)} days; write at least ${String(days)}, or a retention that keeps them for less`,
  ]
}

/** @param timeZone that of the schedule */
export function understoodRetention(retention: CheckedRetention | undefined, timeZone: string): Retention {
  if (retention === undefined) return retentionDefault(timeZone)
  const { minimumAge = '', undoWindow = '', ...given } = retention
  const { last = 0, hourly = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0 } = given
  return {
    counts: { ...noCounts, last, hourly, daily, weekly, monthly, yearly },
    minimumAgeMs: durationFrom(minimumAge) ?? 0,
    timeZone: given.timeZone ?? timeZone,
    undoWindowMs: durationFrom(undoWindow) ?? undoWindowMsDefault,
  }
}

export function understoodChain(chain: v.InferOutput<typeof chainSchema> = {}): ChainRules {
  return {
    pointsMax: chain.maxPoints ?? chainPointsDefault,
    ageMsMax: durationFrom(chain.maxAge ?? '') ?? chainAgeMsDefault,
    deadPercentMax: chain.deadShare ?? chainDeadPercentDefault,
  }
}

export function understoodVerification(verification: v.InferOutput<typeof verificationSchema> = {}): VerificationRules {
  return { everyDays: verification.everyDays ?? verifyEveryDaysDefault }
}
