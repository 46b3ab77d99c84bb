import { open, realpath, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StrataError } from '../errors.ts'
import { isSystemError } from './directory-errors.ts'
import { readFlags, removeEmptyDirectory } from './directory-files.ts'
import { linkError } from './directory-list.ts'
import { missingError } from './object-errors.ts'

/**
 * Where a directory store lies, and the check that no step leaves it: the real path of an object's directory must be
 * the path it should have. (Whoever can write into the store's directory can still win a race against that check, as
 * they can replace any object: the directory must be writable for trusted users only.)
 */
export class DirectoryPlace {
  /** Its real path. */
  readonly root: string
  readonly description: string

  constructor(root: string, description: string) {
    this.root = root
    this.description = description
  }

  pathOf(name: string): string {
    return join(this.root, name)
  }

  /** Throws the system's error when `directory` is not there, E_STORE_LINK when it lies behind a link. */
  async checkNoLink(directory: string): Promise<void> {
    if ((await realpath(directory)) !== directory) throw linkError(directory.slice(this.root.length + 1))
  }

  /** Whether the directory that would hold `name` is there; throws when it lies behind a link. */
  async hasDirectoryOf(name: string): Promise<boolean> {
    try {
      await this.checkNoLink(dirname(this.pathOf(name)))
      return true
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false
      throw error
    }
  }

  /** To be read, and closed. E_OBJECT_MISSING where there is none. */
  async openObject(name: string): Promise<OpenObject> {
    const file = await this.#openFile(name)
    try {
      const stats = await file.stat()
      if (!stats.isFile()) throw missingError(this.description, name)
      return { file, sizeBytes: stats.size }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async #openFile(name: string): Promise<FileHandle> {
    try {
      if (await this.hasDirectoryOf(name)) return await open(this.pathOf(name), readFlags)
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error
    }
    await this.checkRoot()
    throw missingError(this.description, name)
  }

  /** Directories of the store that are empty, from this one on. */
  async removeEmptyUpwards(from: string): Promise<void> {
    for (let directory = from; directory !== this.root; directory = dirname(directory)) {
      if (!(await removeEmptyDirectory(directory))) return
    }
  }

  /** Throws E_STORE_MISSING when the store's own directory is gone. */
  async checkRoot(): Promise<void> {
    try {
      await stat(this.root)
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) throw missingStoreError(this.description, error)
      throw error
    }
  }
}

export interface OpenObject {
  readonly file: FileHandle
  readonly sizeBytes: number
}

export function missingStoreError(description: string, cause: unknown): StrataError {
  return new StrataError('E_STORE_MISSING', `there is no directory ${description}`, { cause })
}
