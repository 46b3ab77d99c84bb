import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../fixtures/real-files.ts'
import type { StrataRepository } from '../contestants/strata.ts'
import type { BenchImage } from '../images.ts'
import { measure, warmUp, type Command } from '../measure.ts'

/** Where the CPU time of a command goes, of all its threads together. */
export interface ProfileSummary {
  readonly command: string
  readonly seconds: number
  readonly threads: number
  readonly cpuSeconds: number
  /** Functions with the most time of their own; native code counts for the function that calls it. */
  readonly functions: readonly { readonly name: string; readonly seconds: number }[]
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const functionsShown = 20
/** Functions in which a thread waits for work: piscina's waits in an atomic. */
const waiting = /^(\(idle\)$|atomicsWaitLoop )/

/** A full backup and a restore with V8's sampling profiler in every thread; it makes them somewhat slower. */
export async function profileCommands(
  repository: StrataRepository,
  image: BenchImage,
  directory: string,
  signal: AbortSignal,
): Promise<ProfileSummary[]> {
  await repository.create()
  await warmUp(image.path, signal)
  const target = join(directory, 'restored.img')
  const commands = [
    { name: 'full backup', command: repository.backup(image.path) },
    { name: 'restore', command: repository.restore(target) },
  ]
  const summaries: ProfileSummary[] = []
  for (const { name, command } of commands) {
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true })
    const { seconds } = await measure(profiled(command, directory), signal)
    summaries.push({ command: name, seconds, ...(await summarise(directory)) })
  }
  await rm(directory, { recursive: true, force: true })
  await repository.remove()
  return summaries
}

function profiled(command: Command, directory: string): Command {
  const env = {
    ...command.env,
    // Without the launcher, which an older Node would run and which knows no such options.
    PATH: [dirname(process.execPath), command.env['PATH'] ?? ''].join(delimiter),
    NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}`,
  }
  return { ...command, env }
}

async function summarise(directory: string): Promise<Pick<ProfileSummary, 'threads' | 'cpuSeconds' | 'functions'>> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.cpuprofile'))
  const seconds = new Map<string, number>()
  for (const name of names) {
    addSelfSeconds(JSON.parse(await readFile(join(directory, name), 'utf8')) as CpuProfile, seconds)
  }
  const functions = [...seconds].map(([name, own]) => ({ name, seconds: own })).sort((a, b) => b.seconds - a.seconds)
  const cpuSeconds = functions.reduce((sum, one) => sum + one.seconds, 0)
  return { threads: names.length, cpuSeconds, functions: functions.slice(0, functionsShown) }
}

function addSelfSeconds({ nodes, samples, timeDeltas }: CpuProfile, seconds: Map<string, number>): void {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, functionName(callFrame)]))
  samples.forEach((id, index) => {
    const name = names.get(id) ?? '(unknown)'
    if (waiting.test(name)) return
    seconds.set(name, (seconds.get(name) ?? 0) + (timeDeltas[index] ?? 0) / 1e6)
  })
}

function functionName({ functionName: name, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const shown = name === '' ? '(anonymous)' : name
  if (url === '') return shown
  const path = url.startsWith('file:') ? fileURLToPath(url).replace(`${projectRoot}/`, '') : url
  return `${shown} ${path}:${String(lineNumber + 1)}`
}
