import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '@strata/shared/clock.ts'
import { hasCode, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { clockMsMax, scheduleSleepMsMax, scheduleSleepMsMin } from '@strata/shared/limits.ts'
import { decide, isOwed, newRunLog, runFinished, runStarted, type RunLog } from '@strata/shared/policy/decision.ts'
import { readPolicy, type Policy } from '@strata/shared/policy/policy.ts'
import type { Id } from '@strata/shared/types.ts'
import { ScheduleStateFile, type KeptState } from './schedule-state.ts'

/** A policy as the service gives it: which of its documents, and the document as it is. */
export type OfferedPolicy = KeptState['policy']

export interface KeptPolicy {
  readonly id: Id
  readonly version: number
  readonly policy: Policy
}

export interface ScheduledRun {
  readonly scheduledMs: number
  /** Times that passed without a run, and that this one makes up for. */
  readonly missed: number
}

export interface ScheduleKeeperOptions {
  readonly stateDirectory: string
  readonly endpoint: Id
  readonly clock: Clock
  readonly warn: (warning: Warning) => void
}

interface Kept {
  readonly offered: OfferedPolicy
  readonly policy: Policy
}

/**
 * Keeps to the last policy that was understood, with nobody to ask: it lies in the state directory, with the notes of
 * what was run. One process at a time keeps a state directory.
 *
 * A note of a run is written before the run begins. When the process dies in the middle of it, or whoever runs it leaves
 * the loop, the run counts as not done, and is begun again. When the note cannot be written, the run happens all the same.
 */
export class ScheduleKeeper {
  readonly #options: ScheduleKeeperOptions
  readonly #file: ScheduleStateFile
  #kept: Kept | undefined
  #log: RunLog
  #underWay = false

  /** Reads what is there; what cannot be read is warned of, and counts as not there. */
  constructor(options: ScheduleKeeperOptions) {
    this.#options = options
    this.#file = new ScheduleStateFile(options.stateDirectory)
    const state = this.#read()
    this.#kept = state?.kept
    this.#log = state?.log ?? newRunLog(this.#nowMs())
  }

  /** What is kept to; undefined: no policy was ever understood. */
  get policy(): KeptPolicy | undefined {
    if (this.#kept === undefined) return undefined
    const { offered, policy } = this.#kept
    return { id: offered.id, version: offered.version, policy }
  }

  /**
   * Keeps to `offered` from now on; false: it is the one that is kept to already, or older. Takes hold at the next look
   * at the clock. Errors: E_POLICY_NEWER, E_POLICY_INVALID; then the last one is kept to.
   */
  take(offered: OfferedPolicy): boolean {
    const before = this.#kept
    if (before?.offered.id === offered.id && offered.version <= before.offered.version) return false
    const { policy } = readPolicy(offered.document)
    this.#log = this.#logUnder(policy)
    this.#kept = { offered, policy }
    this.#write()
    return true
  }

  /**
   * Gives each run when it is time for it; asking for the next one says that it has ended, well or badly. Ends when
   * `signal` is aborted.
   */
  async *runs(signal: AbortSignal): AsyncGenerator<ScheduledRun, void, void> {
    for (;;) {
      const run = await this.#due(signal)
      if (run === undefined) return
      this.#log = runStarted(this.#log, run.scheduledMs, this.#nowMs())
      this.#write()
      try {
        this.#underWay = true
        yield run
      } finally {
        this.#underWay = false
      }
      this.#log = runFinished(this.#log, this.#nowMs())
      this.#write()
    }
  }

  async #due(signal: AbortSignal): Promise<ScheduledRun | undefined> {
    if (this.#kept === undefined)
      this.#warn('W_POLICY_NONE', 'no policy was received yet, so nothing is run by schedule')
    while (!signal.aborted) {
      const outcome = this.#look()
      if (typeof outcome !== 'number') return outcome
      await this.#sleep(outcome, signal)
    }
    return undefined
  }

  /** The run that is due, or how long to sleep. */
  #look(): ScheduledRun | number {
    if (this.#kept === undefined) return scheduleSleepMsMax
    const { schedule, hours } = this.#kept.policy
    const nowMs = this.#nowMs()
    const { decision, log } = decide({ schedule, hours, endpoint: this.#options.endpoint, log: this.#log, nowMs })
    const clockWentBack = log.seenMs < this.#log.seenMs
    this.#log = log
    if (decision.kind === 'run') return { scheduledMs: decision.scheduledMs, missed: decision.missed }
    if (clockWentBack) this.#write()
    // Not longer: a machine that was asleep wakes, a clock is set, a policy is taken.
    return Math.min(Math.max(decision.untilMs - nowMs, scheduleSleepMsMin), scheduleSleepMsMax)
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  /**
   * The notes under a schedule that is new: nothing that it had scheduled before now was missed. What the old one still
   * owes is made up for.
   */
  #logUnder({ schedule }: Policy): RunLog {
    const nowMs = this.#nowMs()
    if (this.#kept === undefined) return newRunLog(nowMs, this.#log.runs)
    const { schedule: old, hours } = this.#kept.policy
    if (isDeepStrictEqual(old, schedule)) return this.#log
    const log = this.#underWay ? runFinished(this.#log, nowMs) : this.#log
    const owed = isOwed({ schedule: old, hours, endpoint: this.#options.endpoint, log, nowMs })
    return owed ? this.#log : newRunLog(nowMs, this.#log.runs)
  }

  #read(): { readonly kept: Kept; readonly log: RunLog } | undefined {
    try {
      const state = this.#file.read()
      if (state === undefined) return undefined
      const { policy } = readPolicy(state.policy.document)
      return { kept: { offered: state.policy, policy }, log: state.log }
    } catch (error) {
      if (!isUnreadable(error)) throw error
      this.#warn('W_SCHEDULE_LOST', `the notes of the schedule cannot be read: ${messageOf(error)}`)
      return undefined
    }
  }

  #write(): void {
    if (this.#kept === undefined) return
    try {
      this.#file.write({ policy: this.#kept.offered, log: { ...this.#log, runs: [...this.#log.runs] } })
    } catch (error) {
      if (!hasCode(error, 'E_STATE_UNWRITABLE')) throw error
      this.#warn('W_STATE_UNWRITABLE', `${error.code}: ${error.message}`)
    }
  }

  #warn(code: string, message: string): void {
    this.#options.warn({ code, message })
  }

  #nowMs(): number {
    return Math.min(Math.max(0, Math.floor(this.#options.clock.nowMs())), clockMsMax)
  }
}

function isUnreadable(error: unknown): boolean {
  return error instanceof StrataError || systemErrorCode(error) !== undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
