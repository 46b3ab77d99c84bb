import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RecentlyUsed } from '../format/recently-used.ts'
import { durableDirectoriesKnownMax } from '../limits.ts'
import { isSystemError } from './directory-errors.ts'
import { syncDirectory } from './directory-files.ts'

/**
 * Makes names survive a power cut, and remembers of directories that theirs do: each sync waits for the disk, and most
 * objects lie where others were put a moment ago.
 */
export class DurableDirectories {
  readonly #root: string
  /** What each was when it, and all above it, had been synced into the directory above. */
  readonly #known = new RecentlyUsed<string, string>(durableDirectoriesKnownMax)

  constructor(root: string) {
    this.#root = root
  }

  /** Of what was put into `directory` or found there, whoever made the directories above it. */
  async sync(directory: string): Promise<void> {
    await syncIfThere(directory)
    const synced: (readonly [string, string])[] = []
    for (let made = directory; made !== this.#root; made = dirname(made)) {
      // Before its name is synced: should it be made anew meanwhile, what is remembered is the one that has gone.
      const identity = await identityOf(made)
      if (identity !== undefined && this.#known.peek(made) === identity) break
      await syncIfThere(dirname(made))
      if (identity !== undefined) synced.push([made, identity])
    }
    for (const [made, identity] of synced) this.#known.set(made, identity)
  }
}

/** When the object has been deleted again already, its directory may be gone too, and nothing is left to sync. */
export async function syncIfThere(directory: string): Promise<void> {
  try {
    await syncDirectory(directory)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
}

/**
 * Tells a directory from one that is made under its name later: inode numbers are used again, with the time of birth they
 * are not. undefined: it is gone, or the file system keeps no such time.
 */
async function identityOf(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await lstat(directory, { bigint: true })
    return birthtimeNs === 0n ? undefined : `${String(dev)} ${String(ino)} ${String(birthtimeNs)}`
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}
