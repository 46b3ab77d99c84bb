import { isDeepStrictEqual } from 'node:util'
import { retiredTagKey, retiredTagValue } from '../repository/retention/retired.ts'
import type { ColderClass } from '../format/storage-class.ts'
import { placeHash, type LifecycleRule } from './rules.ts'

/** Rules as the management policy of a storage account has them: its JSON, with whatever else others have put there. */
export interface AzureRule {
  readonly name: string
  readonly enabled?: boolean
  readonly type: string
  readonly definition: AzureDefinition
}

export interface AzureDefinition {
  readonly filters?: AzureFilters
  readonly actions: AzureActions
}

export interface AzureFilters {
  readonly blobTypes?: readonly string[]
  /** Each begins with the container. */
  readonly prefixMatch?: readonly string[]
  readonly blobIndexMatch?: readonly { readonly name: string; readonly op: string; readonly value: string }[]
}

export interface AzureActions {
  readonly baseBlob?: AzureActionSet
  readonly snapshot?: AzureActionSet
  readonly version?: AzureActionSet
}

/** `delete: { daysAfterModificationGreaterThan: 1 }` */
export type AzureActionSet = Readonly<Record<string, Readonly<Record<string, number>> | boolean>>

const actionOf: Readonly<Record<ColderClass, string>> = {
  infrequent: 'tierToCool',
  'archive-instant': 'tierToCold',
  archive: 'tierToArchive',
  'deep-archive': 'tierToArchive',
}

/** Names have letters and digits only. @param place `container/prefix/` */
export function azureRuleNameStart(place: string): string {
  return `strata${placeHash(place)}x`
}

/** `expire-retired` is `expireXretired` here: no name of ours has capitals in it, so there is a way back. */
export function azureRuleName(name: string, place: string): string {
  return azureRuleNameStart(place) + name.replaceAll('-', 'X')
}

export function shortNameOfAzureRule(name: string, place: string): string {
  return name.slice(azureRuleNameStart(place).length).replaceAll('X', '-')
}

/** @param rule with prefixes below the container */
export function azureRuleOf(rule: LifecycleRule, container: string, prefix: string): AzureRule {
  const { retiredOnly, deleteAfterDays, moves = [] } = rule
  return {
    name: azureRuleName(rule.name, `${container}/${prefix}`),
    enabled: true,
    type: 'Lifecycle',
    definition: {
      filters: {
        blobTypes: ['blockBlob'],
        prefixMatch: [`${container}/${rule.prefix}`],
        ...(retiredOnly === true
          ? { blobIndexMatch: [{ name: retiredTagKey, op: '==', value: retiredTagValue }] }
          : {}),
      },
      actions: {
        baseBlob: {
          ...Object.fromEntries(moves.map((move) => [actionOf[move.class], olderThan(move.afterDays)])),
          ...(deleteAfterDays === undefined ? {} : { delete: olderThan(deleteAfterDays) }),
        },
      },
    },
  }
}

function olderThan(days: number): Record<string, number> {
  return { daysAfterModificationGreaterThan: days }
}

/** What is left out is enabled, and an empty list is none. */
export function sameAzureRule(a: AzureRule, b: AzureRule): boolean {
  return isDeepStrictEqual(meaningOf(a), meaningOf(b))
}

function meaningOf({ name, enabled = true, type, definition }: AzureRule): unknown {
  return JSON.parse(JSON.stringify({ name, enabled, type, definition: withoutNothing(definition) })) as unknown
}

/** Without members that are empty: answers have them where a request left them out. */
function withoutNothing(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNothing)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .map(([key, member]) => [key, withoutNothing(member)] as const)
    .filter(([, member]) => !isNothing(member))
  return Object.fromEntries(entries)
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
}
