import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StrataError } from '@strata/shared/errors.ts'
import type { Manifest } from '@strata/shared/format/manifest.ts'
import { numberEntry, type NumberEntry, type PointEntry } from '@strata/shared/repository/points.ts'
import { asId, type SetId } from '@strata/shared/types.ts'
import { checkHistory } from './history.ts'

const set = asId<SetId>('5'.repeat(32))
const digestOf = (sequence: number): string => String(sequence).padStart(64, 'd')
const createdAt = '2026-01-01T00:00:00.000Z'

function previousOf(sequence: number): string | null {
  return sequence === 1 ? null : digestOf(sequence - 1)
}

function voidNumber(sequence: number, previous = previousOf(sequence)): NumberEntry {
  const session = String(sequence).padStart(32, '0')
  return numberEntry(set, { strata: 'void', version: 1, session, sequence, previous, createdAt }, digestOf(sequence))
}

interface PointOptions {
  readonly previous?: string | null
  /** Number of the base, which is the full as well. */
  readonly base?: number
}

function point(sequence: number, { previous = previousOf(sequence), base }: PointOptions = {}): NumberEntry {
  const basePoint =
    base === undefined
      ? null
      : { point: String(base).padStart(32, '0'), sequence: base, manifestDigest: digestOf(base) }
  const manifest: Manifest = {
    strata: 'manifest',
    version: 1,
    point: String(sequence).padStart(32, '0'),
    setName: 'machine',
    chain: 'c'.repeat(32),
    sequence,
    kind: base === undefined ? 'full' : 'incremental',
    base: basePoint,
    full: basePoint,
    previous,
    createdAt,
    capturedAt: createdAt,
    consistency: 'unchanged',
    machine: { hostName: '', system: '', architecture: '' },
    disks: [{ name: 'disk', sizeBytes: 1, blockBytes: 65_536, identity: {}, contentRoot: '0'.repeat(64) }],
    root: { session: '1'.repeat(32), number: 0, attempt: '0'.repeat(16), offset: 0, length: 1 },
    statistics: { scannedBytes: 0, changedBytes: 0, storedBytes: 0, segments: 0 },
    warnings: [],
  }
  return numberEntry(set, manifest, digestOf(sequence))
}

const unreadable = (sequence: number): PointEntry => ({
  set,
  sequence,
  error: new StrataError('E_SEAL_BROKEN', `number ${String(sequence)}`),
})

function problems(...entries: PointEntry[]): (readonly [number, string | null, string])[] {
  return checkHistory(entries).map(({ sequence, point: id, code }) => [sequence, id, code])
}

const broken = 'E_HISTORY_BROKEN'
const idOf = (sequence: number): string => String(sequence).padStart(32, '0')

test('voids are links of the history: at the beginning, in the middle, and at the end', () => {
  assert.deepEqual(problems(), [])
  assert.deepEqual(problems(voidNumber(1), voidNumber(2)), [])
  const whole = [voidNumber(1), point(2), voidNumber(3), voidNumber(4), point(5, { base: 2 }), voidNumber(6)]
  assert.deepEqual(problems(...whole), [])
})

test('a void that is missing is told by what comes after it, and one that was replaced as well', () => {
  assert.deepEqual(problems(voidNumber(2)), [[1, null, broken]])
  assert.deepEqual(problems(point(1), point(3)), [[2, null, broken]])
  assert.deepEqual(problems(point(1), voidNumber(2), point(3, { previous: 'e'.repeat(64) })), [[3, idOf(3), broken]])
  assert.deepEqual(problems(point(1), voidNumber(2, 'e'.repeat(64)), point(3)), [[2, null, broken]])
  assert.deepEqual(problems(voidNumber(1, 'e'.repeat(64))), [[1, null, broken]])
  const [damage] = checkHistory([point(1), voidNumber(2, null)])
  assert.equal(
    damage?.message,
    'void number 2: does not follow the number before it: one of the two objects was replaced',
  )
})

test('what comes after a number that cannot be read is believed', () => {
  assert.deepEqual(problems(unreadable(1), voidNumber(2), point(3)), [[1, null, 'E_SEAL_BROKEN']])
  assert.deepEqual(problems(point(1), unreadable(2), point(3, { base: 1 })), [[2, null, 'E_SEAL_BROKEN']])
})

test('a void is no base', () => {
  assert.deepEqual(problems(point(1), voidNumber(2), point(3, { base: 2 })), [[3, idOf(3), broken]])
})
