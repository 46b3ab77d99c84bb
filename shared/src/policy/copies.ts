import { resolve } from 'node:path'
import * as v from 'valibot'
import { StrataError } from '../errors.ts'
import { copiesMax, copyNameCharsMax } from '../limits.ts'
import { nameOrNone } from '../set-name.ts'
import { parseStoreUrl, type StoreLocation } from '../store/store-url.ts'
import { retentionRelations, retentionSchema, understoodRetention } from './keeping-members.ts'
import { checked, listOf, member, section } from './member-checks.ts'
import type { Retention } from './retention-rules.ts'

/** Other stores that points are copied to: what they may be, and what they mean. */

export const copyMembers = {
  name: checked(checkName),
  to: checked(checkStoreUrl),
  retention: v.optional(retentionSchema),
}
export const copiesSchema = listOf(section(copyMembers), copiesMax)

export interface Copy {
  readonly name: string
  /** A store's URL. */
  readonly to: string
  /** In that store. */
  readonly retention: Retention
}

/**
 * What is wrong between the copies, whatever each is. A copy into the store that it is made from would be copied again, and
 * again; so would one into a place within it, or around it.
 * @param ownUrl the store that the policy is for, where it is known
 */
export function copyRelations(policy: unknown, ownUrl: string | undefined): string[] {
  const copies = member(policy, 'copies')
  if (!Array.isArray(copies)) return []
  const own = ownUrl === undefined ? undefined : locationFrom(ownUrl)
  return copies.flatMap((copy: unknown, index) => {
    const place = `copies.${String(index)}`
    const before: unknown[] = copies.slice(0, index)
    return [
      ...retentionRelations(member(copy, 'retention'), `${place}.retention`),
      ...sameName(copy, before, place),
      ...samePlace(copy, before, place),
      ...(isSamePlace(locationOf(copy), own)
        ? [`${place}.to is the store itself, or lies in it or around it; ${another}`]
        : []),
    ]
  })
}

const another = 'write another store'

function sameName(copy: unknown, before: readonly unknown[], place: string): string[] {
  const name = member(copy, 'name')
  const isTaken = typeof name === 'string' && before.some((other) => member(other, 'name') === name)
  return isTaken ? [`${place}.name is that of another copy; write one of its own`] : []
}

function samePlace(copy: unknown, before: readonly unknown[], place: string): string[] {
  const location = locationOf(copy)
  const isTaken = before.some((other) => isSamePlace(location, locationOf(other)))
  return isTaken ? [`${place}.to is that of another copy, or lies in it or around it; ${another}`] : []
}

function locationOf(copy: unknown): StoreLocation | undefined {
  const to = member(copy, 'to')
  return typeof to === 'string' ? locationFrom(to) : undefined
}

function locationFrom(url: string): StoreLocation | undefined {
  try {
    return parseStoreUrl(url)
  } catch (error) {
    if (error instanceof StrataError) return undefined
    throw error
  }
}

/** The same of two URLs. E_STORE_URL. */
export function isSameStore(url: string, other: string): boolean {
  return isSamePlace(parseStoreUrl(url), parseStoreUrl(other))
}

/** What holds in a store: where the policy names it as a copy, the retention of that copy. E_STORE_URL. */
export function retentionIn(policy: { retention: Retention; copies: readonly Copy[] }, storeUrl: string): Retention {
  return policy.copies.find(({ to }) => isSameStore(to, storeUrl))?.retention ?? policy.retention
}

/** Whether they are one place, or one lies within the other. A region does not tell buckets apart; an endpoint does. */
function isSamePlace(a: StoreLocation | undefined, b: StoreLocation | undefined): boolean {
  if (a === undefined || b === undefined) return false
  const [one, other] = [placeText(a), placeText(b)]
  return one.startsWith(other) || other.startsWith(one)
}

function placeText(location: StoreLocation): string {
  switch (location.kind) {
    case 'file':
      return `file ${resolve(location.path)}/`.replace(/\/+$/, '/')
    case 's3':
      return `s3 ${location.endpoint ?? ''} ${location.bucket}/${location.prefix}`
    case 'azure':
      return `azure ${location.endpoint ?? ''} ${location.container}/${location.prefix}`
  }
}

/** @param own the retention of the policy: it holds for copies that have none of their own */
export function understoodCopies(
  copies: v.InferOutput<typeof copiesSchema> = [],
  timeZone: string,
  own: Retention,
): Copy[] {
  return copies.map(({ name, to, retention }) => ({
    name,
    to,
    retention: retention === undefined ? own : understoodRetention(retention, timeZone),
  }))
}

function checkName(text: string): string | undefined {
  if (nameOrNone(text, copyNameCharsMax) === text) return undefined
  return `is no name; write 1 to ${String(copyNameCharsMax)} characters without ':' and '/', such as 'second site'`
}

function checkStoreUrl(text: string): string | undefined {
  try {
    parseStoreUrl(text)
    return undefined
  } catch (error) {
    if (!(error instanceof StrataError)) throw error
    return `is no store: ${error.message}; write a URL such as 's3://bucket/prefix'`
  }
}
