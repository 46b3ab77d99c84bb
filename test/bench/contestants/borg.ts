import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { runTool } from '../../fixtures/tool.ts'
import type { Command } from '../measure.ts'
import type { Arena, Contestant, Step, Way } from './contestant.ts'

/**
 * borg as it is advised for disk images: a fixed chunker, here of 4 MiB, holes detected. zstd 3, and encrypted, as
 * the others are (repokey-blake2, its fastest).
 */
export function borg(arena: Arena): Contestant {
  const directory = join(arena.directory, 'borg')
  const repository = join(directory, 'repository')
  const image = basename(arena.imagePath)
  const env = {
    ...process.env,
    BORG_REPO: repository,
    BORG_PASSPHRASE: 'benchmark, not a secret',
    // Cache, configuration and its notes on repositories.
    BORG_BASE_DIR: join(directory, 'base'),
  }
  const create = (archive: string, ...options: string[]): Command => ({
    program: 'borg',
    args: [
      'create',
      '--chunker-params',
      'fixed,4194304',
      '--sparse',
      '-C',
      'zstd,3',
      ...options,
      `::${archive}`,
      image,
    ],
    directory: dirname(arena.imagePath),
    env,
  })
  const extract: Command = {
    program: 'borg',
    args: ['extract', '--sparse', '::full', image],
    directory: arena.restoreDirectory,
    env,
  }
  const ways: Readonly<Record<Step, readonly Way[]>> = {
    full: [{ name: 'create', command: create('full') }],
    // With its cache of files it would not read the image at all.
    rescan: [{ name: 'create --files-cache disabled', command: create('again', '--files-cache', 'disabled') }],
    restore: [{ name: 'extract --sparse', command: extract }],
    changed: [{ name: 'create', command: create('changed') }],
  }
  return {
    name: 'borg',
    repository,
    prepare: async () => {
      await rm(directory, { recursive: true, force: true })
      await mkdir(directory, { recursive: true })
      await runTool('borg', ['init', '--encryption', 'repokey-blake2'], { env })
    },
    ways: (step) => ways[step],
    restoredPath: (restored) => join(restored, image),
  }
}
