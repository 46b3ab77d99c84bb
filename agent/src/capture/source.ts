import { closeSync, fstatSync, openSync, statSync, type BigIntStats } from 'node:fs'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import type { DiskIdentity } from '@strata/shared/format/manifest.ts'
import { deviceBytes, deviceNumber, type DeviceNumber } from './block-device.ts'
import { directReadFlags, openDirect } from './direct-read.ts'
import { identityOf } from './identity.ts'
import { directSectorsOf, sectorsOf } from './sectors.ts'

/** Where a disk is read from: an image file or a block device, opened for reading only. */
export interface Source {
  /** Of the disk, in its set. */
  readonly name: string
  /** As given; a symbolic link is followed. */
  readonly path: string
  readonly kind: 'file' | 'device'
  /** When it was opened; a session captures so many bytes, whatever happens later. */
  readonly sizeBytes: number
  readonly identity: DiskIdentity
  /** For reads with a position; good in every thread of this process until `close`. */
  readonly fd: number
  /** Reads pass the system's cache, see direct-read.ts: of every device that can be read so, and of no image file. */
  readonly direct: boolean
  /** Null for an image file. */
  readonly device: DeviceNumber | null
  close(): void
}

/** Opens a source. Errors: E_SOURCE_MISSING, E_SOURCE_UNREADABLE, E_SOURCE_KIND, E_SOURCE_EMPTY. */
export function openSource(request: { readonly name: string; readonly path: string }): Source {
  const { name, path } = request
  // Looked at before it is opened: to open a pipe would wait for its other end.
  const found = requireKind(
    path,
    accessing(path, () => statSync(path, { bigint: true })),
  )
  const { fd, direct } = accessing(path, () => openForReading(path, found))
  try {
    const stats = fstatSync(fd, { bigint: true })
    const kind = requireKind(path, stats)
    const device = kind === 'device' ? deviceNumber(stats.rdev) : null
    const sizeBytes = device === null ? Number(stats.size) : deviceBytes(device, fd)
    if (sizeBytes === 0) throw new StrataError('E_SOURCE_EMPTY', `${path} is empty: it has 0 bytes`)
    const sectors = direct ? directSectorsOf(fd, sizeBytes) : sectorsOf(fd, sizeBytes)
    const identity = accessing(path, () => identityOf(sectors))
    return {
      name,
      path,
      kind,
      sizeBytes,
      identity,
      fd,
      direct,
      device,
      close: () => {
        closeSync(fd)
      },
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function openForReading(path: string, kind: Source['kind']): Pick<Source, 'fd' | 'direct'> {
  const fd = kind === 'device' ? openDirect(path) : null
  return fd === null ? { fd: openSync(path, 'r'), direct: false } : { fd, direct: true }
}

/**
 * Another descriptor of what is open already, whatever its path names by now: threads that share one would spoil each
 * other's read-ahead. Where the system offers no such thing, the shared one serves, only slower on a cold disk.
 */
export function reopen(source: Source): { readonly fd: number; close(): void } {
  try {
    const fd = openSync(`/proc/self/fd/${String(source.fd)}`, source.direct ? directReadFlags : 'r')
    return {
      fd,
      close: () => {
        closeSync(fd)
      },
    }
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return { fd: source.fd, close: () => undefined }
  }
}

/** Size now, in bytes. */
export function currentSizeBytes(source: Source): number {
  return source.device === null ? fstatSync(source.fd).size : deviceBytes(source.device, source.fd)
}

function requireKind(path: string, stats: BigIntStats): Source['kind'] {
  if (stats.isFile()) return 'file'
  if (stats.isBlockDevice()) return 'device'
  const what = stats.isDirectory()
    ? 'a directory'
    : stats.isFIFO()
      ? 'a pipe'
      : stats.isCharacterDevice()
        ? 'a character device'
        : stats.isSocket()
          ? 'a socket'
          : 'of an unknown kind'
  throw new StrataError('E_SOURCE_KIND', `${path} is ${what}, not an image file or a block device`)
}

function accessing<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined) throw error
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].includes(code)) {
      throw new StrataError('E_SOURCE_MISSING', `${path} does not exist (${code})`, { cause: error })
    }
    const reason = ['EACCES', 'EPERM'].includes(code) ? `this user may not read it (${code})` : code
    throw new StrataError('E_SOURCE_UNREADABLE', `${path} cannot be read: ${reason}`, { cause: error })
  }
}
