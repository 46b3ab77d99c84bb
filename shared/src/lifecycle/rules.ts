import { createHash } from 'node:crypto'
import { StrataError } from '../errors.ts'
import { tenantChainsPrefix, tenantsPrefix } from '../format/names.ts'
import {
  archiveAfterChainDaysMin,
  archivedBytesMin,
  retiredExpiryDays,
  retiredVersionDays,
  s3InfrequentDaysMin,
  stagedExpiryDays,
  uploadAbortDays,
} from '../limits.ts'
import type { StorageClassRules } from '../policy/keeping-members.ts'
import { archiveClasses, type ColderClass } from '../format/storage-class.ts'
import type { TenantId } from '../types.ts'

/**
 * Layout and policy, compiled into what a bucket shall do by itself. Pure, and the same for each provider; s3-rules.ts and
 * azure-rules.ts say it in their words. Invariant: what deletes is bound to the tag of retired objects, or to a staging
 * area; what freezes is bound to a size that no page pack has. So no rule of ours can harm a living point, whatever
 * becomes of the policy.
 */
export type Provider = 's3' | 'azure'

export interface LifecycleRule {
  /** Unique among the rules of one store; `[a-z0-9-]`. */
  readonly name: string
  /** Of keys in the bucket, so with the store's own prefix. */
  readonly prefix: string
  /** Only objects that carry the tag of retired ones. */
  readonly retiredOnly?: true
  readonly largerThanBytes?: number
  readonly deleteAfterDays?: number
  /** Of versions that are hidden by a newer one, or by a delete marker. */
  readonly deleteVersionsAfterDays?: number
  /** Delete markers that hide nothing any more. */
  readonly removeDeleteMarkers?: true
  readonly abortUploadsAfterDays?: number
  /** By ascending age. */
  readonly moves?: readonly StorageClassMove[]
}

export interface StorageClassMove {
  readonly afterDays: number
  readonly class: ColderClass
}

export interface RepositoryLifecycle {
  readonly use: 'repository'
  readonly provider: Provider
  /** Of the store: empty, or ends in a slash. */
  readonly prefix: string
  /** Whether the bucket keeps older versions of objects, or has kept some. */
  readonly keepsVersions: boolean
  /** Whose chains grow colder; left out, rules of tenants are not compiled. */
  readonly tenant?: TenantClasses
}

export interface TenantClasses {
  readonly id: TenantId
  readonly classes: StorageClassRules
  /** By policy, no chain lives for longer. */
  readonly chainAgeDaysMax: number
}

export interface StagingLifecycle {
  readonly use: 'staging'
  readonly provider: Provider
  readonly prefix: string
}

export type LifecycleInput = RepositoryLifecycle | StagingLifecycle

/** Errors: E_LIFECYCLE_IMPOSSIBLE, where the policy wants what the rules of such a store cannot do safely. */
export function compileLifecycle(input: LifecycleInput): LifecycleRule[] {
  return input.use === 'staging' ? stagingRules(input) : repositoryRules(input)
}

function stagingRules({ provider, prefix }: StagingLifecycle): LifecycleRule[] {
  return [{ name: 'expire-staged', prefix, deleteAfterDays: stagedExpiryDays }, ...abortUploads(provider, prefix)]
}

function repositoryRules({ provider, prefix, keepsVersions, tenant }: RepositoryLifecycle): LifecycleRule[] {
  // Below it lies all that can grow; what else is in the bucket may be somebody else's.
  const all = prefix + tenantsPrefix
  const versions = keepsVersions && provider === 's3'
  return [
    {
      name: 'expire-retired',
      prefix: all,
      retiredOnly: true,
      deleteAfterDays: retiredExpiryDays,
      // Tags belong to versions: what others have deleted or overwritten stays as an older version, where readers find it.
      ...(versions ? { deleteVersionsAfterDays: retiredVersionDays } : {}),
    },
    // A rule of its own, since S3 does not take it together with a tag.
    ...(versions ? [{ name: 'remove-delete-markers', prefix: all, removeDeleteMarkers: true } as const] : []),
    ...abortUploads(provider, all),
    ...(tenant === undefined ? [] : tenantRules(provider, prefix, tenant)),
  ]
}

/** Azure forgets blocks that were never committed after a week by itself. */
function abortUploads(provider: Provider, prefix: string): LifecycleRule[] {
  return provider === 's3' ? [{ name: 'abort-uploads', prefix, abortUploadsAfterDays: uploadAbortDays }] : []
}

