import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runTool } from '../../fixtures/tool.ts'
import { strataPath } from '../../fixtures/strata-program.ts'
import type { Command } from '../measure.ts'
import type { ProcessPeak } from '../process-tree.ts'
import type { Arena, Contestant, Step, Way } from './contestant.ts'

const setName = 'bench'

/** A repository of strata's own, and the commands that work on it. Also used where there is nobody to compare with. */
export class StrataRepository {
  readonly directory: string
  readonly #storeUrl: string
  readonly #env: NodeJS.ProcessEnv

  /** @param store where the repository is not a directory: its URL, and the variables that open it */
  constructor(directory: string, store?: { readonly url: string; readonly env: Readonly<Record<string, string>> }) {
    this.directory = directory
    this.#storeUrl = store?.url ?? pathToFileURL(this.storeDirectory).href
    this.#env = { ...process.env, ...store?.env }
    // A private Redis is part of what is measured.
    delete this.#env['STRATA_REDIS_URL']
  }

  get storeDirectory(): string {
    return join(this.directory, 'store')
  }

  async create(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
    await mkdir(this.directory, { recursive: true })
    const { program, args, env } = this.command('init', '--tenant', 'bench')
    await runTool(program, args, { env })
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }

  backup(imagePath: string): Command {
    return this.command('backup', `disk=${imagePath}`, '--set', setName)
  }

  restore(target: string): Command {
    return this.command('restore', `latest:${setName}`, '--to', target)
  }

  command(...args: string[]): Command {
    const variables = {
      STRATA_STORE: this.#storeUrl,
      STRATA_STATE: join(this.directory, 'state'),
      STRATA_PASSPHRASE: 'benchmark, not a secret',
    }
    return { program: strataPath, args: [...args, '--json'], env: { ...this.#env, ...variables } }
  }
}

export function strata(arena: Arena): Contestant {
  const repository = new StrataRepository(join(arena.directory, 'strata'))
  const restoredPath = (directory: string): string => join(directory, 'disk.img')
  const command = (step: Step): Command =>
    step === 'restore' ? repository.restore(restoredPath(arena.restoreDirectory)) : repository.backup(arena.imagePath)
  return {
    name: 'strata',
    repository: repository.storeDirectory,
    prepare: () => repository.create(),
    ways: (step): Way[] => [{ name: step === 'restore' ? 'restore' : 'backup', command: command(step) }],
    restoredPath,
  }
}

/** Peak resident memory of each part of a `strata` command. */
export interface StrataMemory {
  /** The process of the command: the agent side of a backup, all of a restore. */
  readonly commandBytes: number
  /** Only from a checkout with an older Node: it waits for the command. */
  readonly launcherBytes: number
  readonly serviceBytes: number
  readonly redisBytes: number
}

export function strataMemory(peaks: readonly ProcessPeak[]): StrataMemory {
  const service = peaks.filter(({ command }) => command.includes('service-process.ts'))
  const redis = peaks.filter(({ command }) => command.includes('redis-server'))
  const rest = peaks.filter((peak) => !service.includes(peak) && !redis.includes(peak))
  const program = rest.filter(({ command }) => command.includes('cli/main.ts'))
  const launched = program.length > 0
  return {
    commandBytes: sumOf(launched ? program : rest),
    launcherBytes: launched ? sumOf(rest.filter((peak) => !program.includes(peak))) : 0,
    serviceBytes: sumOf(service),
    redisBytes: sumOf(redis),
  }
}

function sumOf(peaks: readonly ProcessPeak[]): number {
  return peaks.reduce((sum, { peakBytes }) => sum + peakBytes, 0)
}
