import type { StoreTotals } from '@strata/shared/store/decorators/metrics.ts'
import type { Step } from './contestants/contestant.ts'
import type { StrataMemory } from './contestants/strata.ts'
import type { Machine } from './machine.ts'
import type { ProfileSummary } from './parts/profile.ts'
import type { BackupTimes } from './service/agents-process.ts'
import type { RedisUse } from './service/redis-use.ts'

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
  readonly fleet: FleetResult | null
  readonly uneven: UnevenResult | null
  readonly upload: UploadResult | null
  readonly scaling: readonly ScalingResult[]
  readonly synth: readonly SynthResult[]
  readonly manyPoints: readonly ManyPointsResult[]
  readonly scrub: ScrubResult | null
  readonly mount: MountResult | null
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

/** Small backups of many endpoints, by way of a service. The first round is of fulls. */
export interface FleetResult {
  readonly agents: number
  readonly atOnce: number
  readonly diskBytes: number
  /** Of each disk, before each backup but the first. */
  readonly changedBytes: number
  readonly rounds: readonly FleetRound[]
}

export interface FleetRound {
  readonly seconds: number
  readonly points: number
  readonly backupSeconds: readonly number[]
  /** From "everything was sent" to the point being visible. */
  readonly commitSeconds: readonly number[]
  readonly changedBytes: number
  readonly serviceCpuSeconds: number
  readonly redisCpuSeconds: number
  readonly agentsCpuSeconds: number
  readonly othersCpuSeconds: number
  /** At the end of the round. */
  readonly serviceResidentBytes: number
  readonly redis: RedisUse
  readonly requests: StoreTotals
}

export interface UnevenResult {
  readonly small: number
  readonly largeBytes: number
  readonly alone: readonly BackupTimes[]
  readonly beside: readonly BackupTimes[]
  readonly besideSeconds: number
  /** Of both, while the small ones were measured beside the large one: nearly all is the large one's. */
  readonly storedBytes: number
}

export interface UploadResult {
  readonly diskBytes: number
  readonly seconds: readonly number[]
  readonly serviceCpuSeconds: readonly number[]
  /** Of `strata backup` of the same disk. */
  readonly localSeconds: readonly number[]
}

export interface ScalingResult {
  /** Processes with the role ingest and one thread each. */
  readonly workers: number
  readonly bytes: number
  /** From their start to the last point. */
  readonly seconds: number
  readonly serviceCpuSeconds: number
}

/** A synthetic full beside a full from the endpoint. */
export interface SynthResult {
  readonly store: string
  /** Of the blocks of the full before, how many were changed since. */
  readonly deadShare: number
  readonly fullSeconds: number
  readonly seconds: number
  readonly serverSideBytes: number
  readonly workerBytes: number
  readonly requests: StoreTotals
}

/** Commands on a repository with thousands of points. */
export interface ManyPointsResult {
  readonly store: string
  readonly points: number
  readonly sets: number
  readonly steps: readonly {
    readonly command: string
    readonly seconds: number
    readonly peakBytes: number
    /** null: the command does not tell. */
    readonly requests: number | null
  }[]
}

/** Something to reach, and whether it was. */
export interface Target {
  readonly title: string
  /** As it is to be read: at least or at most. */
  readonly wanted: string
  readonly measured: string
  readonly met: boolean
}

/** A disk of a point over NBD, and the raw image by nbdkit. */
export interface MountResult {
  readonly strataSeconds: readonly number[]
  readonly nbdkitSeconds: readonly number[]
  /** Of 4 KiB, where no block is cached. */
  readonly randomReadMs: readonly number[]
  /** In the chain of which the first and the last point were opened. */
  readonly points: number
  readonly firstOpenSeconds: readonly number[]
  readonly lastOpenSeconds: readonly number[]
}

/** The same objects read plainly and scrubbed, in turns. */
export interface ScrubResult {
  readonly bytes: number
  readonly readSeconds: readonly number[]
  readonly scrubSeconds: readonly number[]
}
