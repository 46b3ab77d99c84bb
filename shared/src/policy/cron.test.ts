import assert from 'node:assert/strict'
import { test } from 'node:test'
import { longestGapMs, parseCron, shortestGapMs } from './cron.ts'

const minuteMs = 60_000

function timesOf(text: string) {
  const { times, problems } = parseCron(text)
  assert.ok(times, problems?.join())
  return times
}

function problemsOf(text: string): string {
  const { problems = [] } = parseCron(text)
  return problems.join('; ')
}

test('numbers, ranges, steps, lists and names', () => {
  const { minutes, hours, daysOfMonth, months, weekdays } = timesOf('*/20 2,4-8/2,22 * jan,MAR-Apr 1-5')
  assert.deepEqual(minutes, [0, 20, 40])
  assert.deepEqual(hours, [2, 4, 6, 8, 22])
  assert.deepEqual([daysOfMonth.length, daysOfMonth[0], daysOfMonth.at(-1)], [31, 1, 31])
  assert.deepEqual(months, [1, 3, 4])
  assert.deepEqual(weekdays, [1, 2, 3, 4, 5])
})

test('Sunday has two numbers and a name', () => {
  for (const sunday of ['0', '7', 'SUN', 'sun', '0,7']) assert.deepEqual(timesOf(`0 2 * * ${sunday}`).weekdays, [0])
  assert.deepEqual(timesOf('0 2 * * 5-7').weekdays, [0, 5, 6])
  assert.deepEqual(timesOf('0 2 * * *').weekdays, [0, 1, 2, 3, 4, 5, 6])
})

test('spaces around and between, and leading zeros, do no harm', () => {
  assert.deepEqual(timesOf(' 00  02 * *   * '), timesOf('0 2 * * *'))
})

test('what other programs would read in another way, or not at all, is refused', () => {
  for (const text of ['', '@daily', '0 2 * *', '0 0 2 * * *'])
    assert.match(problemsOf(text), /fields; write five/, text)
  const wrong = ['60 2 * * *', '0 24 * * *', '0 2 0 * *', '0 2 32 * *', '0 2 * 0 *', '0 2 * 13 *', '0 2 * * 8']
  for (const text of wrong) assert.match(problemsOf(text), /it goes from/, text)
  for (const text of [
    '0 2 L * *',
    '0 2 ? * *',
    '0 2 * * 1#2',
    '0 2,,3 * * *',
    '0 -2 * * *',
    '0 1.5 * * *',
    '0 5/2/2 * * *',
  ])
    assert.match(problemsOf(text), /write \*, a number/, text)
  for (const text of ['0 22-2 * * *', '0 2 * * SAT-SUN']) assert.match(problemsOf(text), /goes upwards/, text)
  for (const text of ['*/0 2 * * *', '*/60 2 * * *', '5/2 2 * * *', '0 2-4/3 * * *'])
    assert.match(problemsOf(text), /a step stays within/, text)
  assert.match(problemsOf('0 2 * FRI *'), /month/)
  assert.match(problemsOf('0 2 1 * 1'), /write \* for one of them/)
})

test('every field that is wrong is told of', () => {
  const { problems = [] } = parseCron('60 24 32 13 8')
  assert.equal(problems.length, 6)
})

test('the shortest gap, across midnight as well', () => {
  assert.equal(shortestGapMs(timesOf('0 2 * * *')), 24 * 60 * minuteMs)
  assert.equal(shortestGapMs(timesOf('*/15 * * * *')), 15 * minuteMs)
  assert.equal(shortestGapMs(timesOf('*/7 * * * *')), 4 * minuteMs)
  assert.equal(shortestGapMs(timesOf('58,1 23,0 * * *')), 3 * minuteMs)
  assert.equal(shortestGapMs(timesOf('58,1 12,14 * * *')), 57 * minuteMs)
})

test('the longest time between two runs', () => {
  const hours = (text: string): number => longestGapMs(timesOf(text)) / (60 * minuteMs)
  assert.equal(hours('0 2 * * *'), 24)
  assert.equal(hours('*/15 * * * *'), 0.25)
  assert.equal(hours('0 2,8,20 * * *'), 12)
  assert.equal(hours('0 2 * * MON-FRI'), 3 * 24)
  assert.equal(hours('0 2 1 * *'), 31 * 24)
  assert.equal(hours('0 2 31 * *'), 61 * 24)
  assert.equal(hours('0 2 29 2 *'), (8 * 365 + 1) * 24)
})
