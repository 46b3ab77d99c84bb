import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatBytes, formatCount, formatDuration, formatInstant, formatPercent, formatRate } from './bytes.ts'

const MiB = 1024 ** 2
const GiB = 1024 ** 3

test('sizes', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [64 * MiB, '64.0 MiB'],
    [300 * MiB, '300 MiB'],
    [GiB - 1, '1.0 GiB'],
    [5.4 * GiB, '5.4 GiB'],
    [2 ** 48, '256 TiB'],
    [2 ** 53, '8.0 PiB'],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('a size never shows 1024 of a unit that has a larger one, and is within 5 % of the truth', () => {
  const factors: Readonly<Record<string, number>> = {
    B: 1,
    KiB: 2 ** 10,
    MiB: 2 ** 20,
    GiB: 2 ** 30,
    TiB: 2 ** 40,
    PiB: 2 ** 50,
  }
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => {
      const [value = '', unit = ''] = formatBytes(bytes).split(' ')
      assert.ok(Number(value) < 1024)
      assert.ok(Math.abs(Number(value) * (factors[unit] ?? 0) - bytes) <= bytes * 0.05)
    }),
  )
})

test('rates are decimal megabytes', () => {
  assert.equal(formatRate(640e6, 1000), '640 MB/s')
  assert.equal(formatRate(8e6, 1000), '8.0 MB/s')
  assert.equal(formatRate(2.5e9, 1000), '2.50 GB/s')
  assert.equal(formatRate(100, 0), '–')
})

test('durations', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0.0 s'],
    [840, '0.8 s'],
    [59_400, '59.4 s'],
    [59_960, '1:00 min'],
    [245_000, '4:05 min'],
    [3_599_700, '1:00:00 h'],
    [7_389_000, '2:03:09 h'],
    [93_780_000, '1 d 02:03 h'],
  ]
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text)
})

test('100 % is said only of all of it', () => {
  assert.equal(formatPercent(999_999, 1_000_000), '99 %')
  assert.equal(formatPercent(1_000_000, 1_000_000), '100 %')
  assert.equal(formatPercent(0, 0), '100 %')
})

test('counts and instants', () => {
  assert.equal(formatCount(1, 'block'), '1 block')
  assert.equal(formatCount(0, 'block'), '0 blocks')
  assert.match(formatInstant('2026-11-23T01:03:20.123Z'), /^2026-11-2[2-4] \d\d:\d\d:20$/)
})
