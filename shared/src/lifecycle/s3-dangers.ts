import { tenantsPrefix } from '../format/names.ts'
import { archivedBytesMin, stagedExpiryDays, uploadAbortDaysMin } from '../limits.ts'
import { tenantRulesStart } from './rules.ts'
import { s3FilterOf, s3RuleIdStart, type S3Filter, type S3Rule } from './s3-rules.ts'
import { canMeetPrefix, canMeetSize, objectsText, type LifecycleScope } from './scope.ts'

/**
 * What a rule of S3 could do to objects of ours; none: it is harmless. In doubt it could: whoever has such a rule makes it
 * say more exactly what it is for. Objects that are needed carry no tags, so a rule for a tag never meets one.
 */
export function s3Dangers(rule: S3Rule, scope: LifecycleScope): string[] {
  const filter = s3FilterOf(rule)
  if (rule.Status !== 'Enabled' || filter.tags.length > 0) return []
  if (!canMeetPrefix(scope, filter.prefix)) return []
  const uploads = uploadDangers(rule, scope)
  if (!canMeetSize(filter.largerThanBytes, filter.smallerThanBytes)) return uploads
  const where = `${objectsText(scope)}${filterText(filter)}`
  return [
    ...expirationDangers(rule, scope, where),
    ...(isOfOtherTenant(rule, filter, scope) ? [] : moveDangers(rule, where)),
    ...versionDangers(rule, scope, where),
    ...uploads,
  ]
}

function expirationDangers({ Expiration }: S3Rule, scope: LifecycleScope, where: string): string[] {
  const { Days: days, Date: date } = Expiration ?? {}
  if (date !== undefined) return [`delete ${where}, from ${date.toISOString()} on`]
  if (days === undefined || (scope.use === 'staging' && days >= stagedExpiryDays)) return []
  return [`delete ${where}, ${age(days)}`]
}

/** Read at once, as other objects are. Of all others that is not known: some freeze, some lead to another store. */
const readableClasses: ReadonlySet<string> = new Set(['STANDARD', 'STANDARD_IA', 'ONEZONE_IA', 'GLACIER_IR'])

function moveDangers({ Transitions = [] }: S3Rule, where: string): string[] {
  return Transitions.filter(({ StorageClass = '' }) => !readableClasses.has(StorageClass)).map(
    ({ Days, Date: date, StorageClass = 'no class' }) =>
      `freeze ${where}, in ${StorageClass}, ${date === undefined ? age(Days ?? 0) : `from ${date.toISOString()} on`}`,
  )
}

/** Readers look at older versions where the newest one is gone or another one than was written. */
function versionDangers(rule: S3Rule, { keepsVersions }: LifecycleScope, where: string): string[] {
  if (!keepsVersions) return []
  const { NoncurrentVersionExpiration: expiration, NoncurrentVersionTransitions: moves = [] } = rule
  return [
    ...(expiration === undefined
      ? []
      : [`delete older versions of ${where}, after ${String(expiration.NoncurrentDays ?? 0)} days`]),
    ...moves
      .filter(({ StorageClass = '' }) => !readableClasses.has(StorageClass))
      .map(({ StorageClass = 'no class' }) => `freeze older versions of ${where}, in ${StorageClass}`),
  ]
}

function uploadDangers({ AbortIncompleteMultipartUpload }: S3Rule, { use }: LifecycleScope): string[] {
  const days = AbortIncompleteMultipartUpload?.DaysAfterInitiation
  // Nothing is staged in parts.
  if (use === 'staging' || days === undefined || days >= uploadAbortDaysMin) return []
  return [`end uploads of synthetic fulls that are under way, ${age(days)}`]
}

/** One that was compiled for another tenant of the store: what it freezes is large, so that tenant's policy wants it so. */
function isOfOtherTenant({ ID = '' }: S3Rule, filter: S3Filter, { prefix }: LifecycleScope): boolean {
  if (!ID.startsWith(s3RuleIdStart(prefix) + tenantRulesStart)) return false
  const isOfOneTenant = /^[0-9a-f]{32}\/chains\/$/.test(filter.prefix.slice((prefix + tenantsPrefix).length))
  return isOfOneTenant && (filter.largerThanBytes ?? 0) >= archivedBytesMin
}

function filterText({ prefix, largerThanBytes, smallerThanBytes }: S3Filter): string {
  return [
    ...(prefix === '' ? [] : [` below ${prefix}`]),
    ...(largerThanBytes === undefined ? [] : [` larger than ${String(largerThanBytes)} bytes`]),
    ...(smallerThanBytes === undefined ? [] : [` smaller than ${String(smallerThanBytes)} bytes`]),
  ].join('')
}

function age(days: number): string {
  return days === 1 ? '1 day after they were written' : `${String(days)} days after they were written`
}
