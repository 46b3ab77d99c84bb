import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFileLifeMs } from '../limits.ts'
import { directoryError, directoryWriteError, isSystemError } from './directory-errors.ts'
import type { DirectoryPlace } from './directory-place.ts'
import { removeIfThere, temporaryDirectoryName, temporaryFilePattern } from './directory-writer.ts'

/** Removes what writers that died long ago have left in the temporary directory. Where we may not write, it stays. */
export async function removeLeftOvers(place: DirectoryPlace, now: () => Promise<number>): Promise<void> {
  const names = await leftOvers(place)
  if (names.length === 0) return
  try {
    const nowMs = await now()
    for (const name of names) {
      const path = join(place.pathOf(temporaryDirectoryName), name)
      const modifiedMs = await modifiedMsOf(path)
      if (modifiedMs !== undefined && nowMs - modifiedMs > temporaryFileLifeMs) await removeIfThere(path)
    }
  } catch (error) {
    const coded = directoryWriteError(error, `removing left-over files in ${place.description}`)
    if (coded.code !== 'E_STORE_READ_ONLY' && coded.code !== 'E_STORE_FULL') throw coded
  }
}

async function leftOvers(place: DirectoryPlace): Promise<string[]> {
  try {
    const names = await readdir(place.pathOf(temporaryDirectoryName))
    return names.filter((name) => temporaryFilePattern.test(name))
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'EACCES')) return []
    throw directoryError(error, `looking for left-over files in ${place.description}`)
  }
}

async function modifiedMsOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}
