import { stagedExpiryDays } from '../limits.ts'
import type { AzureActionSet, AzureFilters, AzureRule } from './azure-rules.ts'
import { canMeetPrefix, objectsText, type LifecycleScope } from './scope.ts'

/**
 * What a rule of a storage account could do to objects of ours; none: it is harmless. In doubt it could. Blobs that are
 * needed have no index tags, so a rule for a tag never meets one; they are block blobs, and have no snapshots.
 */
export function azureDangers(rule: AzureRule, scope: LifecycleScope): string[] {
  const { filters = {}, actions } = rule.definition
  if (rule.enabled === false || !canMeet(filters, scope)) return []
  const where = `${objectsText(scope)}${prefixText(filters)}`
  if (rule.type.toLowerCase() !== 'lifecycle') return [`do to ${where} what only type ${rule.type} knows`]
  return [
    ...actionDangers(actions.baseBlob, where, scope),
    ...(scope.keepsVersions ? actionDangers(actions.version, `older versions of ${where}`, scope) : []),
  ]
}

function canMeet(
  { blobTypes = [], prefixMatch = [], blobIndexMatch = [] }: AzureFilters,
  scope: LifecycleScope,
): boolean {
  if (blobIndexMatch.length > 0) return false
  if (blobTypes.length > 0 && !blobTypes.some((type) => type.toLowerCase() === 'blockblob')) return false
  return prefixMatch.length === 0 || prefixMatch.some((prefix) => canMeetPrefix(scope, prefix))
}

/** To hot and between the others: all can be read at once. */
const readableActions: ReadonlySet<string> = new Set([
  'tierToCool',
  'tierToCold',
  'tierToHot',
  'enableAutoTierToHotFromCool',
])

function actionDangers(actions: AzureActionSet | undefined, where: string, { use }: LifecycleScope): string[] {
  return Object.entries(actions ?? {}).flatMap(([action, when]) => {
    if (readableActions.has(action)) return []
    if (action === 'tierToArchive') return [`freeze ${where}${whenText(when)}`]
    if (action !== 'delete') return [`do ${action} to ${where}${whenText(when)}`]
    return use === 'staging' && isLateEnough(when) ? [] : [`delete ${where}${whenText(when)}`]
  })
}

function isLateEnough(when: AzureActionSet[string]): boolean {
  const days = typeof when === 'boolean' ? [] : Object.values(when)
  return days.length > 0 && days.every((count) => count >= stagedExpiryDays)
}

function whenText(when: AzureActionSet[string]): string {
  if (typeof when === 'boolean') return ''
  const conditions = Object.entries(when).map(([condition, days]) => `${condition} ${String(days)}`)
  return conditions.length === 0 ? '' : ` (${conditions.join(', ')})`
}

function prefixText({ prefixMatch = [] }: AzureFilters): string {
  return prefixMatch.length === 0 ? '' : ` below ${prefixMatch.join(', ')}`
}