function tenantRules(provider: Provider, prefix: string, tenant: TenantClasses): LifecycleRule[] {
  requirePossible(provider, tenant)
  const chains = prefix + tenantChainsPrefix(tenant.id)
  const readable = tenant.classes.filter((move) => !archiveClasses.has(move.class))
  const archived = tenant.classes.filter((move) => archiveClasses.has(move.class))
  const name = tenantRulePrefix(tenant.id)
  return [
    ...(readable.length === 0 ? [] : [{ name: `${name}classes`, prefix: chains, moves: readable }]),
    ...(archived.length === 0
      ? []
      : [{ name: `${name}archive`, prefix: chains, largerThanBytes: archivedBytesMin, moves: archived }]),
  ]
}

/** What the names of the rules of all tenants begin with. */
export const tenantRulesStart = 'tenant-'

export function tenantRulePrefix(tenant: string): string {
  return `${tenantRulesStart}${tenant}-`
}

function requirePossible(provider: Provider, { classes, chainAgeDaysMax }: TenantClasses): void {
  const problems = classes.flatMap((move, index) => [
    ...archiveProblems(provider, move, chainAgeDaysMax),
    ...(provider === 's3' ? infrequentProblems(move, classes[index - 1]) : []),
  ])
  if (problems.length > 0) throw new StrataError('E_LIFECYCLE_IMPOSSIBLE', problems.join('; '))
}

function archiveProblems(provider: Provider, move: StorageClassMove, chainAgeDaysMax: number): string[] {
  if (!archiveClasses.has(move.class)) return []
  if (provider === 'azure') {
    return [
      `storageClass ${move.class}: rules of Azure know no size, so maps would be frozen along; use infrequent and archive-instant there`,
    ]
  }
  const daysMin = chainAgeDaysMax + archiveAfterChainDaysMin
  if (move.afterDays >= daysMin) return []
  return [
    `storageClass ${move.class} after ${String(move.afterDays)} days: chains live for up to ${String(chainAgeDaysMax)} days, and what the next synthetic full copies must be readable; write at least ${String(daysMin)}, or a shorter chain.maxAge`,
  ]
}

function infrequentProblems(move: StorageClassMove, before: StorageClassMove | undefined): string[] {
  const daysMin = s3InfrequentDaysMin
  if (move.class === 'infrequent' && move.afterDays < daysMin) {
    return [`storageClass infrequent: S3 takes it after ${String(daysMin)} days at the earliest`]
  }
  if (before?.class === 'infrequent' && move.afterDays < before.afterDays + daysMin) {
    return [`storageClass ${move.class}: S3 takes it ${String(daysMin)} days after infrequent at the earliest`]
  }
  return []
}

const placeHashChars = 12

/** What tells the rules of one store from those of another one in the same bucket: part of their ids. */
export function placeHash(place: string): string {
  return createHash('sha256').update(place).digest('hex').slice(0, placeHashChars)
}

/** For people: `deletes retired objects after 1 day`. */
export function describeRule(rule: LifecycleRule): string {
  const { retiredOnly, deleteAfterDays, deleteVersionsAfterDays, abortUploadsAfterDays, moves = [] } = rule
  const objects = retiredOnly === true ? 'retired objects' : 'objects'
  return [
    ...(deleteAfterDays === undefined ? [] : [`deletes ${objects} after ${days(deleteAfterDays)}`]),
    ...(deleteVersionsAfterDays === undefined ? [] : [`their versions after ${days(deleteVersionsAfterDays)} more`]),
    ...(rule.removeDeleteMarkers === true ? ['removes delete markers that hide nothing'] : []),
    ...(abortUploadsAfterDays === undefined ? [] : [`ends broken uploads after ${days(abortUploadsAfterDays)}`]),
    ...(moves.length === 0 ? [] : [describeMoves(moves, rule.largerThanBytes)]),
  ].join(', ')
}

function describeMoves(moves: readonly StorageClassMove[], largerThanBytes: number | undefined): string {
  const what = largerThanBytes === undefined ? 'objects of chains' : 'large packs'
  return `moves ${what} to ${moves.map((move) => `${move.class} after ${days(move.afterDays)}`).join(', ')}`
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${String(count)} days`
}
