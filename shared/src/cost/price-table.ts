import * as v from 'valibot'
import { StrataError } from '../errors.ts'
import { misfit, list, text, wholeNumber } from '../format/schema.ts'
import { priceMax, priceNotesMax, priceTextCharsMax } from '../limits.ts'
import { currencyPattern } from '../policy/budget-member.ts'
import prices from './prices.json' with { type: 'json' }

/**
 * What providers ask for, as data: whoever has a contract or another region writes a table of the same form. Amounts are
 * in the currency of the table. prices.json is one.
 */
export const priceProviders = ['s3', 'azure', 'directory'] as const
export type PriceProvider = (typeof priceProviders)[number]

const price = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(priceMax))
const note = text({ charsMin: 1, charsMax: priceTextCharsMax })
/** S3 and Azure bill what they call a GB as 2^30 bytes; others mean 10^9. */
const gbBytes = v.picklist([2 ** 30, 1e9])
const daysMax = 3660

const classSchema = v.object({
  perGbMonth: price,
  /** What leaves the class earlier is billed until then. */
  daysMin: wholeNumber(0, daysMax),
  /** A smaller object is billed as if it had so many bytes. */
  objectBytesMin: wholeNumber(0, 2 ** 30),
  /** Into the class, moves by lifecycle rules included. */
  perThousandWrites: price,
  perThousandReads: price,
  /** On top of the requests and the transfer. */
  perGbRead: price,
})

const providerSchema = v.object({
  where: note,
  source: note,
  asOf: note,
  /** What was not compared with what the provider publishes. */
  unverified: v.optional(list(note, { max: priceNotesMax }), []),
  gbBytes,
  classes: v.object({
    standard: classSchema,
    infrequent: classSchema,
    'archive-instant': classSchema,
    archive: classSchema,
    'deep-archive': classSchema,
  }),
  requestsPerThousand: v.object({
    put: price,
    copy: price,
    get: price,
    head: price,
    list: price,
    tag: price,
    lock: price,
    delete: price,
  }),
  transferOut: v.object({ perGb: price, what: note }),
})
export type ProviderPrices = Readonly<v.InferOutput<typeof providerSchema>>

const tableSchema = v.object({
  currency: v.pipe(v.string(), v.regex(currencyPattern)),
  providers: v.object({
    s3: v.optional(providerSchema),
    azure: v.optional(providerSchema),
    directory: v.optional(providerSchema),
  }),
})
export type PriceTable = Readonly<v.InferOutput<typeof tableSchema>>

/** Errors: E_PRICES_INVALID, with the first place that is wrong. */
export function readPriceTable(value: unknown): PriceTable {
  const problem = misfit(tableSchema, value)
  if (problem !== undefined) throw new StrataError('E_PRICES_INVALID', `the price table cannot be used: ${problem}`)
  const table = v.parse(tableSchema, value)
  if (Object.keys(table.providers).length > 0) return table
  throw new StrataError('E_PRICES_INVALID', 'the price table cannot be used: providers is empty')
}

/** The list prices that this program brings along. */
export function listPrices(): PriceTable {
  return readPriceTable(prices)
}

/** Errors: E_PRICES_INVALID, where the table does not have that provider. */
export function pricesOf({ providers }: PriceTable, provider: PriceProvider): ProviderPrices {
  const found = providers[provider]
  if (found !== undefined) return found
  throw new StrataError('E_PRICES_INVALID', `the price table has no prices of ${provider}`)
}
