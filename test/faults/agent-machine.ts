import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isErrorCode, type ErrorCode, type ErrorDocument } from '@strata/shared/errors.ts'
import { withLimits, type Place, type Run, type StartedRun } from '../end-to-end/place.ts'
import type { BackupAnswer } from '../fixtures/strata-program.ts'
import { Machine } from '../service/fleet.ts'
import { shortLimits } from './limits.ts'
import type { Disks, Moment } from './moments.ts'

type Environment = Readonly<Record<string, string>>

/** A backup, as far as its agent has told of it. */
export interface Answered extends BackupAnswer {
  readonly base: { readonly point: string } | null
  readonly passes: number
}

/** An endpoint with disks of its own; a clone has the name of another one. */
export class AgentMachine {
  readonly place: Place
  /** Of its set, which is that of the endpoint. */
  readonly setName: string
  readonly label: string
  readonly disks: Disks
  readonly stateDirectory: string
  readonly #machine: Machine
  readonly #machineId: string
  run: AgentRun | undefined

  /** @param label also names its state directory, `machine-LABEL` */
  constructor(place: Place, label: string, disks: Disks, of = label, machineId = of) {
    this.place = place
    this.label = label
    this.setName = of
    this.disks = disks
    this.stateDirectory = place.file(`machine-${label}`)
    this.#machine = new Machine(place, label)
    this.#machineId = machineId
  }

  get isWhereItEnrolled(): boolean {
    return this.#machineId === this.setName
  }

  start(full: boolean, faults: Environment): AgentRun {
    const args = ['agent', 'run', ...this.disks.sources(), '--block-size', '64K', ...(full ? ['--full'] : [])]
    const env = { ...faulty(faults), STRATA_MACHINE_ID: this.#machineId }
    this.run = new AgentRun(this, this.#machine.start(args, env))
    return this.run
  }
}

/** The environment of a process with faults inside of it, and with short limits. */
export function faulty(faults: Environment, limits?: Readonly<Record<string, number>>): Environment {
  const withFaults = { ...faults, NODE_OPTIONS: `--import=${preload}` }
  return withLimits({ ...shortLimits, ...limits }, withFaults)
}

const preload = pathToFileURL(join(import.meta.dirname, 'preload', 'faults.mjs')).href

/** One `strata agent run`. */
export class AgentRun {
  readonly machine: AgentMachine
  readonly started: StartedRun
  readonly #firstMoment: number
  #lastMoment: number | undefined
  /** Nobody is to wonder that it ended by a signal. */
  wasKilled = false
  isLate = false

  constructor(machine: AgentMachine, started: StartedRun) {
    this.machine = machine
    this.started = started
    this.#firstMoment = machine.disks.moments.length - 1
  }

  async ended(msMax: number): Promise<EndedRun> {
    const late = setTimeout(() => {
      this.isLate = true
      this.signal('SIGCONT')
      this.signal('SIGKILL')
    }, msMax)
    const ended = await this.started.ended
    clearTimeout(late)
    this.#lastMoment = this.machine.disks.moments.length - 1
    return new EndedRun(this, ended)
  }

  signal(signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL') this.wasKilled = true
    this.started.child.kill(signal)
  }

  get moments(): readonly Moment[] {
    const { moments } = this.machine.disks
    return moments.slice(this.#firstMoment, (this.#lastMoment ?? moments.length - 1) + 1)
  }
}

export class EndedRun {
  readonly run: AgentRun
  readonly result: Run
  readonly answer: Answered | undefined
  readonly error: ErrorDocument | undefined

  constructor(run: AgentRun, result: Run) {
    this.run = run
    this.result = result
    if (result.exitCode === 0) this.answer = JSON.parse(result.output) as Answered
    else if (result.output !== '') this.error = (JSON.parse(result.output) as { error: ErrorDocument }).error
  }

  /** By a fault inside of it, or because nobody knows why. */
  get hasDied(): boolean {
    return this.result.signal !== null && !this.run.wasKilled
  }

  get code(): ErrorCode | undefined {
    const code: unknown = this.error?.code
    return isErrorCode(code) ? code : undefined
  }

  get goesOn(): boolean {
    return this.result.messages.includes('goes on with the session that an earlier run has begun')
  }

  get wasCommitted(): boolean {
    return this.result.messages.includes('has become a point meanwhile')
  }
}
