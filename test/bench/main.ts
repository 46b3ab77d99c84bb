/** `npm run bench`: strata against restic and borg, in turns, on one machine. docs/benchmarks.md says how and why. */
import { mkdir, mkdtemp, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { formatBytes } from '@strata/workers/cli/output/bytes.ts'
import { allocatedBytes } from '../fixtures/disk-image.ts'
import { projectRoot } from '../fixtures/real-files.ts'
import { borg } from './contestants/borg.ts'
import type { Arena } from './contestants/contestant.ts'
import { restic } from './contestants/restic.ts'
import { strata, StrataRepository } from './contestants/strata.ts'
import { buildMachineImage, buildScatteredImage, buildSparseImage, type BenchImage } from './images.ts'
import { describeMachine } from './machine.ts'
import { helpText, parseBenchOptions, speedSteps, type BenchOptions, type PartName } from './options.ts'
import { measureFleet } from './parts/fleet.ts'
import { measureLatency, type LatencyResults } from './parts/latency.ts'
import { measureManyPoints } from './parts/many-points.ts'
import { measureMemory } from './parts/memory.ts'
import { profileCommands } from './parts/profile.ts'
import { countRequests } from './parts/requests.ts'
import { measureScaling } from './parts/scaling.ts'
import { measureMount } from './parts/mount.ts'
import { measureScrub } from './parts/scrub.ts'
import { SpeedMeasurement } from './parts/speed.ts'
import { measureSynth } from './parts/synth.ts'
import { measureUneven } from './parts/uneven.ts'
import { measureUpload } from './parts/upload.ts'
import { markdownReport, terminalReport } from './report.ts'
import type {
  BenchResults,
  FleetResult,
  ManyPointsResult,
  MemoryResult,
  ScalingResult,
  MountResult,
  ScrubResult,
  SynthResult,
  UnevenResult,
  UploadResult,
} from './results.ts'
import { judge } from './targets.ts'

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const TiB = 1024 ** 4
/** The image, three repositories, a copy restored without its holes, and room for what programs keep meanwhile. */
const spacePerFileByte = 5

class Bench {
  readonly #options: BenchOptions
  readonly #directory: string
  readonly #signal: AbortSignal
  readonly #failures: string[] = []
  #image: BenchImage | undefined

  constructor(options: BenchOptions, directory: string, signal: AbortSignal) {
    this.#options = options
    this.#directory = directory
    this.#signal = signal
  }

  async run(): Promise<BenchResults> {
    const startedAt = new Date().toISOString()
    const { quick, runs } = this.#options
    const machine = await describeMachine(this.#directory)
    // First what depends most on a quiet machine.
    const { small, points } = await this.#attempt('small things', () => this.#latency(), { small: null, points: null })
    const speed = await this.#attempt('image', () => this.#speed(), [])
    const memory = await this.#attempt('memory', () => this.#memory(), [])
    const requests = await this.#attempt('requests', () => this.#requests(), [])
    const profile = await this.#attempt('profile', () => this.#profile(), [])
    const fleet = await this.#part('fleet', () => this.#fleet())
    const uneven = await this.#part('uneven', () => this.#uneven())
    const upload = await this.#part('upload', () => this.#upload())
    const scaling = (await this.#part('scaling', () => this.#scaling())) ?? []
    const synth = (await this.#part('synth', () => this.#synth())) ?? []
    const manyPoints = (await this.#part('many-points', () => this.#manyPoints())) ?? []
    const scrub = await this.#part('scrub', () => this.#scrub())
    const mount = await this.#part('mount', () => this.#mount())
    const failures = this.#failures
    const image =
      this.#image === undefined ? null : { sizeBytes: this.#image.sizeBytes, dataBytes: this.#image.dataBytes }
    const measured = {
      startedAt,
      quick,
      runs,
      machine,
      image,
      speed,
      points,
      small,
      memory,
      requests,
      profile,
      fleet,
      uneven,
      upload,
      scaling,
      synth,
      manyPoints,
      scrub,
      mount,
      failures,
    }
    return { ...measured, targets: judge(measured) }
  }

  /** What was measured before a part failed is not lost; the run ends with an error all the same. */
  async #attempt<Result>(part: string, work: () => Promise<Result>, otherwise: Result): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      this.#signal.throwIfAborted()
      const message = `${part}: ${error instanceof Error ? error.message : String(error)}`
      say(message)
      this.#failures.push(message)
      return otherwise
    }
  }

  /** Null where it is not wanted. */
  async #part<Result>(part: PartName, work: () => Promise<Result>): Promise<Result | null> {
    if (!this.#options.parts.has(part)) return null
    say(part)
    return await this.#attempt(part, work, null)
  }

  #fleet(): Promise<FleetResult> {
    const size = this.#options.quick ? { agents: 20, rounds: 2 } : { agents: 200, rounds: 5 }
    return measureFleet(this.#path('fleet'), size, this.#signal, say)
  }

  #uneven(): Promise<UnevenResult> {
    const size = this.#options.quick ? { small: 5, largeBytes: GiB / 4 } : { small: 50, largeBytes: GiB }
    return measureUneven(this.#path('uneven'), size, this.#signal)
  }

  #upload(): Promise<UploadResult> {
    const { quick, runs } = this.#options
    return measureUpload(this.#path('upload'), { diskBytes: quick ? GiB / 4 : GiB, runs }, this.#signal)
  }

  #scaling(): Promise<ScalingResult[]> {
    const diskBytes = this.#options.quick ? 16 * MiB : 128 * MiB
    return measureScaling(this.#path('scaling'), { diskBytes }, this.#signal)
  }

  #manyPoints(): Promise<ManyPointsResult[]> {
    const { quick, withS3 } = this.#options
    return measureManyPoints(this.#directory, { points: quick ? 1000 : 10_000 }, withS3, this.#signal)
  }

  async #synth(): Promise<SynthResult[]> {
    const image = await this.#machineImage()
    if (!this.#options.withS3) return await measureSynth(this.#directory, image, null, this.#signal)
    const inS3 = await this.#imageForS3(GiB)
    const results = await measureSynth(this.#directory, image, inS3, this.#signal)
    await rm(inS3.path)
    return results
  }

  /** The objects lie in memory, so a part of the data must do. */
  #imageForS3(filesBytesMax: number): Promise<BenchImage> {
    const filesBytes = Math.min(this.#options.filesBytes, filesBytesMax)
    return buildMachineImage('for S3', this.#path('s3.img'), 2 * filesBytesMax, filesBytes)
  }

  #scrub(): Promise<ScrubResult> {
    const { quick, runs } = this.#options
    return measureScrub(this.#path('scrub'), { bytes: quick ? GiB / 2 : 4 * GiB, runs }, this.#signal)
  }

  async #mount(): Promise<MountResult> {
    const { quick, runs } = this.#options
    const image = await this.#machineImage()
    const small = await buildMachineImage('small', this.#path('mount-small.img'), GiB, 100 * MiB)
    return await measureMount(this.#directory, image, small, { runs, points: quick ? 10 : 100 }, this.#signal)
  }

  async #latency(): Promise<LatencyResults> {
    const { parts } = this.#options
    const wanted = { small: parts.has('small'), points: parts.has('points') }
    if (!wanted.small && !wanted.points) return { small: null, points: null }
    say('small things')
    return await measureLatency(this.#repository(), this.#path('small.img'), wanted, this.#signal)
  }

  async #speed(): Promise<BenchResults['speed']> {
    const steps = speedSteps(this.#options.parts)
    if (steps.length === 0) return []
    const image = await this.#machineImage()
    const arena: Arena = {
      imagePath: image.path,
      directory: this.#directory,
      restoreDirectory: this.#path('restored'),
    }
    const contestants = [strata(arena), restic(arena), borg(arena)]
    const run = { image, arena, contestants, steps, runs: this.#options.runs, signal: this.#signal, say }
    const measurement = new SpeedMeasurement(run)
    await this.#attempt('speed', () => measurement.run(), undefined)
    return measurement.results()
  }

  async #memory(): Promise<MemoryResult[]> {
    if (!this.#options.parts.has('memory')) return []
    const source = await this.#machineImage()
    const scatteredBytes = this.#options.quick ? 8 * GiB : 64 * GiB
    const images: (() => Promise<BenchImage>)[] = [
      () => Promise.resolve(source),
      () => buildSparseImage('1 TiB, nearly empty', this.#path('sparse.img'), 1 * TiB, source),
      () =>
        buildScatteredImage(
          `${formatBytes(scatteredBytes)}, scattered`,
          this.#path('scattered.img'),
          scatteredBytes,
          source,
        ),
    ]
    const results: MemoryResult[] = []
    for (const make of images) {
      const image = await make()
      say(`memory: ${image.name}`)
      results.push(...(await measureMemory(this.#repository(), image, this.#directory, this.#signal)))
      if (image !== source) await rm(image.path)
    }
    return results
  }

  async #requests(): Promise<BenchResults['requests']> {
    if (!this.#options.parts.has('requests')) return []
    say('requests to S3')
    const image = await this.#imageForS3(2 * GiB)
    const results = await countRequests(this.#path('s3'), image, this.#signal)
    await rm(image.path)
    return results
  }

  async #profile(): Promise<BenchResults['profile']> {
    if (!this.#options.parts.has('profile')) return []
    const image = await this.#machineImage()
    say('profile')
    return await profileCommands(this.#repository(), image, this.#path('profile'), this.#signal)
  }

  /** Built once; with --keep and --work it is there already the next time. */
  async #machineImage(): Promise<BenchImage> {
    if (this.#image !== undefined) return this.#image
    const { filesBytes } = this.#options
    const sizeBytes = Math.ceil((filesBytes * 1.5) / GiB) * GiB
    const name = `${formatBytes(sizeBytes)}, ext4`
    const path = this.#path(`machine-${String(Math.round(filesBytes / MiB))}.img`)
    const found = await stat(path).catch(() => undefined)
    if (found?.size === sizeBytes) {
      this.#image = { name, path, sizeBytes, dataBytes: await allocatedBytes(path) }
      return this.#image
    }
    say(`building an image with ${formatBytes(filesBytes)} of programs and libraries`)
    const building = `${path}.building`
    const image = await buildMachineImage(name, building, sizeBytes, filesBytes)
    await rename(building, path)
    if (image.dataBytes < filesBytes) say(`this machine has only ${formatBytes(image.dataBytes)} of them`)
    this.#image = { ...image, path }
    return this.#image
  }

  #repository(): StrataRepository {
    return new StrataRepository(this.#path('strata-alone'))
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

async function requireSpace(directory: string, { filesBytes }: BenchOptions): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const neededBytes = filesBytes * spacePerFileByte + 4 * GiB
  if (bavail * bsize >= neededBytes) return
  throw new Error(
    `${directory} has ${formatBytes(bavail * bsize)} free and ${formatBytes(neededBytes)} are needed: see --work and --data`,
  )
}

async function writeResults(results: BenchResults, outDirectory: string): Promise<string> {
  const directory = resolve(projectRoot, outDirectory)
  await mkdir(directory, { recursive: true })
  const path = join(directory, results.startedAt.replaceAll(':', '-').replace(/\.[0-9]+Z$/, 'Z'))
  await writeFile(`${path}.json`, `${JSON.stringify(results, undefined, 2)}\n`)
  await writeFile(`${path}.md`, markdownReport(results))
  return path
}

async function runBench(options: BenchOptions, signal: AbortSignal): Promise<BenchResults> {
  if (options.workDirectory !== undefined) await mkdir(options.workDirectory, { recursive: true })
  // A folder of our own also inside --work, so that what is removed at the end is ours.
  const parent = resolve(options.workDirectory ?? tmpdir())
  const directory = options.keep ? join(parent, 'strata-bench') : await mkdtemp(join(parent, 'strata-bench-'))
  await mkdir(directory, { recursive: true })
  try {
    await requireSpace(directory, options)
    const results = await new Bench(options, directory, signal).run()
    const path = await writeResults(results, options.outDirectory)
    process.stdout.write(`${terminalReport(results)}\nWritten: ${path}.json and .md\n`)
    return results
  } finally {
    if (options.keep) say(`kept: ${directory}`)
    else await rm(directory, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  const options = parseBenchOptions(process.argv.slice(2))
  if (options.help) {
    process.stdout.write(helpText)
    return 0
  }
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      interruption.abort(new Error(`interrupted (${signal})`))
    })
  }
  const { failures } = await runBench(options, interruption.signal)
  return failures.length === 0 ? 0 : 1
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  return 1
})
