import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { StrataError } from '../errors.ts'
import { requestKinds } from '../format/usage.ts'
import { storedClasses } from '../format/storage-class.ts'
import { listPrices, priceProviders, pricesOf, readPriceTable } from './price-table.ts'

const table = listPrices()

test('the list prices are a table, of each provider, each class and each kind of request', () => {
  assert.equal(table.currency, 'USD')
  for (const provider of priceProviders) {
    const prices = pricesOf(table, provider)
    assert.deepEqual(Object.keys(prices.classes), [...storedClasses])
    assert.deepEqual(Object.keys(prices.requestsPerThousand), [...requestKinds])
  }
})

test('a class that is colder is no dearer to store, and bills no fewer days', () => {
  for (const provider of priceProviders) {
    const classes = storedClasses.map((storedClass) => pricesOf(table, provider).classes[storedClass])
    classes.reduce((warmer, colder) => {
      assert.ok(colder.perGbMonth <= warmer.perGbMonth && colder.daysMin >= warmer.daysMin)
      return colder
    })
  }
})

test('a put is a write into the standard class, and a get a read of it', () => {
  for (const provider of priceProviders) {
    const { classes, requestsPerThousand } = pricesOf(table, provider)
    assert.equal(requestsPerThousand.put, classes.standard.perThousandWrites)
    assert.equal(requestsPerThousand.get, classes.standard.perThousandReads)
  }
})

test('a table of somebody else is taken, with one provider only', () => {
  const s3 = { ...pricesOf(table, 's3'), source: 'our contract', gbBytes: 1e9 }
  const own = readPriceTable({ currency: 'EUR', providers: { s3 }, remark: 'negotiated' })
  assert.equal(pricesOf(own, 's3').source, 'our contract')
  assert.throws(() => pricesOf(own, 'azure'), { code: 'E_PRICES_INVALID', message: /no prices of azure/ })
})

test('what cannot be in a table is refused, with its place', () => {
  const s3 = pricesOf(table, 's3')
  const refused = (value: unknown, message: RegExp): void => {
    assert.throws(() => readPriceTable(value), { code: 'E_PRICES_INVALID', message })
  }
  refused({ currency: 'usd', providers: { s3 } }, /currency is not/)
  refused({ currency: 'USD', providers: {} }, /providers is empty/)
  refused({ currency: 'USD', providers: { s3: { ...s3, gbBytes: 1000 } } }, /providers\.s3\.gbBytes is not/)
  refused(
    { currency: 'USD', providers: { s3: { ...s3, requestsPerThousand: { ...s3.requestsPerThousand, put: -1 } } } },
    /providers\.s3\.requestsPerThousand\.put is not/,
  )
  for (const perGb of [Number.NaN, Infinity, '0.09', null]) {
    refused(
      { currency: 'USD', providers: { s3: { ...s3, transferOut: { perGb, what: 'all' } } } },
      /transferOut\.perGb/,
    )
  }
})

test('whatever is offered is taken or refused with a code', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      try {
        readPriceTable(value)
      } catch (error) {
        assert.ok(error instanceof StrataError && error.code === 'E_PRICES_INVALID')
      }
    }),
  )
})
