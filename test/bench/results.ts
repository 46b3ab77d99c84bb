import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { Step } from './contestants/contestant.ts'
import type { StrataMemory } from './contestants/strata.ts'
import type { Machine } from './machine.ts'
import type { ProfileSummary } from './parts/profile.ts'

/** What was measured: the JSON document of a run. Times in seconds, sizes in bytes. */
export interface BenchResults {
  readonly startedAt: string
  readonly quick: boolean
  readonly runs: number
  readonly machine: Machine
  readonly image: { readonly sizeBytes: number; readonly dataBytes: number } | null
  readonly speed: readonly SpeedResult[]
  readonly points: TimesResult | null
  readonly small: TimesResult | null
  readonly memory: readonly MemoryResult[]
  readonly requests: readonly RequestsResult[]
  readonly profile: readonly ProfileSummary[]
  /** Parts that could not be measured, and why. */
  readonly failures: readonly string[]
  readonly targets: readonly Target[]
}

/** One contestant at one step. */
export interface SpeedResult {
  readonly step: Step
  readonly contestant: string
  /** The way that counted, where a program has several. */
  readonly way: string
  readonly seconds: readonly number[]
  readonly cpuSeconds: readonly number[]
  readonly othersCpuSeconds: readonly number[]
  /** Sum of the peaks of all processes, the largest of the runs. */
  readonly peakBytes: number
  /** What the repository holds after the step; nothing for steps that store nothing. */
  readonly storedBytes: readonly number[]
  /** Ways that were tried in the first repetition and were slower. */
  readonly slowerWays: readonly { readonly way: string; readonly seconds: number }[]
}

export interface TimesResult {
  readonly seconds: readonly number[]
}

export interface MemoryResult {
  readonly image: string
  readonly sizeBytes: number
  readonly dataBytes: number
  readonly command: 'backup' | 'backup again' | 'restore'
  readonly seconds: number
  readonly memory: StrataMemory
}

export interface RequestsResult {
  readonly kind: string
  readonly changedBytes: number
  readonly requests: StoreTotals
}

/** Something to reach, and whether it was. */
export interface Target {
  readonly title: string
  /** As it is to be read: at least or at most. */
  readonly wanted: string
  readonly measured: string
  readonly met: boolean
}
