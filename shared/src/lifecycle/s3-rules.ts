import { isDeepStrictEqual } from 'node:util'
import type { LifecycleRule as SdkRule, TransitionStorageClass } from '@aws-sdk/client-s3'
import { retiredTagKey, retiredTagValue } from '../repository/retention/retired.ts'
import type { ColderClass } from '../format/storage-class.ts'
import { placeHash, type LifecycleRule } from './rules.ts'

/** Rules as S3 has them: what ours look like, and what a rule says, in whichever of its forms. */
export type S3Rule = Omit<SdkRule, 'Prefix'> & {
  /** Deprecated for long, and still in many buckets. */
  Prefix?: string | undefined
}

export const s3Classes: Readonly<Record<ColderClass, TransitionStorageClass>> = {
  infrequent: 'STANDARD_IA',
  'archive-instant': 'GLACIER_IR',
  archive: 'GLACIER',
  'deep-archive': 'DEEP_ARCHIVE',
}

/** @param prefix of the store: two of them in one bucket have rules of their own */
export function s3RuleIdStart(prefix: string): string {
  return `strata-${placeHash(prefix)}-`
}

/** @param prefix of the store */
export function s3RuleOf(rule: LifecycleRule, prefix: string): S3Rule {
  const { deleteAfterDays, deleteVersionsAfterDays, abortUploadsAfterDays, moves } = rule
  return {
    ID: s3RuleIdStart(prefix) + rule.name,
    Status: 'Enabled',
    Filter: filterOf(rule),
    ...(deleteAfterDays === undefined ? {} : { Expiration: { Days: deleteAfterDays } }),
    ...(rule.removeDeleteMarkers === true ? { Expiration: { ExpiredObjectDeleteMarker: true } } : {}),
    ...(moves === undefined
      ? {}
      : { Transitions: moves.map((move) => ({ Days: move.afterDays, StorageClass: s3Classes[move.class] })) }),
    ...(deleteVersionsAfterDays === undefined
      ? {}
      : { NoncurrentVersionExpiration: { NoncurrentDays: deleteVersionsAfterDays } }),
    ...(abortUploadsAfterDays === undefined
      ? {}
      : { AbortIncompleteMultipartUpload: { DaysAfterInitiation: abortUploadsAfterDays } }),
  }
}

function filterOf({ prefix, retiredOnly, largerThanBytes }: LifecycleRule): S3Rule['Filter'] {
  if (retiredOnly === true) return { And: { Prefix: prefix, Tags: [{ Key: retiredTagKey, Value: retiredTagValue }] } }
  if (largerThanBytes !== undefined) return { And: { Prefix: prefix, ObjectSizeGreaterThan: largerThanBytes } }
  return { Prefix: prefix }
}

/** Which objects a rule is for. All that is given must hold. */
export interface S3Filter {
  readonly prefix: string
  readonly tags: readonly (readonly [key: string, value: string])[]
  readonly largerThanBytes: number | undefined
  readonly smallerThanBytes: number | undefined
}

/** The prefix may stand in three places; RGW gives prefix and tag side by side. */
export function s3FilterOf({ Filter = {}, Prefix }: S3Rule): S3Filter {
  const { And = {}, Tag } = Filter
  const tags = [...(And.Tags ?? []), ...(Tag === undefined ? [] : [Tag])]
  return {
    prefix: And.Prefix ?? Filter.Prefix ?? Prefix ?? '',
    tags: tags.map(({ Key = '', Value = '' }) => [Key, Value] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    largerThanBytes: And.ObjectSizeGreaterThan ?? Filter.ObjectSizeGreaterThan,
    smallerThanBytes: And.ObjectSizeLessThan ?? Filter.ObjectSizeLessThan,
  }
}

/** Whether two rules mean the same, however a server has put them. */
export function sameS3Rule(a: S3Rule, b: S3Rule): boolean {
  return isDeepStrictEqual(meaningOf(a), meaningOf(b))
}

function meaningOf(rule: S3Rule): unknown {
  const { Expiration, NoncurrentVersionExpiration, Transitions = [], NoncurrentVersionTransitions = [] } = rule
  return {
    id: rule.ID,
    isEnabled: rule.Status === 'Enabled',
    filter: s3FilterOf(rule),
    expiration: [Expiration?.Days, Expiration?.Date?.getTime(), Expiration?.ExpiredObjectDeleteMarker === true],
    versions: [NoncurrentVersionExpiration?.NoncurrentDays, NoncurrentVersionExpiration?.NewerNoncurrentVersions],
    uploads: rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation,
    moves: Transitions.map(
      (move) => `${String(move.Days)} ${String(move.Date?.getTime())} ${String(move.StorageClass)}`,
    ).sort(),
    versionMoves: NoncurrentVersionTransitions.map(
      (move) => `${String(move.NoncurrentDays)} ${String(move.NewerNoncurrentVersions)} ${String(move.StorageClass)}`,
    ).sort(),
  }
}
