import type { Stats } from 'node:fs'
import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { Warning } from '@strata/shared/format/manifest.ts'
import type { ObjectStore } from '@strata/shared/store/object-store.ts'
import { deviceFamily, deviceNumber, devicesUnder, fileUses } from './block-devices.ts'
import { openDeviceTarget } from './device-target.ts'
import { openFileTarget } from './file-target.ts'
import type { RestoreTarget } from './target.ts'
import { targetError } from './target-errors.ts'

export interface TargetRequest {
  readonly path: string
  /** Replace a file that exists, write to a device that is in use or too small. Never to the store itself. */
  readonly force: boolean
}

/** Looks at what lies at the path, refuses what must not be overwritten, and opens it for a disk of `sizeBytes`. */
export async function openTarget(
  request: TargetRequest,
  sizeBytes: number,
  store: ObjectStore,
): Promise<RestoreTarget> {
  const { path, stats, warnings } = await resolveTarget(resolve(request.path))
  const storeDirectory = await directoryOf(store)
  if (storeDirectory !== undefined) await requireApart(path, stats, storeDirectory)
  const { force } = request
  if (stats === undefined) return openFileTarget({ path, sizeBytes, existing: undefined, warnings })
  if (stats.isBlockDevice()) {
    return openDeviceTarget({ path, number: deviceNumber(stats.rdev), sizeBytes, force, warnings })
  }
  if (!stats.isFile())
    throw new StrataError('E_TARGET_UNWRITABLE', `${path} is ${kindOf(stats)}; a file or block device is needed`)
  if (!force) {
    const uses = await fileUses(path)
    if (uses.length > 0) throw new StrataError('E_TARGET_MOUNTED', `${path} is in use: ${uses.join(', ')}`)
    throw new StrataError('E_TARGET_EXISTS', `${path} exists already`)
  }
  return openFileTarget({ path, sizeBytes, existing: stats, warnings })
}

interface ResolvedTarget {
  readonly path: string
  /** Undefined when there is nothing yet. */
  readonly stats: Stats | undefined
  readonly warnings: readonly Warning[]
}

async function resolveTarget(path: string): Promise<ResolvedTarget> {
  const named = await lookAt(path, lstat)
  if (named === undefined) {
    const parent = await realParent(path)
    return { path: join(parent, basename(path)), stats: undefined, warnings: [] }
  }
  const stats = await lookAt(path, stat)
  if (stats === undefined)
    throw new StrataError('E_TARGET_UNWRITABLE', `${path} is a symbolic link to something that does not exist`)
  const real = await realpath(path)
  if (!named.isSymbolicLink()) return { path: real, stats, warnings: [] }
  return {
    path: real,
    stats,
    warnings: [{ code: 'W_TARGET_LINK', message: `${path} is a link: the disk goes to ${real}` }],
  }
}

async function lookAt(path: string, look: (path: string) => Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await look(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw targetError(error, `looking at ${path}`)
  }
}

async function realParent(path: string): Promise<string> {
  const parent = dirname(path)
  try {
    return await realpath(parent)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw targetError(error, `looking at ${parent}`)
    throw new StrataError('E_TARGET_UNWRITABLE', `there is no directory ${parent}`, { cause: error })
  }
}

async function directoryOf(store: ObjectStore): Promise<string | undefined> {
  if (!store.description.startsWith('file:')) return undefined
  return realpath(fileURLToPath(store.description))
}

async function requireApart(path: string, stats: Stats | undefined, storeDirectory: string): Promise<void> {
  const below = relative(storeDirectory, path)
  if (below === '' || !(below === '..' || below.startsWith('../'))) {
    throw new StrataError('E_TARGET_IS_SOURCE', `${path} lies in the store`)
  }
  if (stats?.isBlockDevice() !== true) return
  const family = await deviceFamily(deviceNumber(stats.rdev))
  for (const device of await devicesUnder(storeDirectory)) {
    if (family.has(device)) throw new StrataError('E_TARGET_IS_SOURCE', `the store ${storeDirectory} lies on ${path}`)
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isCharacterDevice()) return 'a character device'
  if (stats.isFIFO()) return 'a pipe'
  return 'a socket'
}
