import { readdir, lstat } from 'node:fs/promises'
import type { Dirent } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.ts'
import { directoryStatsInFlightMax } from '../limits.ts'
import { isSystemError } from './directory-errors.ts'
import { compareNames, isObjectName } from './object-names.ts'
import type { ObjectInfo } from './object-store.ts'

/** One thing found while walking: a directory's name ends in a slash, which also puts it in its place in the order. */
interface Found {
  readonly name: string
  readonly isDirectory: boolean
}

export interface DirectoryWalk {
  readonly root: string
  readonly prefix: string
  readonly startAfter: string
  /** Tells of every directory that is read; it does the reading. */
  readonly readOne: <Result>(read: () => Promise<Result>) => Promise<Result>
}

/**
 * The objects below `root` in ascending order of their names' bytes. One directory's names are held at a time for each
 * level of the tree, never the whole tree. What disappears meanwhile is left out.
 */
export async function* walkDirectory(walk: DirectoryWalk): AsyncGenerator<ObjectInfo> {
  const top = walk.prefix.slice(0, walk.prefix.lastIndexOf('/') + 1)
  // Each level's names still to be visited, last first.
  const levels: Found[][] = [(await readLevel(walk, top)).reverse()]
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const found = level.at(-1)
    if (found === undefined) {
      levels.pop()
    } else if (found.isDirectory) {
      level.pop()
      levels.push((await readLevel(walk, found.name)).reverse())
    } else {
      yield* await lookAt(walk.root, takeFiles(level))
    }
  }
}

/** The directories directly below the prefix, in ascending order. */
export async function* directoriesIn(walk: DirectoryWalk): AsyncGenerator<string> {
  for (const { name, isDirectory } of await readLevel(walk, walk.prefix)) {
    if (isDirectory && name > walk.startAfter) yield name
  }
}

/** Takes the next files off the end of a level, up to a batch or to the next directory. */
function takeFiles(level: Found[]): string[] {
  const names: string[] = []
  while (names.length < directoryStatsInFlightMax) {
    const found = level.at(-1)
    if (found === undefined || found.isDirectory) break
    names.push(found.name)
    level.pop()
  }
  return names
}

async function lookAt(root: string, names: readonly string[]): Promise<ObjectInfo[]> {
  const infos = await Promise.all(names.map(async (name) => await objectInfo(root, name)))
  return infos.filter((info) => info !== undefined)
}

/** undefined when no plain file is there. */
export async function objectInfo(root: string, name: string): Promise<ObjectInfo | undefined> {
  try {
    const stats = await lstat(join(root, name))
    if (stats.isSymbolicLink()) throw linkError(name)
    if (!stats.isFile()) return undefined
    return { name, sizeBytes: stats.size, modifiedMs: Math.floor(stats.mtimeMs) }
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

async function readLevel(walk: DirectoryWalk, directory: string): Promise<Found[]> {
  const entries = await walk.readOne(async () => await readEntries(join(walk.root, directory)))
  const found: Found[] = []
  for (const entry of entries) {
    const name = directory + entry.name
    if (!isObjectName(name)) continue
    if (entry.isSymbolicLink() && mayHold(walk, `${name}/`)) throw linkError(name)
    if (entry.isDirectory() && mayHold(walk, `${name}/`)) found.push({ name: `${name}/`, isDirectory: true })
    if (entry.isFile() && name.startsWith(walk.prefix) && name > walk.startAfter)
      found.push({ name, isDirectory: false })
  }
  return found.sort((a, b) => compareNames(a.name, b.name))
}

async function readEntries(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

/** Whether a wanted object can lie in `directory`, whose name ends in a slash. */
function mayHold(walk: DirectoryWalk, directory: string): boolean {
  const matches = directory.startsWith(walk.prefix) || walk.prefix.startsWith(directory)
  return matches && (directory > walk.startAfter || walk.startAfter.startsWith(directory))
}

export function linkError(name: string): StrataError {
  return new StrataError('E_STORE_LINK', `${name} in the store is, or lies behind, a symbolic link`)
}
