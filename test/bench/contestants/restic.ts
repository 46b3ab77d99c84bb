import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from '../../fixtures/tool.ts'
import type { Command } from '../measure.ts'
import type { Arena, Contestant, Step, Way } from './contestant.ts'

/** restic as it is used by default: repository version 2, compression `auto`, its cache kept between runs. */
export function restic(arena: Arena): Contestant {
  const directory = join(arena.directory, 'restic')
  const repository = join(directory, 'repository')
  const env = {
    ...process.env,
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: 'benchmark, not a secret',
    RESTIC_CACHE_DIR: join(directory, 'cache'),
  }
  const run = (...args: string[]): Command => ({ program: 'restic', args: ['--quiet', ...args], env })
  const dumpTarget = join(arena.restoreDirectory, 'dumped.img')
  const dump: Command = {
    program: 'sh',
    args: ['-c', 'exec restic --quiet dump latest "$1" > "$2"', 'sh', arena.imagePath, dumpTarget],
    env,
  }
  const ways: Readonly<Record<Step, readonly Way[]>> = {
    full: [{ name: 'backup', command: run('backup', arena.imagePath) }],
    rescan: [{ name: 'backup --force', command: run('backup', '--force', arena.imagePath) }],
    restore: [
      { name: 'restore', command: run('restore', 'latest', '--target', arena.restoreDirectory) },
      { name: 'dump', command: dump },
    ],
    changed: [{ name: 'backup', command: run('backup', arena.imagePath) }],
  }
  return {
    name: 'restic',
    repository,
    prepare: async () => {
      await rm(directory, { recursive: true, force: true })
      await mkdir(directory, { recursive: true })
      await runTool('restic', ['--quiet', 'init', '--repository-version', '2'], { env })
    },
    ways: (step) => ways[step],
    restoredPath: (restored, way) => (way === 'dump' ? dumpTarget : join(restored, arena.imagePath)),
  }
}
