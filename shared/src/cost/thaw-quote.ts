import type { ArchiveKind, FrozenObject, ThawSpeed } from '../store/archive/archive-access.ts'
import prices from './prices.json' with { type: 'json' }

/** What it takes to thaw some objects, by list prices and by what providers say of themselves. */
export interface ThawQuote {
  readonly objects: number
  readonly bytes: number
  /** Of those, how many were asked for already, and cost nothing more. */
  readonly thawing: number
  /** undefined: objects of a kind that cannot be thawed so fast are among them. */
  readonly usd: number | undefined
  readonly hoursMax: number
  /** Month of the prices. */
  readonly pricesAsOf: string
}

interface ThawPrice {
  readonly perGb: number
  readonly perThousand: number
  readonly hours: number
}

const thawPrices: Readonly<Record<ArchiveKind, Readonly<Record<ThawSpeed, ThawPrice | null>>>> = prices.thaw
const bytesPerGb = 1024 ** 3

export function quoteThaw(frozen: readonly FrozenObject[], speed: ThawSpeed): ThawQuote {
  let usd: number | undefined = 0
  let hoursMax = 0
  for (const { kind, sizeBytes, isThawing } of frozen) {
    const price = thawPrices[kind][speed]
    if (price !== null) hoursMax = Math.max(hoursMax, price.hours)
    if (isThawing) continue
    if (usd !== undefined) {
      usd = price === null ? undefined : usd + (sizeBytes / bytesPerGb) * price.perGb + price.perThousand / 1000
    }
  }
  return {
    objects: frozen.length,
    bytes: frozen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    thawing: frozen.filter(({ isThawing }) => isThawing).length,
    usd,
    hoursMax,
    pricesAsOf: prices.asOf,
  }
}
