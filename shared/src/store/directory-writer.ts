import { constants } from 'node:fs'
import { link, lstat, open, rename, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RandomBytes } from '../clock.ts'
import { StrataError, hasCode } from '../errors.ts'
import { cachedBytesMax } from '../limits.ts'
import { dropCache } from '../system/page-cache.ts'
import { DurableDirectories } from './directory-durable.ts'
import { isSystemError } from './directory-errors.ts'
import { makeDirectory } from './directory-files.ts'
import type { WriteContent } from './directory-files.ts'
import { missingStoreError } from './directory-place.ts'
import type { DirectoryPlace } from './directory-place.ts'
import { existsError, missingError, nestedNameError } from './object-errors.ts'

/**
 * How an object comes into a directory store: written and synced under a temporary name, then given its own in one step
 * (renamed, or linked to create it only if absent), then its directory synced, and all above it that are not known to be
 * durable, since another writer may have created those and not synced them yet. For the same reason they are synced before
 * anybody is told that an object of that name exists.
 */

/** Not a possible part of an object's name, so never listed and in nobody's way. */
export const temporaryDirectoryName = '~writing'
export const temporaryFilePattern = /^(?:put|clock)-[0-9a-f]{32}$/
const temporaryRandomBytes = 16
/** How often a directory may be removed under our hands by another process, emptying it, before we give up. */
const publishAttemptsMax = 100

const noLinkCodes = ['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EXDEV'] as const

export class DirectoryWriter {
  readonly #place: DirectoryPlace
  readonly #temporary: string
  readonly #durable: DurableDirectories
  readonly #randomBytes: RandomBytes

  constructor(place: DirectoryPlace, randomBytes: RandomBytes) {
    this.#place = place
    this.#durable = new DurableDirectories(place.root)
    this.#temporary = place.pathOf(temporaryDirectoryName)
    this.#randomBytes = randomBytes
  }

  /** Whatever fails, no object is left half, and no temporary file. Throws the system's errors, too. */
  async write(name: string, content: WriteContent, ifAbsent: boolean): Promise<void> {
    const temporary = await this.writeTemporary('put', content)
    try {
      await this.#publish(temporary, name, ifAbsent)
    } catch (error) {
      // Whoever created it may have died before its name was durable, and whoever is refused will rely on it.
      if (hasCode(error, 'E_OBJECT_EXISTS')) await this.syncUpwards(name)
      throw error
    } finally {
      await removeIfThere(temporary)
    }
    await this.syncUpwards(name)
  }

  /**
   * Gives an object a second name, as durable as a write: objects never change, and each name goes by itself. False: there
   * are no (more) links here. E_OBJECT_MISSING: there is no such object.
   */
  async link(source: string, name: string): Promise<boolean> {
    const temporary = await this.#linkTemporary(source)
    if (temporary === undefined) return false
    try {
      if (!(await lstat(temporary)).isFile()) throw missingError(this.#place.description, source)
      await this.#publish(temporary, name, false)
    } finally {
      // Also where the name was one of the same file already.
      await removeIfThere(temporary)
    }
    await this.syncUpwards(name)
    return true
  }

  async #linkTemporary(source: string): Promise<string | undefined> {
    const path = this.#temporaryPath('put')
    const from = this.#place.pathOf(source)
    try {
      if (!(await this.#place.hasDirectoryOf(source))) throw missingError(this.#place.description, source)
      await this.#makeBelowRoot(this.#temporary)
      await link(from, path)
      return path
    } catch (error) {
      if (isSystemError(error, ...noLinkCodes)) return undefined
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error
      throw missingError(this.#place.description, source)
    }
  }

  #temporaryPath(purpose: 'put' | 'clock'): string {
    const random = Buffer.from(this.#randomBytes(temporaryRandomBytes)).toString('hex')
    return join(this.#temporary, `${purpose}-${random}`)
  }

  /** Makes the name of an object that is there survive a crash, whoever gave it that name. */
  async syncUpwards(name: string): Promise<void> {
    await this.#durable.sync(dirname(this.#place.pathOf(name)))
  }

  /** Writes and syncs a new file in the temporary directory; nothing of it stays if that fails. */
  async writeTemporary(purpose: 'put' | 'clock', content: WriteContent): Promise<string> {
    const path = this.#temporaryPath(purpose)
    const file = await this.#createTemporary(path)
    try {
      const bytes = await content(file)
      if (purpose === 'put') {
        await file.sync()
        if (bytes > cachedBytesMax) await dropCache(file.fd)
      }
      // Some file systems say only now that they have no room.
      await file.close()
      return path
    } catch (error) {
      await file.close().catch(() => undefined)
      await removeIfThere(path)
      throw error
    }
  }

  async #createTemporary(path: string): Promise<FileHandle> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
    try {
      await this.#place.checkNoLink(this.#temporary)
      return await open(path, flags)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
    await this.#makeBelowRoot(this.#temporary)
    return await open(path, flags)
  }

  /** Gives the finished file its name. Another process that empties a directory may remove it meanwhile: once more. */
  async #publish(temporary: string, name: string, ifAbsent: boolean): Promise<void> {
    const path = this.#place.pathOf(name)
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#makeParents(name)
        if (ifAbsent) await this.#linkNew(temporary, path, name)
        else await rename(temporary, path)
        return
      } catch (error) {
        if (isSystemError(error, 'ENOTDIR')) throw nestedNameError(name, 'one of its directories', error)
        if (isSystemError(error, 'EISDIR')) throw nestedNameError(`${name}/…`, name, error)
        if (!isSystemError(error, 'ENOENT') || attempt === publishAttemptsMax) throw error
        await this.#place.checkRoot()
      }
    }
  }

  async #linkNew(temporary: string, path: string, name: string): Promise<void> {
    try {
      await link(temporary, path)
    } catch (error) {
      if (isSystemError(error, 'EEXIST')) {
        // Over NFS a repeated request meets its own link; only we link this file.
        if ((await lstat(temporary)).nlink > 1) return
        if (await isDirectory(path)) throw nestedNameError(`${name}/…`, name, error)
        throw existsError(this.#place.description, name, error)
      }
      throw isSystemError(error, ...noLinkCodes) ? noLinksError(this.#place.description, error) : error
    }
  }

  async #makeParents(name: string): Promise<void> {
    const parent = dirname(this.#place.pathOf(name))
    try {
      await this.#place.checkNoLink(parent)
      return
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error
    }
    const parts = name.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const directory = join(this.#place.root, ...parts.slice(0, depth))
      await makeDirectory(directory)
      await this.#place.checkNoLink(directory)
    }
  }

  async #makeBelowRoot(directory: string): Promise<void> {
    try {
      await makeDirectory(directory)
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) throw missingStoreError(this.#place.description, error)
      throw error
    }
    await this.#place.checkNoLink(directory)
  }
}

export async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
}

export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory()
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    throw error
  }
}

function noLinksError(description: string, cause: unknown): StrataError {
  return new StrataError('E_STORE_UNCONDITIONAL', `the file system of ${description} refused a hard link`, {
    cause,
    hint: 'Strata creates files only if absent by hard links. Put the store on a file system that has them (not FAT or exFAT).',
  })
}
