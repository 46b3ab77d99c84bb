import { hasCode, toStrataError } from '../errors.ts'
import { decodeDocument, documentObjectBytesMax, encodeDocument } from '../format/document.ts'
import type { Warning } from '../format/manifest.ts'
import { usageName, usagePlaceOf, usagePrefix } from '../format/names.ts'
import { requestKinds, usageType, type UsageDocument, type UsageEntry } from '../format/usage.ts'
import { storeRequestsInFlightMax, usageSetsMax } from '../limits.ts'
import { mapConcurrently } from '../repository/concurrency.ts'
import { damageCodes } from '../repository/damage-codes.ts'
import type { Repository } from '../repository/repository.ts'
import type { SetId } from '../types.ts'
import type { SetUsage, TenantDay, UsageMeter } from './usage-meter.ts'

/**
 * The ledger of a tenant: one document for each process and day, which only that process writes. So nobody waits for
 * anybody, and a process that dies loses what it had not written down. docs/decisions/0027-cost.md.
 */

/**
 * Writes down what the meter has of a tenant. To be called by one caller at a time.
 * @param by which program it is, for people
 */
export async function saveUsage(repository: Repository, meter: UsageMeter, by: string): Promise<void> {
  for (const day of meter.unsaved(repository.tenant)) {
    // What comes while it is written waits for the next time.
    day.isSaved = true
    try {
      await saveDay(repository, meter, day, by)
    } catch (error) {
      day.isSaved = false
      throw error
    }
  }
  meter.forgetPast(repository.tenant)
}

async function saveDay(repository: Repository, meter: UsageMeter, { day, sets }: TenantDay, by: string): Promise<void> {
  const { store, tenant, indexKeys } = repository
  const entries = [...sets].map(([set, usage]) => entryOf(set, usage))
  for (let part = 0; part * usageSetsMax < entries.length; part += 1) {
    const name = usageName(tenant, day, meter.process, part)
    const document: UsageDocument = {
      strata: 'usage',
      version: 1,
      day,
      process: meter.process,
      part,
      by,
      writtenAt: new Date(meter.nowMs()).toISOString(),
      sets: entries.slice(part * usageSetsMax, (part + 1) * usageSetsMax),
    }
    await store.put(name, [encodeDocument(usageType, name, document, indexKeys, repository.nonce())])
  }
}

/** For whoever could not. */
export function usageLost(error: unknown): Warning {
  const { code, message } = toStrataError(error)
  return { code: 'W_USAGE_LOST', message: `what was asked of the store could not be written down: ${code}: ${message}` }
}

function entryOf(set: SetId | null, { requests, bytesSent, bytesReceived, stored }: SetUsage): UsageEntry {
  const asked: UsageEntry['requests'] = {}
  for (const kind of requestKinds) if (requests[kind] > 0) asked[kind] = requests[kind]
  return { set, requests: asked, bytesSent, bytesReceived, ...(stored === undefined ? {} : { stored }) }
}

/**
 * What was written down of some days, in no order within a day. One listing, and a request for each document.
 * @param from first day, as `2026-11-01`
 * @param to last day
 */
export async function* readUsage(
  repository: Repository,
  from: string,
  to: string,
  onWarning: (warning: Warning) => void,
): AsyncGenerator<UsageDocument> {
  const read = mapConcurrently(namesOf(repository, from, to), storeRequestsInFlightMax, (name) =>
    readOne(repository, name, onWarning),
  )
  for await (const document of read) if (document !== undefined) yield document
}

async function* namesOf({ store, tenant }: Repository, from: string, to: string): AsyncGenerator<string> {
  const prefix = usagePrefix(tenant)
  for await (const { name } of store.list(prefix, { startAfter: prefix + from })) {
    const place = usagePlaceOf(tenant, name)
    if (place === undefined) continue
    if (place.day > to) return
    yield name
  }
}

/** undefined: it cannot be read, which is told; the others count all the same. */
async function readOne(
  { store, tenant, indexKeys }: Repository,
  name: string,
  onWarning: (warning: Warning) => void,
): Promise<UsageDocument | undefined> {
  try {
    const bytes = await store.get(name, { bytesMax: documentObjectBytesMax })
    const document = decodeDocument(usageType, name, bytes, indexKeys)
    if (name === usageName(tenant, document.day, document.process, document.part)) return document
    onWarning({ code: 'W_USAGE_UNREADABLE', message: `${name} is about another day or process` })
  } catch (error) {
    if (!hasCode(error, ...damageCodes, 'E_FORMAT_NEWER')) throw error
    onWarning({
      code: 'W_USAGE_UNREADABLE',
      message: `what ${name} counts is missing: ${toStrataError(error).message}`,
    })
  }
  return undefined
}
