import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { budgetWarnings } from './budget.ts'

const budget = { perMonth: 50, currency: undefined }
const spending = { currency: 'USD', month: '2026-11' }
const messages = (...given: Parameters<typeof budgetWarnings>): string[] =>
  budgetWarnings(...given).map(({ code, message }) => {
    assert.equal(code, 'W_BUDGET')
    return message
  })

test('without a budget, or below it, nothing is said', () => {
  assert.deepEqual(budgetWarnings(undefined, { ...spending, monthToDate: 1e6 }), [])
  assert.deepEqual(budgetWarnings(budget, spending), [])
  const forecast = [{ month: '2026-12', total: 50 }]
  assert.deepEqual(budgetWarnings(budget, { ...spending, monthToDate: 50, forecast }), [])
})

test('what is passed already is said, by how much', () => {
  const forecast = [{ month: '2026-12', total: 900 }]
  assert.deepEqual(messages({ perMonth: 50, currency: 'USD' }, { ...spending, monthToDate: 61.5, forecast }), [
    '2026-11 has cost 61.50 USD already, 11.50 USD more than the budget of 50.00 USD',
  ])
})

test('the first month that passes it is named, and the highest', () => {
  const forecast = [
    { month: '2026-12', total: 40 },
    { month: '2027-01', total: 52 },
    { month: '2027-02', total: 70 },
  ]
  assert.deepEqual(messages(budget, { ...spending, forecast }), [
    '2027-01 is foreseen to cost 52.00 USD, 2.00 USD more than the budget of 50.00 USD; the most is 70.00 USD, in 2027-02',
  ])
})

test("this month's rest counts with what it has cost until now", () => {
  const forecast = [{ month: '2026-11', total: 20 }]
  assert.deepEqual(messages(budget, { ...spending, monthToDate: 40, forecast }), [
    '2026-11 is foreseen to cost 60.00 USD, 10.00 USD more than the budget of 50.00 USD',
  ])
})

test('another currency cannot be compared', () => {
  assert.match(
    messages({ perMonth: 50, currency: 'EUR' }, { ...spending, monthToDate: 1 })[0] ?? '',
    /cannot be compared/,
  )
})

test('whoever raises the budget is warned of no more', () => {
  const amount = fc.double({ min: 0.01, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(amount, amount, fc.array(amount, { maxLength: 12 }), amount, (perMonth, more, totals, monthToDate) => {
      const forecast = totals.map((total, index) => ({ month: `2027-${String(index + 1).padStart(2, '0')}`, total }))
      const warned = (of: number): number =>
        budgetWarnings({ perMonth: of, currency: undefined }, { ...spending, monthToDate, forecast }).length
      assert.ok(warned(perMonth + more) <= warned(perMonth))
    }),
  )
})
