import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BenchResults, SpeedResult } from './results.ts'
import { judge } from './targets.ts'

function measured(parts: Partial<BenchResults>): Omit<BenchResults, 'targets'> {
  return {
    startedAt: '2026-01-01T00:00:00.000Z',
    quick: false,
    runs: 3,
    machine: { system: '', processor: '', cores: 2, memoryBytes: 0, fileSystem: '', loadAtStart: 0, versions: {} },
    image: null,
    speed: [],
    points: null,
    small: null,
    memory: [],
    requests: [],
    profile: [],
    fleet: null,
    uneven: null,
    upload: null,
    scaling: [],
    synth: [],
    manyPoints: [],
    scrub: null,
    mount: null,
    failures: [],
    ...parts,
  }
}

function full(contestant: string, seconds: readonly number[], storedBytes: number): SpeedResult {
  return {
    step: 'full',
    contestant,
    way: 'backup',
    seconds,
    cpuSeconds: seconds,
    othersCpuSeconds: seconds,
    peakBytes: 1,
    storedBytes: [storedBytes],
    slowerWays: [],
  }
}

test('speeds and stored bytes are compared by their medians', () => {
  const speed = [full('strata', [10, 5, 11], 109), full('restic', [20, 90, 1], 100), full('borg', [13, 13, 13], 100)]
  const targets = judge(measured({ speed }))
  assert.deepEqual(
    targets.map((target) => [target.measured, target.met]),
    [
      ['2.00×', true],
      ['1.30×', false],
      ['1.090×', true],
    ],
  )
})

test('memory counts strictly, and a peak that was not seen is not within any limit', () => {
  const MiB = 1024 ** 2
  const memory = { commandBytes: 170 * MiB, launcherBytes: 31 * MiB, serviceBytes: 0, redisBytes: 0 }
  const one = { image: 'x', sizeBytes: 1, dataBytes: 1, seconds: 1, memory }
  const targets = judge(measured({ memory: [{ ...one, command: 'backup' }] }))
  assert.deepEqual(
    targets.map(({ met }) => met),
    [false, false],
  )
  assert.deepEqual(judge(measured({ memory: [{ ...one, command: 'restore' }] })), [])
})

test('what was not measured is no target', () => {
  assert.deepEqual(judge(measured({})), [])
  assert.deepEqual(
    judge(measured({ points: { seconds: [0.5, 0.9, 0.6] } })).map(({ met }) => met),
    [true],
  )
})

test('a small backup beside a large tenant is compared by medians', () => {
  const backups = (...all: number[]) => all.map((seconds) => ({ seconds, commitSeconds: 1, changedBytes: 1 }))
  const some = { small: 3, largeBytes: 1, besideSeconds: 1, storedBytes: 1 }
  const uneven = { ...some, alone: backups(0.2, 0.1, 9), beside: backups(0.5, 0.4, 0.1) }
  const [target] = judge(measured({ uneven }))
  assert.deepEqual([target?.measured, target?.met], ['2.00×', true])
  const [missed] = judge(measured({ uneven: { ...uneven, beside: backups(0.41, 0.41, 0.1) } }))
  assert.equal(missed?.met, false)
  const [idle] = judge(measured({ uneven: { ...uneven, storedBytes: 0 } }))
  assert.equal(idle?.met, false)
})
