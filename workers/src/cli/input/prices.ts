import { listPrices, readPriceTable, type PriceProvider, type PriceTable } from '@strata/shared/cost/price-table.ts'
import { StrataError } from '@strata/shared/errors.ts'
import { priceTableBytesMax } from '@strata/shared/limits.ts'
import { parseStoreUrl } from '@strata/shared/store/store-url.ts'
import { readSmallFile } from './small-file.ts'

/** The prices that a person goes by: those of the file, or else the list prices that come along. E_PRICES_INVALID. */
export async function readPrices(path: string | undefined): Promise<PriceTable> {
  if (path === undefined) return listPrices()
  const about = { what: 'the price table', bytesMax: priceTableBytesMax, invalid: 'E_PRICES_INVALID' } as const
  const text = await readSmallFile({ path, given: path, ...about })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new StrataError('E_PRICES_INVALID', `${path} is no JSON: ${(error as Error).message}`, { cause: error })
  }
  return readPriceTable(value)
}

/** Whose prices are those of a store. */
export function providerOf(storeUrl: string): PriceProvider {
  const { kind } = parseStoreUrl(storeUrl)
  return kind === 'file' ? 'directory' : kind
}
