import { glob, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '@strata/shared/clock.ts'
import { runTool } from '../fixtures/tool.ts'
import { AgentMachine, type AgentRun } from './agent-machine.ts'
import { Chance } from './chance.ts'
import type { Fault, Round, Victim, When } from './scenario.ts'
import type { World } from './world.ts'

type Environment = Readonly<Record<string, string>>

/** Faults of one round on their way: what strikes when it is time, and what must be over before the round is. */
export class Strike {
  readonly clones: AgentRun[] = []
  struck = 0
  readonly #world: World
  readonly #faults: readonly Fault[]
  readonly #underWay = new Set<Promise<void>>()
  readonly #over = new AbortController()

  constructor(world: World, { faults }: Round) {
    this.#world = world
    this.#faults = faults
  }

  /** What a process of the round's begins with. */
  insideOfServer(index: number): Environment {
    return this.#inside('service', (whom) => typeof whom === 'object' && 'server' in whom && whom.server === index)
  }

  insideOfAgent(index: number): Environment {
    return this.#inside('agents', (whom) => typeof whom === 'object' && 'agent' in whom && whom.agent === index)
  }

  #inside(clocks: 'agents' | 'service', isIt: (whom: Victim) => boolean): Environment {
    const die = this.#faults.find((fault) => fault.kind === 'die' && isIt(fault.whom))
    const clock = this.#faults.find((fault) => fault.kind === 'clock' && fault.whom === clocks)
    if (die === undefined && clock === undefined) return {}
    const told = {
      ...(die?.kind === 'die' ? { die: die.at } : {}),
      ...(clock?.kind === 'clock' ? { clock: { afterMs: clock.afterMs, shiftMs: clock.shiftMs } } : {}),
    }
    return { STRATA_FAULTS: JSON.stringify(told) }
  }

  /** Before the agents begin. */
  async prepare(): Promise<void> {
    const { gateways, storeLink } = this.#world
    gateways.spoil(this.#faults.flatMap((fault) => (fault.kind === 'network' ? fault : [])))
    storeLink?.spoil(this.#faults.flatMap((fault) => (fault.kind === 'store' ? fault : [])))
    for (const fault of this.#faults) {
      if (fault.kind === 'full disk') await this.#world.leaveFree(fault.freeBytes)
      if (fault.kind === 'torn journal') await tearJournal(this.#machine(fault.agent), fault.keepThousandth)
      if (fault.kind === 'lost digests') await loseDigests(this.#machine(fault.agent))
    }
  }

  /** When the agents have begun. */
  begin(): void {
    for (const fault of this.#faults) {
      if (fault.kind === 'kill') this.#when(fault.when, () => this.#kill(fault.whom, fault.backAfterMs))
      if (fault.kind === 'pause') this.#when(fault.when, () => this.#pause(fault.whom, fault.forMs))
      if (fault.kind === 'write')
        for (const ms of fault.afterMs) this.#when({ afterMs: ms }, () => this.#write(fault.agent))
      if (fault.kind === 'clone') this.#when({ afterMs: fault.afterMs }, () => this.#clone(fault))
    }
  }

  /** Nothing of it strikes any more, and all that was stopped goes on. */
  async end(): Promise<void> {
    this.#over.abort()
    await Promise.all(this.#underWay)
    this.#world.gateways.heal()
    this.#world.storeLink?.heal()
    await this.#world.leaveFree(undefined)
  }

  #when(when: When, act: () => Promise<void>): void {
    if ('afterMs' in when) {
      this.#do(when.afterMs, act)
      return
    }
    this.#world.gateways.at(when.event, when.nth, () => {
      this.#do(when.delayMs, act)
    })
  }

  #do(afterMs: number, act: () => Promise<void>): void {
    const { signal } = this.#over
    const doing = systemClock.sleep(afterMs, signal).then(
      async () => {
        this.struck += 1
        await act()
      },
      (error: unknown) => {
        if (!signal.aborted) throw error
      },
    )
    const noted = doing.finally(() => this.#underWay.delete(noted))
    this.#underWay.add(noted)
  }

  async #kill(whom: Victim, backAfterMs: number): Promise<void> {
    if (whom === 'everything') {
      for (const { run } of this.#world.machines) run?.signal('SIGKILL')
      for (const server of this.#world.servers) server.kill(backAfterMs)
      await this.#world.killRedis(true, 0)
    } else if ('agent' in whom) this.#machine(whom.agent).run?.signal('SIGKILL')
    else if ('server' in whom) this.#world.servers[whom.server]?.kill(backAfterMs)
    else await this.#world.killRedis(whom.redis === 'loses its data', backAfterMs)
  }

  async #pause(whom: Victim, forMs: number): Promise<void> {
    await this.#signal(whom, 'SIGSTOP')
    await systemClock.sleep(forMs)
    await this.#signal(whom, 'SIGCONT')
  }

  async #signal(whom: Victim, signal: NodeJS.Signals): Promise<void> {
    if (whom === 'everything' || 'agent' in whom) {
      const paused = whom === 'everything' ? this.#world.machines : [this.#machine(whom.agent)]
      for (const { run } of paused) run?.signal(signal)
    }
    if (whom === 'everything' || 'server' in whom) {
      const { servers } = this.#world
      for (const [index, server] of servers.entries()) {
        if (whom === 'everything' || whom.server === index) server.signal(signal)
      }
    }
    if (whom === 'everything' || 'redis' in whom) await this.#world.signalRedis(signal)
  }

  async #write(agent: number): Promise<void> {
    await this.#machine(agent).disks.writeSomething()
  }

  async #clone({ agent, sameMachine }: Extract<Fault, { kind: 'clone' }>): Promise<void> {
    const { place, machines, scenario } = this.#world
    const original = this.#machine(agent)
    const label = `${original.setName}-clone-${String(machines.length)}`
    const directory = place.file(`disks-${label}`)
    await runTool('mkdir', [directory])
    // What the agent removes meanwhile is not copied.
    const copy = ['-a', original.stateDirectory, place.file(`machine-${label}`)]
    await runTool('cp', copy, { goodExitCodes: [0, 1] })
    const disks = await original.disks.clone(directory, new Chance(`clone of ${String(scenario.seed)}`).part(label))
    await disks.writeSomething()
    const machineId = sameMachine ? original.setName : `${original.setName}-other`
    const clone = new AgentMachine(place, label, disks, original.setName, machineId)
    machines.push(clone)
    this.clones.push(clone.start(false, {}))
  }

  #machine(agent: number): AgentMachine {
    const machine = this.#world.machines[agent]
    if (machine === undefined) throw new Error(`there is no agent ${String(agent)}`)
    return machine
  }
}

/** What was written last did not reach the disk. */
async function tearJournal({ stateDirectory }: AgentMachine, keepThousandth: number): Promise<void> {
  for (const path of await filesIn(stateDirectory, 'runs/*/{segments,session.json}')) {
    const bytes = await readFile(path)
    await writeFile(path, bytes.subarray(0, Math.ceil((bytes.length * keepThousandth) / 1000)))
  }
}

async function loseDigests({ stateDirectory }: AgentMachine): Promise<void> {
  await rm(join(stateDirectory, 'sets'), { recursive: true, force: true })
}

async function filesIn(directory: string, pattern: string): Promise<string[]> {
  const names = await Array.fromAsync(glob(pattern, { cwd: directory }))
  return names.map((name) => join(directory, name))
}
