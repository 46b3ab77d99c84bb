import { constants } from 'node:fs'
import { link, mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { StrataError, systemErrorCode, type ErrorCode } from '../errors.ts'

/**
 * Small files that hold secrets: whole or not there, on disk before anybody relies on them, and for their owner only.
 * The only I/O among the keys. Where there are no such file modes (Windows), the user's profile has to protect them.
 */
const ownerOnlyFile = 0o600
const ownerOnlyDirectory = 0o700
const othersMask = 0o077
const hasFileModes = process.platform !== 'win32'

export interface ReadOptions {
  /** For messages. */
  readonly what: string
  readonly bytesMax: number
  /** What to say of a file that is longer. */
  readonly tooLong: ErrorCode
}

/** Gives the file's bytes, or undefined when there is none. Unreadable, or open to others: E_CONFIGURATION. */
export async function readSecretFile(path: string, options: ReadOptions): Promise<Uint8Array | undefined> {
  const { what, bytesMax, tooLong } = options
  try {
    // Not blocking: a named pipe in place of the file must not hang us before we have seen what it is.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await file.stat()
    if (!stat.isFile()) throw new StrataError('E_CONFIGURATION', `${what} ${path} is not a regular file`)
    if (hasFileModes && (stat.mode & othersMask) !== 0) throw openToOthers(what, path, stat.mode)
    const buffer = new Uint8Array(bytesMax + 1)
    let filled = 0
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled)
      if (bytesRead === 0) return buffer.slice(0, filled)
      filled += bytesRead
    }
    throw new StrataError(tooLong, `${what} ${path} is longer than ${String(bytesMax)} bytes`)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw withCode(error, `${what} ${path} cannot be read`)
  }
}

/**
 * Writes a file by way of a temporary one beside it. Gives false, and changes nothing, when there is one already and
 * `overwrite` is not set, also when two try at the same time. Anything in the way: E_CONFIGURATION.
 */
export async function writeSecretFile(
  path: string,
  bytes: Uint8Array,
  options: { readonly what: string; readonly overwrite: boolean },
): Promise<boolean> {
  const target = resolve(path)
  try {
    await mkdir(dirname(target), { recursive: true, mode: ownerOnlyDirectory })
    // A directory of its own, so that the temporary file needs no name that nobody else has.
    const temporaryDirectory = await mkdtemp(join(dirname(target), `.${basename(target)}-`))
    try {
      const temporary = join(temporaryDirectory, 'new')
      await writeDurably(temporary, bytes)
      if (!(await putInPlace(temporary, target, options.overwrite))) return false
    } finally {
      await rm(temporaryDirectory, { recursive: true, force: true })
    }
    await syncDirectory(dirname(target))
    return true
  } catch (error) {
    throw withCode(error, `${options.what} ${path} cannot be written`)
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', ownerOnlyFile)
  await file.writeFile(bytes)
  await file.sync()
}

/** A rename replaces what is there; only a link is refused, in one step, when there is something. */
async function putInPlace(temporary: string, target: string, overwrite: boolean): Promise<boolean> {
  if (overwrite) {
    await rename(temporary, target)
    return true
  }
  try {
    await link(temporary, target)
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** The new name is durable only with its directory. Windows has no such call. */
async function syncDirectory(path: string): Promise<void> {
  if (!hasFileModes) return
  await using directory = await open(path, 'r')
  await directory.sync()
}

function openToOthers(what: string, path: string, mode: number): StrataError {
  const shown = (mode & 0o777).toString(8).padStart(3, '0')
  return new StrataError(
    'E_CONFIGURATION',
    `${what} ${path} is open to other users (mode ${shown}); it holds secrets`,
    {
      hint: `Run chmod 600 ${path}, after asking yourself who may have read it.`,
    },
  )
}

/** A StrataError passes; the system's errors become E_CONFIGURATION with what the system said. */
function withCode(error: unknown, message: string): unknown {
  const systemCode = systemErrorCode(error)
  if (error instanceof StrataError || systemCode === undefined) return error
  return new StrataError('E_CONFIGURATION', `${message} (${systemCode})`, {
    cause: error,
    hint: 'Check the path, its permissions and the free space there.',
  })
}
