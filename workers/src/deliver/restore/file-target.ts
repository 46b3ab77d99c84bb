import { constants, type Stats } from 'node:fs'
import { link, lstat, open, rename, rm, stat, statfs, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import { syncDirectory } from '@strata/shared/store/directory-files.ts'
import type { WriteFailure } from '../../read/read-task.ts'
import type { RestoreTarget } from './target.ts'
import { targetError, targetFailure } from './target-errors.ts'

/**
 * An image file. It is written under another name and renamed when it is whole and durable, so a killed restore leaves
 * nothing that looks like a disk, and a file that is replaced by force stays until there is a better one.
 *
 * The file begins empty and with its full size: what is not written are holes, which read as zeros.
 */
export const incompleteSuffix = '.strata-incomplete'

/** A disk image holds everything of a machine: a new one is its owner's alone. */
const newFileMode = 0o600

export interface FileTargetOptions {
  readonly path: string
  readonly sizeBytes: number
  /** The file that is to be replaced. */
  readonly existing: Stats | undefined
  readonly warnings: readonly Warning[]
}

export async function openFileTarget(options: FileTargetOptions): Promise<RestoreTarget> {
  const incomplete = options.path + incompleteSuffix
  const handle = await createIncomplete(incomplete)
  try {
    await handle.truncate(options.sizeBytes)
    return new FileTarget(options, handle, await handle.stat())
  } catch (error) {
    await handle.close()
    await rm(incomplete, { force: true })
    throw targetError(error, `creating ${incomplete} with ${String(options.sizeBytes)} bytes`)
  }
}

async function createIncomplete(path: string): Promise<FileHandle> {
  try {
    await removeLeftOver(path)
    return await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, newFileMode)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      throw new StrataError('E_TARGET_UNWRITABLE', `there is no directory ${dirname(path)}`, { cause: error })
    }
    throw targetError(error, `creating ${path}`)
  }
}

async function removeLeftOver(path: string): Promise<void> {
  try {
    const found = await lstat(path)
    if (!found.isFile()) throw new StrataError('E_TARGET_UNWRITABLE', `${path} is in the way and is no file`)
    await unlink(path)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}

class FileTarget implements RestoreTarget {
  readonly kind = 'file'
  readonly needsZeros = false
  readonly firstBlockLast = false
  readonly path: string
  readonly sizeBytes: number
  readonly warnings: Warning[]
  readonly #handle: FileHandle
  readonly #incomplete: string
  readonly #existing: Stats | undefined
  readonly #created: Stats

  constructor({ path, sizeBytes, existing, warnings }: FileTargetOptions, handle: FileHandle, created: Stats) {
    this.path = path
    this.sizeBytes = sizeBytes
    this.warnings = [...warnings]
    this.#handle = handle
    this.#incomplete = path + incompleteSuffix
    this.#existing = existing
    this.#created = created
  }

  get fd(): number {
    return this.#handle.fd
  }

  failure({ system, offset }: WriteFailure): StrataError {
    return targetFailure(system, `writing ${this.#incomplete} at byte ${String(offset)}`)
  }

  async freeBytes(): Promise<number | undefined> {
    // Of the directory: another restore may take the file away.
    const { blocks, bfree, bavail, bsize } = await statfs(dirname(this.path))
    // Some network file systems answer with nothing but zeros.
    if (blocks === 0) return undefined
    return (process.getuid?.() === 0 ? bfree : bavail) * bsize
  }

  async sync(): Promise<void> {
    try {
      await this.#handle.sync()
    } catch (error) {
      throw targetError(error, `making ${this.#incomplete} durable`)
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#takeOverOwner()
      await this.sync()
      await this.#requireStillOurs()
      await this.#publish()
      await syncDirectory(dirname(this.path))
    } catch (error) {
      throw targetError(error, `finishing ${this.path}`)
    }
    await this.#handle.close()
  }

  async abandon(): Promise<string | null> {
    const isLeft = await this.#isLeft()
    await this.#handle.close()
    return isLeft ? `What was written is in ${this.#incomplete}.` : null
  }

  /** Removes the file where there is nothing in it. Whatever fails here, something else has failed before. */
  async #isLeft(): Promise<boolean> {
    try {
      if (!(await this.#isStillOurs())) return false
      if ((await this.#handle.stat()).blocks > 0) return true
      await unlink(this.#incomplete)
      return false
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error
      return true
    }
  }

  /** Whoever could use the file that is replaced can use the new one. */
  async #takeOverOwner(): Promise<void> {
    const existing = this.#existing
    if (existing === undefined) return
    if (existing.uid !== this.#created.uid || existing.gid !== this.#created.gid) {
      try {
        await this.#handle.chown(existing.uid, existing.gid)
      } catch (error) {
        if (systemErrorCode(error) !== 'EPERM') throw error
        this.warnings.push({ code: 'W_TARGET_OWNER', message: `${this.path} belongs to another user now than before` })
        return
      }
    }
    await this.#handle.chmod(existing.mode & 0o7777)
  }

  /** Another restore to the same path takes what it believes is a left-over; whose file is renamed must be certain. */
  async #requireStillOurs(): Promise<void> {
    if (await this.#isStillOurs()) return
    throw new StrataError('E_TARGET_EXISTS', `another restore to ${this.path} began while this one was under way`)
  }

  async #isStillOurs(): Promise<boolean> {
    const found = await stat(this.#incomplete).catch(undefinedIfAbsent)
    return found?.ino === this.#created.ino && found.dev === this.#created.dev
  }

  async #publish(): Promise<void> {
    if (this.#existing !== undefined) {
      await rename(this.#incomplete, this.path)
      return
    }
    try {
      // Unlike a rename, a link never replaces a file that somebody created meanwhile.
      await link(this.#incomplete, this.path)
      await unlink(this.#incomplete)
    } catch (error) {
      if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(systemErrorCode(error) ?? '')) throw error
      await this.#renameIfAbsent()
    }
  }

  /** For file systems without hard links, such as exFAT. */
  async #renameIfAbsent(): Promise<void> {
    const existing = await lstat(this.path).catch(undefinedIfAbsent)
    if (existing !== undefined)
      throw new StrataError('E_TARGET_EXISTS', `${this.path} was created while it was restored`)
    await rename(this.#incomplete, this.path)
  }
}

function undefinedIfAbsent(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error
}
