import type { StoredAmount, StoredByClass } from '../cost/price-of.ts'
import { requestKinds, type StoredNote, type UsageDocument } from '../format/usage.ts'
import { storedClasses, type StoredClass } from '../format/storage-class.ts'
import { asId, type SetId } from '../types.ts'
import { noUsage, type Usage } from './usage.ts'

/** A month of a set, as far as it has come. */
export interface SetMonth {
  /** null: what is about no set, or about several at once. */
  readonly set: SetId | null
  readonly usage: Usage
  /** As last noted; nothing where nobody has. */
  readonly stored: StoredByClass
  /** The mean over the days of the month so far. A day that nobody has noted is as the nearest one before, or else after. */
  readonly storedMean: StoredByClass
  /** Of how many days it is known, and on how many the set was there. */
  readonly daysNoted: number
  readonly daysThere: number
}

export interface MonthSoFar {
  /** `2026-11` */
  readonly month: string
  /** The last day that counts: 30, or today's. */
  readonly days: number
}

/** What the ledger does not have. */
export interface MonthFacts {
  /** What is stored at the moment, for a month that is not over. */
  readonly now?: ReadonlyMap<SetId, StoredNote> | undefined
  /** On which day of the month sets began that have begun in it: before that they stored nothing. */
  readonly began?: ReadonlyMap<SetId, number> | undefined
}

/**
 * Puts together what the ledger has of a month. Pure. Sets in no order, what is about no set among them.
 */
export function sumOfMonth(
  documents: Iterable<UsageDocument>,
  { month, days }: MonthSoFar,
  { now = new Map(), began = new Map() }: MonthFacts = {},
): SetMonth[] {
  const usages = new Map<SetId | null, Usage>()
  const notes = new Map<SetId | null, Map<number, StoredNote>>()
  const note = (set: SetId | null, day: number, stored: StoredNote): void => {
    const ofSet = notes.get(set) ?? new Map<number, StoredNote>()
    notes.set(set, ofSet)
    const before = ofSet.get(day)
    if (before === undefined || before.at < stored.at) ofSet.set(day, stored)
  }
  for (const { day, sets } of documents) {
    if (!day.startsWith(month)) continue
    for (const { set: id, stored, ...counts } of sets) {
      const set = id === null ? null : asId<SetId>(id)
      const usage = usages.get(set) ?? noUsage()
      usages.set(set, usage)
      addCounts(usage, counts)
      if (stored !== undefined) note(set, Number(day.slice(-2)), stored)
    }
  }
  for (const [set, stored] of now) note(set, days, stored)
  return [...new Set([...usages.keys(), ...notes.keys()])].map((set) => {
    const ofSet = notes.get(set) ?? new Map<number, StoredNote>()
    return {
      set,
      usage: usages.get(set) ?? noUsage(),
      ...storedOf(ofSet, days, set === null ? 1 : (began.get(set) ?? 1)),
    }
  })
}

type Counts = Pick<UsageDocument['sets'][number], 'requests' | 'bytesSent' | 'bytesReceived'>

function addCounts(sum: Usage, { requests, bytesSent, bytesReceived }: Counts): void {
  for (const kind of requestKinds) sum.requests[kind] += requests[kind] ?? 0
  sum.bytesSent += bytesSent
  sum.bytesReceived += bytesReceived
}

function storedOf(
  notes: ReadonlyMap<number, StoredNote>,
  days: number,
  firstDay: number,
): Pick<SetMonth, 'stored' | 'storedMean' | 'daysNoted' | 'daysThere'> {
  const noted = [...notes.keys()].filter((day) => day <= days).sort((a, b) => a - b)
  const sum: Partial<Record<StoredClass, StoredAmount>> = {}
  for (let day = firstDay; day <= days; day += 1) {
    const nearest = noted.findLast((one) => one <= day) ?? noted[0]
    const stored = nearest === undefined ? {} : byClass(notes.get(nearest))
    for (const storedClass of storedClasses) {
      const { bytes = 0, objects = 0 } = stored[storedClass] ?? {}
      if (objects === 0) continue
      const before = sum[storedClass] ?? { bytes: 0, objects: 0 }
      sum[storedClass] = { bytes: before.bytes + bytes, objects: before.objects + objects }
    }
  }
  const storedMean = Object.fromEntries(
    Object.entries(sum).map(([name, { bytes, objects }]) => [name, { bytes: bytes / days, objects: objects / days }]),
  )
  return {
    stored: byClass(notes.get(noted.at(-1) ?? 0)),
    storedMean,
    daysNoted: noted.length,
    daysThere: days - firstDay + 1,
  }
}

/** A class that this program does not know is as the standard one. */
function byClass(note: StoredNote | undefined): StoredByClass {
  const stored: Partial<Record<StoredClass, StoredAmount>> = {}
  for (const { class: name, bytes, objects } of note?.classes ?? []) {
    const storedClass = storedClasses.find((one) => one === name) ?? 'standard'
    const before = stored[storedClass] ?? { bytes: 0, objects: 0 }
    stored[storedClass] = { bytes: before.bytes + bytes, objects: before.objects + objects }
  }
  return stored
}
