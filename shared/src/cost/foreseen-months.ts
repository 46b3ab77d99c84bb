import { dayMs } from '../policy/wall-time.ts'
import type { DayStep } from './calendar.ts'
import { noRequests, requestKinds } from '../format/usage.ts'
import { addRequests, type MutableCounts } from './foreseen-requests.ts'
import { priceOfMoved, priceOfRequests, surchargeOfReads, type RequestCounts } from './price-of.ts'
import { storedClasses, type StoredClass } from '../format/storage-class.ts'
import type { ProviderPrices } from './price-table.ts'
import { byClass, type ClassTotal, type DayOfObjects } from './stored-objects.ts'

export interface ForecastCost {
  readonly storage: number
  readonly requests: number
  readonly moved: number
  readonly total: number
}

export interface ForecastMonth {
  /** `YYYY-MM`, in UTC. */
  readonly month: string
  /** How much of it is foreseen: of the first one only its rest. */
  readonly days: number
  /** At its end, as the two below. */
  readonly points: number
  readonly bytesByClass: Readonly<Record<StoredClass, number>>
  readonly objectsByClass: Readonly<Record<StoredClass, number>>
  /** No whole numbers: of verification each day has its part. */
  readonly requests: Readonly<MutableCounts>
  readonly moved: { readonly inBytes: number; readonly outBytes: number }
  readonly cost: ForecastCost
}

interface OpenMonth {
  month: string
  days: number
  requests: MutableCounts
  inBytes: number
  outBytes: number
  storageCost: number
  /** Of requests, beside what each kind costs. */
  surcharge: number
}

/** Adds up what a set does and has, day by day, to months. */
export class MonthTally {
  readonly months: ForecastMonth[] = []
  readonly #prices: ProviderPrices
  readonly #everyDays: number
  readonly #sameRegion: boolean
  #open = openMonth('')

  constructor(prices: ProviderPrices, verifyEveryDays: number, sameRegion: boolean) {
    this.#prices = prices
    this.#everyDays = verifyEveryDays
    this.#sameRegion = sameRegion
  }

  count(requests: RequestCounts): void {
    addRequests(this.#open.requests, requests)
  }

  /** Bytes that an endpoint has sent. */
  sent(bytes: number): void {
    this.#open.inBytes += bytes
  }

  /** What is there at a day's end counts for the whole day. Each day the same part of everything is verified. */
  endOfDay(
    step: DayStep,
    totals: Readonly<Record<StoredClass, ClassTotal>>,
    points: number,
    { moves, earlyLeaves }: DayOfObjects,
  ): void {
    const open = this.#open
    const days = (step.untilMs - step.fromMs) / dayMs
    open.month = step.month
    open.days += days
    open.storageCost += earlyLeaves
    open.surcharge += moves
    for (const storedClass of storedClasses) {
      const { billedBytes, checkedBytes, checkReads } = totals[storedClass]
      const { perGbMonth } = this.#prices.classes[storedClass]
      open.storageCost += (billedBytes / this.#prices.gbBytes) * perGbMonth * step.monthShare
      const read = { bytes: (checkedBytes * days) / this.#everyDays, requests: (checkReads * days) / this.#everyDays }
      open.requests.get += read.requests
      open.outBytes += read.bytes
      open.surcharge += surchargeOfReads(read, storedClass, this.#prices)
    }
    if (isEndOfMonth(step)) this.#close(totals, points)
  }

  #close(totals: Readonly<Record<StoredClass, ClassTotal>>, points: number): void {
    const { month, days, requests, inBytes, outBytes, storageCost, surcharge } = this.#open
    const moved = { inBytes, outBytes, sameRegion: this.#sameRegion }
    const requestsCost = priceOfRequests(requests, this.#prices) + surcharge
    this.months.push({
      month,
      days,
      points,
      bytesByClass: byClass((storedClass) => totals[storedClass].bytes),
      objectsByClass: byClass((storedClass) => totals[storedClass].objects),
      requests,
      moved: { inBytes, outBytes },
      cost: costOf(storageCost, requestsCost, priceOfMoved(moved, this.#prices)),
    })
    this.#open = openMonth('')
  }
}

/** Several sets' months, which are of the same calendar. */
export function sumOfMonths(ofSets: readonly (readonly ForecastMonth[])[]): ForecastMonth[] {
  const [first = []] = ofSets
  return first.map(({ month, days }, index) => {
    const all = ofSets.flatMap((months) => months[index] ?? [])
    const sum = (valueOf: (one: ForecastMonth) => number): number => all.reduce((total, one) => total + valueOf(one), 0)
    const requests = noRequests()
    for (const kind of requestKinds) requests[kind] = sum((one) => one.requests[kind])
    return {
      month,
      days,
      points: sum(({ points }) => points),
      bytesByClass: byClass((storedClass) => sum(({ bytesByClass }) => bytesByClass[storedClass])),
      objectsByClass: byClass((storedClass) => sum(({ objectsByClass }) => objectsByClass[storedClass])),
      requests,
      moved: { inBytes: sum(({ moved }) => moved.inBytes), outBytes: sum(({ moved }) => moved.outBytes) },
      cost: sumOfCosts(all),
    }
  })
}

export function sumOfCosts(months: readonly Pick<ForecastMonth, 'cost'>[]): ForecastCost {
  const sum = (item: 'storage' | 'requests' | 'moved'): number =>
    months.reduce((total, { cost }) => total + cost[item], 0)
  return costOf(sum('storage'), sum('requests'), sum('moved'))
}

function costOf(storage: number, requests: number, moved: number): ForecastCost {
  return { storage, requests, moved, total: storage + requests + moved }
}

function isEndOfMonth({ untilMs }: DayStep): boolean {
  return new Date(untilMs).getUTCDate() === 1
}

function openMonth(month: string): OpenMonth {
  return { month, days: 0, requests: noRequests(), inBytes: 0, outBytes: 0, storageCost: 0, surcharge: 0 }
}
