import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listPrices, pricesOf } from '@strata/shared/cost/price-table.ts'
import { asId, type SetId, type TenantId } from '@strata/shared/types.ts'
import { noUsage } from '@strata/shared/usage/usage.ts'
import { costCsv } from './cost-csv.ts'
import type { CostReport } from './cost.ts'

function reportOf(name: string | undefined): CostReport {
  const cost = { storage: 1.25, requests: 0.5, moved: 0, total: 1.75 }
  const stored = { standard: { bytes: 1000, objects: 1 }, 'deep-archive': { bytes: 7, objects: 1 } }
  const usage = { ...noUsage(), bytesSent: 12 }
  usage.requests.lock = 3
  return {
    tenant: asId<TenantId>('1'.repeat(32)),
    month: { month: '2026-11', days: 10, daysInAll: 30, isNow: true },
    provider: 's3',
    prices: pricesOf(listPrices(), 's3'),
    currency: 'USD',
    sameRegion: false,
    budget: undefined,
    sets: [
      {
        ...{ set: asId<SetId>('5'.repeat(32)), name, usage, stored, storedMean: stored, cost },
        ...{ daysNoted: 1, daysThere: 10 },
      },
    ],
    forecast: undefined,
    warnings: [],
  }
}

test('a line for each set has a field for each column', () => {
  const [header = '', line = '', ...more] = costCsv(reportOf('web-1'))
  assert.deepEqual(more, [])
  const fields = line.split(',')
  const record = Object.fromEntries(header.split(',').map((column, index) => [column, fields[index]]))
  assert.equal(fields.length, header.split(',').length)
  assert.deepEqual(
    ['kind', 'set', 'month', 'currency', 'requests_lock', 'requests_get', 'bytes_sent'].map((name) => record[name]),
    ['actual', 'web-1', '2026-11', 'USD', '3', '0', '12'],
  )
  assert.deepEqual([record['stored_bytes_standard'], record['stored_bytes_deep_archive']], ['1000', '7'])
  assert.deepEqual([record['cost_storage'], record['cost_total']], ['1.25', '1.75'])
})

test('no name breaks the table, or is a formula', () => {
  const fieldOf = (name: string): string => costCsv(reportOf(name)).slice(1).join('\n').split(',')[2] ?? ''
  assert.equal(fieldOf('=1+1'), "'=1+1")
  assert.equal(fieldOf('@SUM'), "'@SUM")
  assert.match(costCsv(reportOf('a,"b"'))[1] ?? '', /,"a,""b""",/)
})
