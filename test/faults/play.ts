import type { Repository } from '@strata/shared/repository/repository.ts'
import type { AgentMachine, AgentRun, EndedRun } from './agent-machine.ts'
import { briefly, mayBegin, mustSucceed, problemsOfRun } from './judge.ts'
import { owedOf, readJournal, type Journal } from './journal.ts'
import { runMsMax } from './limits.ts'
import type { Moment } from './moments.ts'
import type { Fault, Round } from './scenario.ts'
import { Strike } from './strike.ts'
import type { World } from './world.ts'

/** What is known of the points of a scenario while it is played. */
export class Played {
  /** Points that an agent was told of, and what their disks may hold. */
  readonly told = new Map<string, { readonly machine: AgentMachine; readonly moments: readonly Moment[] }>()
  runs = 0
  succeeded = 0
  resumed = 0
  struck = 0
  acknowledgedBytes = 0
}

/** Plays the rounds of a scenario. Everything that was killed is there again at the end of each. */
export async function play(world: World, repository: Repository, played: Played): Promise<void> {
  const past: Fault[] = []
  for (const [index, round] of world.scenario.rounds.entries()) {
    for (const [agent, changes] of round.changes.entries()) {
      for (const change of changes) await world.machines[agent]?.disks.change(change)
    }
    const strike = new Strike(world, round)
    const isFirst = index === 0
    if (isFirst) await world.beginServers(world.servers.map((_, server) => strike.insideOfServer(server)))
    else await restartWith(world, strike)
    past.push(...round.faults)
    await playRound(world, repository, played, { round, strike, past })
  }
}

/** Only servers that are to fail by themselves begin anew; the others go on as they are. */
async function restartWith(world: World, strike: Strike): Promise<void> {
  for (const [index, server] of world.servers.entries()) {
    const faults = strike.insideOfServer(index)
    if (Object.keys(faults).length === 0) continue
    await server.end('SIGTERM')
    server.begin(faults)
  }
  await world.untilReady()
}

interface Playing {
  readonly round: Round
  readonly strike: Strike
  /** All faults up to now, those of this round among them. */
  readonly past: readonly Fault[]
}

async function playRound(world: World, repository: Repository, played: Played, at: Playing): Promise<void> {
  const { round, strike, past } = at
  const { scenario, machines } = world
  const originals = machines.slice(0, scenario.agents.length)
  await strike.prepare()
  const journals = await Promise.all(originals.map((machine) => journalOf(machine)))
  const runs = originals.map((machine, index) => {
    return machine.start(round.full[index] === true, strike.insideOfAgent(index))
  })
  strike.begin()
  const ended = await Promise.all(runs.map((run) => run.ended(runMsMax)))
  await strike.end()
  const cloned = await Promise.all(strike.clones.map((run) => run.ended(runMsMax)))
  await world.untilReady()
  played.struck += strike.struck + ended.filter((run) => run.hasDied).length
  for (const [index, run] of ended.entries()) {
    world.problems.push(...problemsOfRun(run, mustSucceed(scenario, round, index)))
    note(played, run)
    const journal = journals[index]
    if (journal === undefined || round.full[index] === true) continue
    world.problems.push(
      ...problemsOfResume(repository, played, run, { journal, mayBegin: mayBegin(scenario, past, index) }),
    )
  }
  for (const run of cloned) {
    world.problems.push(...problemsOfRun(run, false), ...problemsOfClone(run))
    note(played, run)
  }
}

/** What was copied to another machine is no endpoint there. */
function problemsOfClone({ run, answer, code }: EndedRun): string[] {
  // Other faults may end it as they end all runs.
  const isRefused =
    answer === undefined && (code === 'E_ENDPOINT_CLONED' || code === 'E_SERVICE_UNREACHABLE' || run.wasKilled)
  if (run.machine.isWhereItEnrolled || isRefused) return []
  return [`${run.machine.label}: a clone on another machine was let in, or ended otherwise: ${String(code)}`]
}

export async function journalOf({ stateDirectory, disks }: AgentMachine): Promise<Journal | undefined> {
  return await readJournal(stateDirectory, disks.count)
}

export function note(played: Played, { run, answer, goesOn }: EndedRun): void {
  played.runs += 1
  if (goesOn) played.resumed += 1
  if (answer === undefined) return
  played.succeeded += 1
  played.told.set(answer.point, { machine: run.machine, moments: run.moments })
}

/** A run that found the journal of one before: what was acknowledged is not sent again where the view is the same. */
export function problemsOfResume(
  repository: Repository,
  played: Played,
  { run, answer, goesOn, wasCommitted, result }: EndedRun,
  before: { readonly journal: Journal; readonly mayBegin: boolean },
): string[] {
  if (answer === undefined || run.moments.length > 1) return []
  const { machine } = run
  const key = repository.digestKeysOf(repository.setIdOf(machine.setName)).block
  const base = answer.base === null ? undefined : played.told.get(answer.base.point)?.moments
  const { bytesMax, acknowledgedBytes } = owedOf(before.journal, machine.disks, key, onlyOf(base))
  if (!goesOn) {
    const isOwed = acknowledgedBytes > 0 && !wasCommitted && !before.mayBegin && isSameSize(before.journal, run)
    return isOwed
      ? [
          `${machine.label}: did not go on, though ${String(acknowledgedBytes)} bytes were acknowledged: ${briefly(result.messages)}`,
        ]
      : []
  }
  played.acknowledgedBytes += acknowledgedBytes
  if (answer.passes > 1 || answer.changedBytes <= bytesMax) return []
  return [
    `${machine.label}: sent ${String(answer.changedBytes)} bytes, and at most ${String(bytesMax)} were missing: ${briefly(result.messages)}`,
  ]
}

function onlyOf(moments: readonly Moment[] | undefined): Moment | undefined {
  return moments?.length === 1 ? moments[0] : undefined
}

/** A session of disks that have another size now is given up. */
function isSameSize({ sizes }: Journal, { machine }: AgentRun): boolean {
  return machine.disks.now.disks.every(({ sizeBytes }, disk) => sizes[disk] === sizeBytes)
}
