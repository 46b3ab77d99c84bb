import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { projectRoot } from '../fixtures/real-files.ts'
import { strataPath } from '../fixtures/strata-program.ts'
import { runTool } from '../fixtures/tool.ts'
import { missingPrograms } from '../servers/processes.ts'

export interface Machine {
  readonly system: string
  readonly processor: string
  readonly cores: number
  readonly memoryBytes: number
  /** File system of the working directory. */
  readonly fileSystem: string
  /** Of one minute, before the first measurement: 0 on a quiet machine. */
  readonly loadAtStart: number
  readonly versions: Readonly<Record<string, string>>
}

export async function describeMachine(workDirectory: string): Promise<Machine> {
  return {
    system: `${await distribution()}, Linux ${release()}`,
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    fileSystem: await firstLine('findmnt', ['--noheadings', '--output', 'FSTYPE', '--target', workDirectory]),
    loadAtStart: loadavg()[0] ?? 0,
    versions: {
      strata: `${await firstLine(strataPath, ['--version'])}${await revision()}`,
      node: process.version,
      restic: await versionOf('restic', ['version']),
      borg: await versionOf('borg', ['--version']),
      redis: /v=(\S+)/.exec(await firstLine('redis-server', ['--version']))?.[1] ?? 'unknown',
    },
  }
}

async function distribution(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'unknown distribution'
}

async function firstLine(program: string, args: readonly string[]): Promise<string> {
  const { output } = await runTool(program, args, { directory: projectRoot })
  return output.trim().split('\n')[0] ?? ''
}

/** Parts that have no contestants need none. */
async function versionOf(program: string, args: readonly string[]): Promise<string> {
  return missingPrograms([program]).length > 0 ? 'not here' : await firstLine(program, args)
}

/** Empty where the sources do not come from git. */
async function revision(): Promise<string> {
  const { exitCode, output } = await runTool('git', ['-C', join(projectRoot), 'describe', '--always', '--dirty'], {
    goodExitCodes: [0, 128],
  })
  return exitCode === 0 ? ` (${output.trim()})` : ''
}
