import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { moneyText } from './money.ts'
import { priceOf, priceOfEarlyLeave, priceOfMoves, surchargeOfReads, type Usage } from './price-of.ts'
import { requestKinds } from '../format/usage.ts'
import { storedClasses } from '../format/storage-class.ts'
import { listPrices, pricesOf } from './price-table.ts'

const GiB = 2 ** 30
const s3 = pricesOf(listPrices(), 's3')
const nothing: Usage = { stored: {}, requests: {}, moved: { inBytes: 0, outBytes: 0, sameRegion: false } }

const near = (actual: number, expected: number): void => {
  assert.ok(
    Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)),
    `${String(actual)} ${String(expected)}`,
  )
}

const counts = fc.nat({ max: 1e9 })
const bytes = fc.nat({ max: 2 ** 50 })
const usages: fc.Arbitrary<Usage> = fc.record({
  stored: fc.dictionary(fc.constantFrom(...storedClasses), fc.record({ bytes, objects: counts })),
  requests: fc.dictionary(fc.constantFrom(...requestKinds), counts),
  moved: fc.record({ inBytes: bytes, outBytes: bytes, sameRegion: fc.constant(false) }),
})
const providers = fc
  .constantFrom(...(['s3', 'azure', 'directory'] as const))
  .map((name) => pricesOf(listPrices(), name))

function together(a: Usage, b: Usage): Usage {
  const stored = storedClasses.map((storedClass) => {
    const [one, other] = [a.stored[storedClass], b.stored[storedClass]]
    const amount = {
      bytes: (one?.bytes ?? 0) + (other?.bytes ?? 0),
      objects: (one?.objects ?? 0) + (other?.objects ?? 0),
    }
    return [storedClass, amount] as const
  })
  return {
    stored: Object.fromEntries(stored),
    requests: Object.fromEntries(requestKinds.map((kind) => [kind, (a.requests[kind] ?? 0) + (b.requests[kind] ?? 0)])),
    moved: {
      inBytes: a.moved.inBytes + b.moved.inBytes,
      outBytes: a.moved.outBytes + b.moved.outBytes,
      sameRegion: false,
    },
  }
}

test('a TiB of S3, its requests, and what leaves it', () => {
  const price = priceOf(
    {
      stored: { standard: { bytes: 1024 * GiB, objects: 16_384 }, archive: { bytes: 100 * GiB, objects: 400 } },
      requests: { put: 16_384, get: 1000, delete: 1e6 },
      moved: { inBytes: 1024 * GiB, outBytes: 10 * GiB, sameRegion: false },
    },
    s3,
  )
  near(price.storagePerMonth, 1024 * 0.023 + 100 * 0.0036)
  near(price.requests, 0.08192 + 0.0004)
  near(price.moved, 0.9)
  near(price.total, price.storagePerMonth + price.requests + price.moved)
})

test('nothing costs nothing, and a directory asks for nothing', () => {
  fc.assert(
    fc.property(usages, providers, (usage, prices) => {
      assert.equal(priceOf(nothing, prices).total, 0)
      assert.equal(priceOf(usage, pricesOf(listPrices(), 'directory')).total, 0)
    }),
  )
})

test('small objects of a colder class are billed as larger ones', () => {
  const stored = { infrequent: { bytes: 1000, objects: 8192 } }
  near(priceOf({ ...nothing, stored }, s3).storagePerMonth, 0.0125)
})

test('what stays in its region is not billed', () => {
  const moved = { inBytes: 0, outBytes: 1024 * GiB, sameRegion: true }
  assert.equal(priceOf({ ...nothing, moved }, s3).moved, 0)
})

test('sets cost together what they cost apart, but for small objects: no more than that', () => {
  fc.assert(
    fc.property(usages, usages, providers, (a, b, prices) => {
      const [one, other, both] = [priceOf(a, prices), priceOf(b, prices), priceOf(together(a, b), prices)]
      near(both.requests, one.requests + other.requests)
      near(both.moved, one.moved + other.moved)
      const apart = one.storagePerMonth + other.storagePerMonth
      assert.ok(both.storagePerMonth <= apart * (1 + 1e-9))
      const standard = priceOf(
        { ...nothing, stored: { standard: together(a, b).stored.standard ?? { bytes: 0, objects: 0 } } },
        prices,
      )
      near(
        standard.storagePerMonth,
        [a, b].reduce(
          (sum, { stored }) => sum + ((stored.standard?.bytes ?? 0) / GiB) * prices.classes.standard.perGbMonth,
          0,
        ),
      )
    }),
  )
})

test('more never costs less, and nothing costs less than nothing', () => {
  fc.assert(
    fc.property(usages, usages, providers, (usage, more, prices) => {
      const [before, after] = [priceOf(usage, prices), priceOf(together(usage, more), prices)]
      for (const item of ['storagePerMonth', 'requests', 'moved', 'total'] as const) {
        assert.ok(before[item] >= 0 && after[item] >= before[item] - 1e-9 * before[item], item)
      }
    }),
  )
})

test('what leaves a class early is billed for the rest of its least days, and not after them', () => {
  near(priceOfEarlyLeave(100 * GiB, 0, 'archive', s3), 100 * 0.0036 * 3)
  near(priceOfEarlyLeave(100 * GiB, 60, 'archive', s3), 100 * 0.0036)
  assert.equal(priceOfEarlyLeave(100 * GiB, 90, 'archive', s3), 0)
  assert.equal(priceOfEarlyLeave(100 * GiB, 0, 'standard', s3), 0)
})

test('reads of a colder class and moves into it cost more, those of the standard class nothing more', () => {
  near(surchargeOfReads({ bytes: 10 * GiB, requests: 1000 }, 'archive-instant', s3), 0.3 + 0.01 - 0.0004)
  assert.equal(surchargeOfReads({ bytes: 10 * GiB, requests: 1000 }, 'standard', s3), 0)
  near(priceOfMoves(1000, 'deep-archive', s3), 0.05)
})

test('amounts are rounded where they are shown', () => {
  assert.equal(moneyText(12.345678, 'USD'), '12.35 USD')
  assert.equal(moneyText(0.00123, 'EUR'), '0.0012 EUR')
  assert.equal(moneyText(0, 'USD'), '0.00 USD')
})
