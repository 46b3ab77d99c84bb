import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from '../../fixtures/tool.ts'
import { stepTitles, type Arena, type Contestant, type Step, type Way } from '../contestants/contestant.ts'
import { changeScattered, type BenchImage } from '../images.ts'
import { measure, warmUp, type Measurement } from '../measure.ts'
import type { SpeedResult } from '../results.ts'

const changedPart = 0.02

export interface SpeedRun {
  readonly image: BenchImage
  readonly arena: Arena
  readonly contestants: readonly Contestant[]
  readonly steps: readonly Step[]
  readonly runs: number
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

interface Taken {
  readonly way: string
  readonly measurement: Measurement
  readonly storedBytes: number | undefined
}

/**
 * Every step by every contestant, in turns: what slows the machine down for a while hits all of them. Who begins
 * changes with each repetition. What was restored is compared with the image in the first one.
 */
export class SpeedMeasurement {
  readonly #run: SpeedRun
  readonly #taken = new Map<string, Taken[]>()
  readonly #fastest = new Map<string, Way>()

  constructor(run: SpeedRun) {
    this.#run = run
  }

  async run(): Promise<void> {
    const { contestants, steps, image, runs } = this.#run
    for (let repetition = 0; repetition < runs; repetition += 1) {
      for (const contestant of contestants) await contestant.prepare()
      for (const step of steps) {
        if (step === 'changed') await changeScattered(image, changedPart, repetition)
        for (const contestant of rotated(contestants, repetition)) {
          await this.#takeWays(contestant, step, repetition === 0)
        }
      }
    }
    for (const { repository } of contestants) await rm(repository, { recursive: true, force: true })
  }

  /** Of what was measured so far, also when the run has failed. */
  results(): SpeedResult[] {
    const { contestants, steps } = this.#run
    return steps.flatMap((step) =>
      contestants.flatMap(({ name }) => {
        const way = this.#fastest.get(keyOf(step, name))
        const taken = this.#taken.get(keyOf(step, name)) ?? []
        return way === undefined ? [] : [summary(step, name, way.name, taken)]
      }),
    )
  }

  async #takeWays(contestant: Contestant, step: Step, first: boolean): Promise<void> {
    const key = keyOf(step, contestant.name)
    const chosen = this.#fastest.get(key)
    const taken = this.#taken.get(key) ?? []
    for (const way of chosen === undefined ? contestant.ways(step) : [chosen]) {
      const one = await takeStep(this.#run, contestant, step, way, first)
      taken.push(one)
      const { seconds, othersCpuSeconds } = one.measurement
      const noise = `others took ${othersCpuSeconds.toFixed(1)} s of CPU`
      this.#run.say(`${stepTitles[step]}, ${contestant.name} ${way.name}: ${seconds.toFixed(2)} s (${noise})`)
    }
    this.#taken.set(key, taken)
    this.#fastest.set(key, fastestWay(contestant.ways(step), taken))
  }
}

function keyOf(step: Step, contestant: string): string {
  return `${step} ${contestant}`
}

async function takeStep(run: SpeedRun, contestant: Contestant, step: Step, way: Way, compare: boolean): Promise<Taken> {
  const { image, arena, signal } = run
  await rm(arena.restoreDirectory, { recursive: true, force: true })
  await mkdir(arena.restoreDirectory, { recursive: true })
  await warmUp(image.path, signal)
  const measurement = await measure(way.command, signal)
  if (step !== 'restore') {
    return { way: way.name, measurement, storedBytes: await bytesBelow(contestant.repository) }
  }
  const restored = contestant.restoredPath(arena.restoreDirectory, way.name)
  if (compare) await runTool('cmp', [restored, image.path], { signal })
  await rm(arena.restoreDirectory, { recursive: true, force: true })
  return { way: way.name, measurement, storedBytes: undefined }
}

function fastestWay(ways: readonly Way[], taken: readonly Taken[]): Way {
  const [first] = taken.toSorted((a, b) => a.measurement.seconds - b.measurement.seconds)
  const way = ways.find(({ name }) => name === first?.way)
  if (way === undefined) throw new Error('a step has no way')
  return way
}

function summary(step: Step, contestant: string, way: string, all: readonly Taken[]): SpeedResult {
  const counted = all.filter((one) => one.way === way)
  const peaks = counted.map(({ measurement }) => measurement.peaks.reduce((sum, { peakBytes }) => sum + peakBytes, 0))
  return {
    step,
    contestant,
    way,
    seconds: counted.map(({ measurement }) => measurement.seconds),
    cpuSeconds: counted.map(({ measurement }) => measurement.cpuSeconds),
    othersCpuSeconds: counted.map(({ measurement }) => measurement.othersCpuSeconds),
    peakBytes: Math.max(0, ...peaks),
    storedBytes: counted.flatMap(({ storedBytes }) => (storedBytes === undefined ? [] : [storedBytes])),
    slowerWays: all.filter((one) => one.way !== way).map((one) => ({ way: one.way, seconds: one.measurement.seconds })),
  }
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = by % Math.max(1, items.length)
  return [...items.slice(start), ...items.slice(0, start)]
}

/** Sum of the sizes of all files. */
export async function bytesBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  let bytes = 0
  for (const entry of entries) if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}
