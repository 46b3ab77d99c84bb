import { constants } from 'node:fs'
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { invariant, StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { overlayZeroBytes } from '@strata/shared/limits.ts'
import { syncDirectory } from '@strata/shared/store/directory-files.ts'
import { lockFile, type FileLock } from '@strata/shared/system/file-lock.ts'
import { canPunchHoles, punchHole } from '@strata/shared/system/punch-hole.ts'
import { targetError } from '../../restore/target-errors.ts'
import { unitChunkBytes, UnitSet } from './unit-set.ts'

/**
 * The files of an overlay, in a directory of its own: `overlay.json` says of what, `data` is as long as the disk and has what was
 * written, where it was written, and `units` says which units that are. Plain bytes of a disk: for their owner alone.
 */
const descriptionSchema = v.strictObject({
  strata: v.literal('overlay'),
  version: v.literal(1),
  point: v.string(),
  disk: v.string(),
  sizeBytes: v.number(),
  unitBytes: v.number(),
})
export type OverlayDescription = v.InferOutput<typeof descriptionSchema>

const lockName = 'lock'

export class OverlayFiles {
  readonly units: UnitSet
  readonly #data: FileHandle
  readonly #units: FileHandle
  readonly #lock: FileLock
  readonly #directory: string
  #hasHoles = canPunchHoles

  private constructor(directory: string, lock: FileLock, data: FileHandle, units: FileHandle, set: UnitSet) {
    this.#directory = directory
    this.#lock = lock
    this.#data = data
    this.#units = units
    this.units = set
  }

  /** Of what the overlay in a directory is. E_OVERLAY_FOREIGN: there is none. */
  static async describe(directory: string): Promise<OverlayDescription> {
    const found = await readDescription(join(directory, 'overlay.json'))
    if (found === undefined) throw new StrataError('E_OVERLAY_FOREIGN', `${directory} is no overlay`)
    return found
  }

  /** Makes the overlay, or goes on with it. Errors: E_OVERLAY_FOREIGN, E_OVERLAY_IN_USE, E_TARGET_…. */
  static async open(directory: string, description: OverlayDescription): Promise<OverlayFiles> {
    try {
      await makeDirectory(directory)
      const lock = lockFile(join(directory, lockName))
      if (lock === undefined) throw new StrataError('E_OVERLAY_IN_USE', `another mount works with ${directory}`)
      const opened: FileHandle[] = []
      try {
        await requireSame(directory, description)
        for (const name of ['data', 'units']) opened.push(await openFile(directory, name))
        const [data, units] = opened
        invariant(data !== undefined && units !== undefined, 'both were opened')
        await data.truncate(description.sizeBytes)
        return new OverlayFiles(directory, lock, data, units, await loadUnits(units))
      } catch (error) {
        for (const file of opened) await file.close()
        lock.release()
        throw error
      }
    } catch (error) {
      throw targetError(error, `opening the overlay ${directory}`)
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return await this.#run(`reading from ${this.#directory}`, async () => {
      const bytes = Buffer.allocUnsafe(length)
      for (let at = 0; at < length;) {
        const { bytesRead } = await this.#data.read(bytes, at, length - at, offset + at)
        if (bytesRead === 0) throw new StrataError('E_TARGET_UNWRITABLE', `${this.#directory}/data was cut`)
        at += bytesRead
      }
      return bytes
    })
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#run(`writing to ${this.#directory}`, async () => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await this.#data.write(bytes, at, bytes.length - at, offset + at)
        at += bytesWritten
      }
    })
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#run(`writing to ${this.#directory}`, async () => {
      if (this.#hasHoles) {
        try {
          await punchHole(this.#data.fd, offset, length)
          return
        } catch (error) {
          if (!['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'].includes(systemErrorCode(error) ?? '')) throw error
          this.#hasHoles = false
        }
      }
      for (let at = 0; at < length; at += overlayZeroBytes) {
        await this.write(offset + at, Buffer.alloc(Math.min(overlayZeroBytes, length - at)))
      }
    })
  }

  /** First what was written, then which units that are: none is ever named whose bytes are not there. */
  async flush(): Promise<void> {
    await this.#run(`making ${this.#directory} durable`, async () => {
      const changed = this.units.takeChanged()
      try {
        await this.#data.datasync()
        if (changed.length === 0) return
        for (const [number, bytes] of changed) await this.#units.write(bytes, 0, bytes.length, number * unitChunkBytes)
        await this.#units.datasync()
      } catch (error) {
        this.units.giveBack(changed)
        throw error
      }
    })
  }

  async close(): Promise<void> {
    await this.#data.close()
    await this.#units.close()
    this.#lock.release()
  }

  async #run<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw targetError(error, doing)
    }
  }
}

/**
 * Removes the overlays in a directory that are to be thrown away and whose mounts have died before they could: nobody holds
 * their locks.
 */
export async function removeDeadOverlays(parent: string): Promise<void> {
  for (const name of await namesIn(parent)) {
    const directory = join(parent, name)
    // Its owner has made the directory, and not its lock yet.
    if (!(await namesIn(directory)).includes(lockName)) continue
    const lock = lockFile(join(directory, lockName))
    if (lock === undefined) continue
    try {
      await rm(directory, { recursive: true })
    } finally {
      lock.release()
    }
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    if (!['EEXIST', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) throw error
    throw new StrataError('E_OVERLAY_FOREIGN', `${directory}, or something above it, is no directory`, { cause: error })
  }
}

async function openFile(directory: string, name: string): Promise<FileHandle> {
  return await open(join(directory, name), constants.O_RDWR | constants.O_CREAT, 0o600)
}

/** A new overlay has its description before anything else; what has none, and is not empty, is somebody else's. */
async function requireSame(directory: string, description: OverlayDescription): Promise<void> {
  const path = join(directory, 'overlay.json')
  const found = await readDescription(path)
  if (found === undefined) {
    const others = (await readdir(directory)).filter((name) => name !== lockName)
    if (others.length > 0) throw new StrataError('E_OVERLAY_FOREIGN', `${directory} is no overlay, and not empty`)
    await using file = await open(path, 'wx', 0o600)
    await file.writeFile(`${JSON.stringify(description)}\n`)
    await file.sync()
    await syncDirectory(directory)
    return
  }
  const members = Object.entries(description) as [keyof OverlayDescription, unknown][]
  if (members.every(([name, value]) => found[name] === value)) return
  throw new StrataError(
    'E_OVERLAY_FOREIGN',
    `the overlay ${directory} is of disk '${found.disk}' of point ${found.point}, and not of '${description.disk}' of ${description.point}`,
  )
}

async function readDescription(path: string): Promise<OverlayDescription | undefined> {
  let text: string
  try {
    await using file = await open(path)
    text = await file.readFile('utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return undefined
    throw error
  }
  try {
    return v.parse(descriptionSchema, JSON.parse(text))
  } catch (error) {
    throw new StrataError('E_OVERLAY_FOREIGN', `${path} describes no overlay that this program knows`, { cause: error })
  }
}

async function loadUnits(file: FileHandle): Promise<UnitSet> {
  const units = new UnitSet()
  const { size } = await file.stat()
  const bytes = Buffer.alloc(256 * unitChunkBytes)
  for (let at = 0; at < size; at += bytes.length) {
    bytes.fill(0)
    await file.read(bytes, 0, bytes.length, at)
    for (let chunk = 0; chunk < bytes.length; chunk += unitChunkBytes) {
      units.load((at + chunk) / unitChunkBytes, bytes.subarray(chunk, chunk + unitChunkBytes))
    }
  }
  return units
}
