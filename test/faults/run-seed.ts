import { systemClock } from '@strata/shared/clock.ts'
import { lookBack, playOut, unlock } from './last-look.ts'
import { play, Played } from './play.ts'
import type { Scenario } from './scenario.ts'
import { World, type Surroundings } from './world.ts'

/** What came of a scenario. */
export interface SeedReport {
  readonly seed: number
  /** Empty: everything was as it must be. */
  readonly problems: readonly string[]
  readonly durationMs: number
  readonly points: number
  readonly runs: number
  readonly succeeded: number
  readonly resumed: number
  /** Faults that came to pass. */
  readonly struck: number
  /** What was acknowledged in one run, and not sent again in the next. */
  readonly acknowledgedBytes: number
  /** Where its files are, when they were to be kept. */
  readonly directory: string | undefined
}

/** Plays a scenario to its end, and looks at what is left. @param keep leaves its files where something was wrong */
export async function runScenario(scenario: Scenario, surroundings: Surroundings, keep: boolean): Promise<SeedReport> {
  const startedMs = systemClock.monotonicMs()
  const world = await World.make(scenario, surroundings)
  const played = new Played()
  let points = 0
  try {
    const store = await world.openStore()
    const tenant = await unlock(world, store)
    await play(world, tenant.repository, played)
    await playOut(world, tenant.repository, played)
    points = (await lookBack(world, tenant, played)).length
    await store.close()
  } catch (error) {
    world.problems.push(
      `the scenario could not be played to its end: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    )
  }
  played.struck += world.died + world.gateways.spoiled + (world.storeLink?.spoiled ?? 0)
  await world.endProcesses()
  const isKept = keep && world.problems.length > 0
  if (!isKept) await world[Symbol.asyncDispose]()
  const { runs, succeeded, resumed, struck, acknowledgedBytes } = played
  const { seed } = scenario
  const directory = isKept ? world.place.directory.path : undefined
  const durationMs = systemClock.monotonicMs() - startedMs
  return {
    seed,
    problems: world.problems,
    durationMs,
    points,
    runs,
    succeeded,
    resumed,
    struck,
    acknowledgedBytes,
    directory,
  }
}
